"""People's files: what is read, where media stand, what is named and skipped."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InputRefusedError, NotFoundError
from engine.training.data.samples import Sample, SampleFile, SampleSource, read_samples


@pytest.fixture
def media(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "v.mp4"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def conversation(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[idx % 2], "value": text} for idx, text in enumerate(texts)]


def read(media: Path, *entries: Any) -> SampleFile:
    lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    (media / "data.jsonl").write_text("\n".join(lines))
    return read_samples(media / "data.jsonl", media)


def one(media: Path, entry: Any) -> Sample:
    result = read(media, entry)
    assert not result.bad
    return result.samples[0]


def why(media: Path, entry: Any) -> str:
    result = read(media, entry)
    assert not result.samples
    return result.bad[0].reason


def test_a_bad_line_is_named_and_survived(media: Path) -> None:
    fine = {"id": 7, "image": "a.png", "conversations": conversation("<image>\nWhat?", "A cat.")}
    result = read(
        media,
        fine,
        "{not json",
        fine | {"image": "gone.png"},
        fine | {"image": "../a.png"},
        fine | {"conversations": conversation("What?")},
        "",
        "[" * 100_000,
        fine | {"image": "a" * 5000},
        fine | {"image": 3},
    )
    assert [sample.turns[0].question for sample in result.samples] == ["What?"]
    assert [bad.location for bad in result.bad] == [
        f"data.jsonl, line {n}" for n in (2, 3, 4, 5, 7, 8, 9)
    ]
    reasons = [bad.reason for bad in result.bad]
    assert "not JSON" in reasons[0]
    assert "gone.png" in reasons[1]
    assert "outside" in reasons[2]


def test_a_single_file_stands_in_front_wherever_its_mark_is(media: Path) -> None:
    for text in ("<video>\nWhat?", "What?\n<video>", "<image>What?", "What?"):
        sample = one(media, {"video": "v.mp4", "conversations": conversation(text, "It.")})
        assert sample.media == (media / "v.mp4",)
        assert sample.marked == ()
        assert sample.turns[0].question == "What?"


def test_several_media_stand_where_their_marks_are(media: Path) -> None:
    a, b, v = (media / name for name in ("a.png", "b.png", "v.mp4"))
    sample = one(
        media,
        {
            "video": "v.mp4",
            "image": ["a.png", "b.png"],
            "conversations": conversation("Is <image> in <video>?", "Yes.", "And <image>?", "No."),
        },
    )
    assert sample.media == (a, v, b)
    assert sample.marked == (("Is ", a, " in ", v, "?"), ("And ", b, "?"))
    assert [turn.question for turn in sample.turns] == ["Is  in ?", "And ?"]
    front = one(
        media,
        {
            "image": ["a.png", "b.png"],
            "conversations": conversation("<image>\n<image>\nSame?", "No."),
        },
    )
    assert front.media == (a, b)
    assert front.marked == ()


def test_text_alone_and_the_spellings_of_other_tools_are_read(media: Path) -> None:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello\u2028there"},
        {"role": "assistant", "content": "Hi."},
    ]
    sample = one(media, json.dumps({"messages": messages}, ensure_ascii=False))
    assert sample.media == ()
    assert [turn.answer for turn in sample.turns] == ["Hi."]
    both = one(media, {"images": ["a.png", "b.png"], "conversations": conversation("Same?", "No.")})
    assert len(both.media) == 2


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (
            {"image": ["a.png", "b.png"], "conversations": conversation("<image> Same?", "No.")},
            "1 image marks for 2 image files",
        ),
        ({"conversations": conversation("<image>\nWhat?", "No.")}, "1 image marks for no files"),
        (
            {
                "image": "a.png",
                "video": "v.mp4",
                "conversations": conversation("<image><image> ?", "No."),
            },
            "2 image marks for 1 image, 1 video files",
        ),
        ({"conversations": conversation("What?", "This: <image>")}, "turn of gpt has a mark"),
        ({"conversations": conversation(" ", "No.")}, "turn of human is empty"),
        ({"conversations": conversation("What?", " ")}, "turn of gpt is empty"),
        ({"conversations": [{"from": "gpt", "value": "a"}] * 2}, "should be human's"),
        ({"conversations": [{"from": "human"}] * 2}, "human has no text"),
        ({"conversations": "What?"}, "list of turns"),
        ([1], "not an object"),
    ],
)
def test_what_does_not_fit_together_is_bad(media: Path, entry: Any, reason: str) -> None:
    assert reason in why(media, entry)


def test_a_json_list_is_read_too(media: Path) -> None:
    path = media / "data.json"
    path.write_text(
        json.dumps([{"conversations": conversation("a", "b")}, 5]), encoding="utf-8-sig"
    )
    result = read_samples(path, media, weight=2.0)
    assert result.samples[0].weight == 2.0
    assert result.bad[0].location == "data.json, sample 2"
    path.write_text("{}")
    with pytest.raises(InputRefusedError, match="JSON list"):
        read_samples(path, media)
    with pytest.raises(NotFoundError, match="gone"):
        read_samples(media / "gone.json", media)


def test_a_source_must_have_a_weight_above_0(media: Path) -> None:
    with pytest.raises(ValueError, match="weight of"):
        SampleSource(file=media, media=media, weight=0.0)
