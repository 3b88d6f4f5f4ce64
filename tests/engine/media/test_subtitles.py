"""Subtitles: of a track inside a file, on the clock of its pictures, and of files beside it."""

from pathlib import Path

import av
import numpy as np
import pytest

from engine.media.encode import write_video
from engine.media.source import MediaLimits
from engine.media.subtitles import parse_subtitles, read_subtitles, subtitle_file

SRT = """1
00:00:01,500 --> 00:00:03,000
<i>Where is the dog?</i>

2
00:00:04,000 --> 00:00:05,250
- In the garden,
- under the tree.
"""
SAID = [(1.5, 3.0, "Where is the dog?"), (4.0, 5.25, "- In the garden, - under the tree.")]


def with_track(folder: Path, *, late_s: float = 0.0) -> Path:
    """A Matroska file of eight seconds with a text track; its clock begins late."""
    silent, text, path = folder / "silent.mp4", folder / "text.srt", folder / "film.mkv"
    write_video(silent, (np.full((48, 64, 3), 20 * idx, np.uint8) for idx in range(8)), 1.0)
    text.write_text(SRT, encoding="utf-8")
    with (
        av.open(str(silent)) as pictures,
        av.open(str(text)) as words,
        av.open(str(path), "w") as film,
    ):
        sources = (pictures.streams.video[0], words.streams.subtitles[0])
        tracks = {source: film.add_stream_from_template(source) for source in sources}
        packets = [packet for source in sources for packet in source.container.demux(source)]
        for packet in packets:
            if packet.dts is None:
                continue
            shift = round(late_s / packet.time_base)
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            packet.stream = tracks[packet.stream]
            film.mux(packet)
    return path


@pytest.mark.parametrize("late_s", [0.0, 100.0])
def test_track_is_read_on_the_clock_of_the_pictures(tmp_path: Path, late_s: float) -> None:
    cues = read_subtitles(str(with_track(tmp_path, late_s=late_s)), MediaLimits())
    assert [
        (round(cue.span.start_s, 2), round(cue.span.end_s, 2), cue.text) for cue in cues
    ] == SAID


def test_file_without_a_track_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    write_video(path, (np.full((48, 64, 3), 20 * idx, np.uint8) for idx in range(3)), 1.0)
    assert read_subtitles(str(path), MediaLimits()) == ()


@pytest.mark.parametrize(
    "content",
    [
        SRT.encode(),
        SRT.replace("\n", "\r\n").encode("utf-8-sig"),
        SRT.encode("utf-16"),
        ("WEBVTT\n\nNOTE nothing\n\n" + SRT.replace(",5", ".5").replace(",0", ".0")).encode(),
    ],
    ids=["srt", "windows", "utf-16", "vtt"],
)
def test_files_beside_a_video_say_the_same(content: bytes) -> None:
    cues = parse_subtitles(content)
    assert [(cue.span.start_s, cue.span.end_s, cue.text) for cue in cues] == SAID


def test_what_is_no_cue_is_left_out() -> None:
    content = (
        b"WEBVTT\n\nSTYLE\n::cue { color: red }\n\n"
        b"00:05.000 --> 00:04.000\nbackwards\n\n"
        b"00:01.000 --> 00:02.000\n \n\n"
        b"00:06.000 --> 00:07.000 align:left\n<v Ada>Fish &amp; chips\x1b[31m</v>\n"
    )
    (cue,) = parse_subtitles(content)
    assert (cue.span.start_s, cue.text) == (6.0, "Fish & chips [31m")
    assert parse_subtitles(b"\xff\xfe\x00") == ()


def test_old_encodings_are_read() -> None:
    (cue,) = parse_subtitles("00:01.000 --> 00:02.000\nGrüße".encode("cp1252"))
    assert cue.text == "Grüße"


def test_files_of_other_videos_are_not_taken(tmp_path: Path) -> None:
    video = tmp_path / "film.mp4"
    (tmp_path / "film2.vtt").touch()
    (tmp_path / "film.commentary-of-the-director.vtt").touch()
    assert subtitle_file(video) is None
    (tmp_path / "film.en.srt").touch()
    assert subtitle_file(video) == tmp_path / "film.en.srt"
    (tmp_path / "film.vtt").touch()
    assert subtitle_file(video) == tmp_path / "film.vtt"
