import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import InputRefusedError
from engine.families.video_xl import write_tiny
from engine.nn.tokenizer import Tokenizer
from engine.records import Turn
from engine.training.reader_stage import IGNORED
from engine.training.recipes import finetune
from engine.training.samples import read_samples, tokenise


def picture(folder: Path, name: str) -> None:
    pixels = np.random.default_rng(len(name)).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / name)


def said(question: str, answer: str) -> list[dict[str, str]]:
    return [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer}]


def test_a_bad_line_is_named_and_survived(tmp_path: Path) -> None:
    picture(tmp_path, "a.png")
    lines = [
        json.dumps({"image": "a.png", "conversations": said("What?", "A cat.")}),
        "{not json",
        json.dumps({"image": "gone.png", "conversations": said("What?", "A cat.")}),
        json.dumps({"image": "../a.png", "conversations": said("What?", "A cat.")}),
        json.dumps({"image": "a.png", "conversations": said("What?", "A cat.")[:1]}),
    ]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    read = read_samples(tmp_path / "data.jsonl", tmp_path)
    assert [sample.turns[0].question for sample in read.samples] == ["What?"]
    assert [bad.place for bad in read.bad] == [f"data.jsonl, line {n}" for n in (2, 3, 4, 5)]
    assert "gone.png" in read.bad[1].reason
    assert "outside" in read.bad[2].reason


def test_labels_are_the_answers_and_the_marks_around_turns(tmp_path: Path) -> None:
    write_tiny(tmp_path)
    tokenizer = Tokenizer.load(tmp_path)
    turns = [Turn(question="ab", answer="cd"), Turn(question="ef", answer="gh")]
    ids, labels = tokenise(turns, tokenizer)
    assert ((labels == ids) | (labels == IGNORED)).all()
    kept = tokenizer.decode(labels[labels != IGNORED].tolist())
    assert "cd" in kept
    assert "gh" in kept
    assert "ab" not in kept
    assert "ef" not in kept


def test_fine_tuning_lowers_the_loss_and_names_what_it_skipped(tmp_path: Path) -> None:
    write_tiny(tmp_path / "base")
    lines = ["{broken"]
    for name, answer in (("a.png", "red"), ("bb.png", "blue")):
        picture(tmp_path, name)
        lines.append(json.dumps({"image": name, "conversations": said("Colour?", answer)}))
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    config = {"model": "base", "data": "data.jsonl", "media": ".", "steps": 30,
              "learning_rate": 3e-3}  # fmt: skip
    (tmp_path / "finetune.json").write_text(json.dumps(config))
    progress = list(finetune.run(tmp_path, resume=False))
    assert "data.jsonl, line 1" in progress[0].note
    losses = [line.loss for line in progress if line.stage == "finetune"]
    assert losses[-1] < 0.7 * losses[0]
    assert (tmp_path / "model" / "model.safetensors").is_file() or list(
        (tmp_path / "model").glob("*.safetensors")
    )


def test_fine_tuning_without_its_file_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(InputRefusedError, match=r"finetune\.json"):
        list(finetune.run(tmp_path, resume=False))
