"""Captions from files, and captions that survive a kill."""

import json
from pathlib import Path

import pytest

from engine.errors import InputRefusedError, NotFoundError
from engine.records import TimeSpan
from engine.training.data.captions import CaptionLog, read_captions
from engine.training.data.clips import ClipCaption

VIDEOS = ("front/door.mp4", "back/door.mp4", "yard.mp4")


def write_lines(path: Path, *entries: object) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def line(video: str, start_s: float, end_s: float, text: str = "A dog runs.") -> dict[str, object]:
    return {"video": video, "start_s": start_s, "end_s": end_s, "text": text}


def caption(number: int, text: str = "A dog runs.") -> ClipCaption:
    span = TimeSpan(start_s=14.0 * number, end_s=14.0 * (number + 1))
    return ClipCaption(span=span, text=text, last_s=span.end_s - 1)


def test_bad_lines_are_named_and_survived(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "captions.jsonl",
        line("yard.mp4", 0, 14),
        line("gone.mp4", 0, 14),
        line("door", 0, 14),
        line("yard", 20, 10),
        {"video": "yard", "start_s": "0", "end_s": 3, "text": "x"},
        {"video": "yard", "start_s": 0, "end_s": 3},
        [1],
        line("front/door.mp4", 14, 28),
    )
    with path.open("a") as file:
        file.write("{torn")
    read = read_captions([path], VIDEOS, clip_s=14.0)
    assert sorted(read.captions) == ["front/door.mp4", "yard.mp4"]
    assert [bad.location for bad in read.bad] == [
        f"captions.jsonl, line {n}" for n in (2, 3, 4, 5, 6, 7, 9)
    ]
    assert "front/door.mp4 or back/door.mp4" in read.bad[1].reason


def test_captions_of_one_clip_are_joined_in_time_order(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "captions.jsonl",
        line("yard", 8, 16, "A cat waits."),
        line("yard", 0, 8, "A dog runs."),
        line("yard", 16, 24, "A bus leaves."),
    )
    first, second = read_captions([path], VIDEOS, clip_s=14.0).captions["yard.mp4"]
    assert (first.text, first.span) == (
        "A dog runs. A cat waits.",
        TimeSpan(start_s=0.0, end_s=16.0),
    )
    assert second.text == "A bus leaves."


def test_caption_of_the_whole_video_has_no_place_in_its_order(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "captions.jsonl",
        line("yard", 0, 60, "A day in a yard."),
        *(line("yard", 14 * n, 14 * n + 14, f"Thing {n} moves.") for n in range(4)),
    )
    texts = [
        caption.text for caption in read_captions([path], VIDEOS, clip_s=14.0).captions["yard.mp4"]
    ]
    assert texts == [f"Thing {n} moves." for n in range(4)]


def test_webvtt_belongs_to_the_video_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "yard.vtt"
    path.write_text(
        "WEBVTT\n\n1\n00:00:00.000 --> 00:00:14.000 align:start\nA <b>dog</b> &amp;\na cat.\n\n"
        "01:02.500 --> 01:04.000\nA bus.\n"
    )
    first, second = read_captions([path], VIDEOS, clip_s=14.0).captions["yard.mp4"]
    assert first.text == "A dog & a cat."
    assert second.span == TimeSpan(start_s=62.5, end_s=64.0)
    other = path.rename(tmp_path / "other.vtt")
    assert read_captions([other], ["yard.mp4"], clip_s=14.0).captions.keys() == {"yard.mp4"}
    assert "no video other" in read_captions([other], VIDEOS, clip_s=14.0).bad[0].reason


def test_what_is_no_captions_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"gone\.jsonl"):
        read_captions([tmp_path / "gone.jsonl"], VIDEOS, clip_s=14.0)
    (tmp_path / "x.jsonl").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputRefusedError, match="UTF-8"):
        read_captions([tmp_path / "x.jsonl"], VIDEOS, clip_s=14.0)
    (tmp_path / "x.vtt").write_text("1\n00:00.000 --> 00:01.000\nHi\n")
    with pytest.raises(InputRefusedError, match="WEBVTT"):
        read_captions([tmp_path / "x.vtt"], VIDEOS, clip_s=14.0)


def test_log_cut_anywhere_keeps_whole_lines_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log" / "captions.jsonl"
    log = CaptionLog(path, "key")
    for number in range(2):
        log.add("yard.mp4", "id", caption(number))
    log.finish("yard.mp4", "id")
    whole = path.read_bytes()
    for n_bytes in range(0, len(whole), 7):
        path.write_bytes(whole[:n_bytes])
        again = CaptionLog(path, "key")
        n_kept = len(again.captions("id"))
        assert n_kept == min(2, whole[:n_bytes].count(b"\n"))
        assert not again.is_finished("id")
        for number in range(n_kept, 2):
            again.add("yard.mp4", "id", caption(number))
        again.finish("yard.mp4", "id")
        assert path.read_bytes() == whole


def test_log_of_another_model_does_not_count_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "captions.jsonl"
    CaptionLog(path, "one").add("yard.mp4", "id", caption(0))
    other = CaptionLog(path, "two")
    assert other.captions("id") == ()
    other.add("yard.mp4", "id", caption(0, "A cat."))
    assert CaptionLog(path, "one").captions("id") == (caption(0),)
    assert CaptionLog(path, "one").captions("other content") == ()


def test_log_is_a_captions_file(tmp_path: Path) -> None:
    path = tmp_path / "captions.jsonl"
    log = CaptionLog(path, "key")
    log.add("yard.mp4", "id", caption(0))
    log.finish("yard.mp4", "id")
    read = read_captions([path], VIDEOS, clip_s=14.0)
    assert not read.bad
    assert [caption.text for caption in read.captions["yard.mp4"]] == ["A dog runs."]
