"""Questions stay by ApolloBench's rules: no words, no frame, and models that differ."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.services.curation import curate_records
from engine.errors import InputRefusedError
from engine.evaluation.benchmarks import apollobench
from engine.evaluation.curation import curate, entropy_of
from engine.evaluation.runner import BaselineAnswer, Result, dump

OPTIONS = ("A. a dog", "B. a cat")


def record(
    name: str, choice: str, *, text: float = 0.0, frame: float = 0.0, task: str = ""
) -> Result:
    """A record of one model, with what its baselines reached."""
    baselines: Mapping[str, BaselineAnswer] = {
        "text_only": BaselineAnswer(answer="", choice=None, score=text),
        "one_frame": BaselineAnswer(answer="", choice=None, score=frame),
    }
    return Result(
        id=name,
        question=f"What barks?\n{OPTIONS[0]}\n{OPTIONS[1]}\nThe best answer is:",
        wanted="A",
        answer=choice,
        score=float(choice == "A"),
        recall="top",
        n_evidence=0,
        evidence_iou=None,
        evidence_hit_at_1=None,
        evidence_covered=None,
        first_token_ms=0.0,
        choice=choice,
        video="clips/a.mp4",
        task="short",
        groups=(task,) if task else (),
        n_options=2,
        options=OPTIONS,
        baselines=baselines,
    )


def models() -> list[tuple[str, list[Result]]]:
    """Records of two models about five questions."""
    first = [
        record("split", "A", task="OCR Problems"),
        record("agreed", "A"),
        record("read", "A", text=1.0),
        record("seen", "A", frame=1.0),
        record("half", "A", text=1.0, task="Spatial Reasoning"),
    ]
    second = [
        record("split", "B", task="OCR Problems"),
        record("agreed", "A"),
        record("read", "A", text=1.0),
        record("seen", "A", frame=1.0),
        # Half of the models are not more than half.
        record("half", "A", task="Spatial Reasoning"),
    ]
    return [("video_mme", first), ("video_mme", second)]


def test_what_words_or_one_frame_answer_is_dropped() -> None:
    chosen = curate(models())
    assert [question.id for question in chosen.kept] == [
        "video_mme/split",
        "video_mme/agreed",
        "video_mme/half",
    ]
    assert (chosen.by_text, chosen.by_frame) == (1, 1)
    assert [question.entropy for question in chosen.kept] == [1.0, 0.0, 0.0]
    assert [question.category for question in chosen.kept] == [
        "Temporal OCR",
        "Perception",
        "Spatial",
    ]
    first = chosen.kept[0]
    assert (first.question, first.options) == ("What barks?", ("a dog", "a cat"))


def test_the_most_telling_stay_and_labels_come_first() -> None:
    chosen = curate(models(), most=1, labels={"video_mme/split": "Egocentric"})
    assert [question.category for question in chosen.kept] == ["Egocentric"]
    assert chosen.beyond == 2
    with pytest.raises(ValueError, match="no category 'Sport'"):
        curate(models(), labels={"video_mme/split": "Sport"})


def test_what_has_no_category_or_no_letter_is_counted() -> None:
    (_, records), _ = models()
    assert curate([("vnbench", records[:2])]).unlabelled == 2
    bare = Result(
        **{
            name: getattr(records[0], name)
            for name in Result.__dataclass_fields__
            if name != "baselines"
        }
    )
    assert curate([("video_mme", [bare])]).unfit == 1


def test_entropy_is_of_what_was_chosen() -> None:
    assert entropy_of(["A", "A", "A"]) == 0
    assert entropy_of(["A", "B", "C", None]) == 2


def test_a_curated_set_is_asked_like_any_benchmark(tmp_path: Path) -> None:
    files = []
    for number, (name, records) in enumerate(models()):
        path = tmp_path / f"{number}.jsonl"
        path.write_text("".join(map(dump, records)))
        files.append(f"{name}={path}")
    document = curate_records(files, tmp_path / "set")
    assert document.kept == 3
    assert document.categories == {"Perception": 1, "Spatial": 1, "Temporal OCR": 1}
    questions = list(apollobench.questions(tmp_path / "set"))
    assert [question.task for question in questions] == ["Temporal OCR", "Perception", "Spatial"]
    assert questions[0].text.startswith("What barks?\nA. a dog\nB. a cat\n")
    assert apollobench.score("A", questions[0]) == 1
    with pytest.raises(InputRefusedError, match="names no benchmark"):
        curate_records([str(tmp_path / "0.jsonl")], tmp_path / "set")
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(InputRefusedError, match="no question stays"):
        curate_records([f"avqa={tmp_path / 'none.jsonl'}"], tmp_path / "set")
    labels = tmp_path / "labels.jsonl"
    labels.write_text(json.dumps({"id": "video_mme/agreed", "category": "Sport"}))
    with pytest.raises(InputRefusedError, match="no category 'Sport'"):
        curate_records(files, tmp_path / "set", labels=labels)
