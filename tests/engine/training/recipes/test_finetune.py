"""Fine-tuning nano on real clips: the loss falls, answers change, a bad line is survived."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.errors import InputRefusedError
from engine.models.video_xl.model import VideoXl, load, write_tiny
from engine.protocols import Sampling
from engine.records import ChunkRef, TimeSpan, VideoId
from engine.tensors import ChunkLatents, FrameBatch
from engine.training.data.media import as_pixels, iterate_frames
from engine.training.recipes import finetune
from tests.support.short_training import settings

CPU = torch.device("cpu")
NANO = Path(__file__).parents[4] / "assets" / "models" / "nano"
CLIPS = ("clips/parking_bicycle.mp4", "clips/store_aisle.mp4", "clips/coffee_pour.mp4")


def entry(question: str, answer: str, **media: str) -> str:
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return json.dumps({"id": "a", **media, "conversations": turns})


def answer(model: VideoXl, clip: Path, question: str) -> str:
    """Greedy, from the memory of the whole clip."""
    frames = list(iterate_frames(clip, fps=1.0, max_frames=128))
    batch = FrameBatch(
        pixels=torch.cat([as_pixels(frame) for frame in frames]),
        pts_s=torch.tensor([frame.pts_s for frame in frames], dtype=torch.float64),
    )
    stream, held = model.open_stream(), []
    size = model.card.chunk_frames
    for number, start in enumerate(range(0, len(frames), size)):
        part = FrameBatch(
            pixels=batch.pixels[start : start + size], pts_s=batch.pts_s[start : start + size]
        )
        tokens = model.encode(part)
        latents = model.compress(tokens, stream)
        stream.remember(latents)
        span = TimeSpan(start_s=float(start), end_s=float(start + size))
        ref = ChunkRef(video=VideoId("v"), ordinal=number, span=span)
        vectors = tokens.frame_vectors
        held.append(ChunkLatents(ref=ref, latents=latents, frame_vectors=vectors, pts_s=part.pts_s))
    tokens = model.generate(question, held, Sampling(max_tokens=24))
    return "".join(token.text for token in tokens).strip()


def test_real_clips_lower_the_loss_and_change_the_answers(
    shared_data: Path, tmp_path: Path
) -> None:
    manifest = json.loads((shared_data / "manifest.json").read_text())
    known = [
        (clip["file"], pair["question"], pair["answer"])
        for clip in manifest["clips"]
        if clip["file"] in CLIPS
        for pair in clip["qa"]
        if pair["kind"] != "speech"
    ]
    lines = [entry(f"<video>\n{question}", text, video=file) for file, question, text in known]
    lines.insert(2, entry("<video>\nWhat?", "It.", video="clips/gone.mp4"))
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    output = settings(
        tmp_path / "finetune",
        finetune.CONFIG,
        model=str(NANO),
        media=str(shared_data),
        steps=60,
        learning_rate=1e-3,
        bf16=False,
    )
    progress = list(finetune.run(output, resume=False))
    assert "data.jsonl, line 3" in progress[0].note
    assert "gone.mp4" in progress[0].note
    scores = {name: value for line in progress for name, value in line.scores.items()}
    assert scores["loss_of_all"] < 0.5 * scores["loss_of_all_before"]
    assert sum(line.skipped for line in progress) == 1
    before, after = load(NANO, CPU, torch.float32), load(output / "model", CPU, torch.float32)
    sample = known[:6]
    old = [answer(before, shared_data / file, question) for file, question, _ in sample]
    new = [answer(after, shared_data / file, question) for file, question, _ in sample]
    truth = [text for _, _, text in sample]
    n_right = sum(text == true for text, true in zip(new, truth, strict=True))
    assert n_right > sum(text == true for text, true in zip(old, truth, strict=True))
    assert (
        sum(changed != first for changed, first in zip(new, old, strict=True)) >= len(sample) // 2
    )


def test_pictures_will_do_and_a_broken_line_is_named(tmp_path: Path) -> None:
    write_tiny(tmp_path / "base")
    lines = ["{broken"]
    for name, colour in (("a.png", "red"), ("bb.png", "blue")):
        pixels = np.random.default_rng(len(name)).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
        lines.append(entry("<image>\nColour?", colour, image=name))
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    output = settings(tmp_path / "run", finetune.CONFIG, steps=30, learning_rate=3e-3)
    progress = list(finetune.run(output, resume=False))
    assert "data.jsonl, line 1" in progress[0].note
    losses = [line.loss for line in progress if line.stage == "finetune" and line.step]
    assert losses[-1] < 0.7 * losses[0]
    assert list((output / "model").glob("model*.safetensors"))


def test_without_its_file_it_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(InputRefusedError, match=r"finetune\.json"):
        list(finetune.run(tmp_path, resume=False))
