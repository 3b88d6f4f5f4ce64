"""`longwatch vico`: the same bytes however often it is killed, and no caption asked for twice."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import main
from app.services.vico import find_videos
from engine.errors import InputRefusedError
from engine.media.encode import write_video
from engine.synthetic.story import draw_story
from engine.training.data.samples import read_samples


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    (folder / "yard").mkdir()
    for seed, name in ((8001, "gate.mp4"), (8002, "yard/gate.mp4")):
        story = draw_story(seed, 150, 1.0, height_px=180, width_px=320)
        write_video(folder / name, story, 1.0)
    (folder / "notes.mp4").write_text("no video at all\n" * 50)
    return folder


@pytest.fixture(scope="module")
def undisturbed(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run that nobody disturbed leaves: questions and captions."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert run(videos, "--output", folder / "vico.jsonl", "--home", folder) == 0
    return folder


def run(*words: str | Path) -> int:
    return main(["vico", *(str(word) for word in words)])


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_file_is_what_training_reads_and_bad_videos_are_named(
    videos: Path, undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = undisturbed / "vico.jsonl"
    before = output.read_bytes()
    assert run(videos, "--output", output, "--home", undisturbed, "--json") == 0
    told = document(capsys)
    assert output.read_bytes() == before
    assert told["captions_written"] == 0
    assert told["captions"] == 22
    assert told["media"] == str(videos)
    assert told["model"] == "video_xl/nano"
    assert [(each["video"], each["reason"]) for each in told["skipped"]] == [
        ("notes.mp4", "this is text, not a video")
    ]
    read = read_samples(output, videos)
    assert not read.bad
    assert len(read.samples) == told["questions"] == sum(told["kinds"].values())
    assert {sample.media for sample in read.samples} == {
        (videos / "gate.mp4",),
        (videos / "yard" / "gate.mp4",),
    }


def test_order_of_the_sources_changes_nothing(
    videos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    sources = [videos / "yard", videos / "gate.mp4", videos / "gate.mp4"]
    output = tmp_path / "vico.jsonl"
    captions = undisturbed / "vico.captions.jsonl"
    (tmp_path / captions.name).write_bytes(captions.read_bytes())
    assert run(*sources, "--output", output, "--home", tmp_path) == 0
    assert output.read_bytes() == (undisturbed / "vico.jsonl").read_bytes()
    assert (tmp_path / captions.name).read_bytes() == captions.read_bytes()


def test_killed_run_goes_on_and_ends_with_the_same_bytes(
    videos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    output, captions = tmp_path / "vico.jsonl", tmp_path / "vico.captions.jsonl"
    words = ["vico", str(videos), "--output", str(output), "--home", str(tmp_path)]
    running = subprocess.Popen(
        [sys.executable, "-m", "app", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not (captions.is_file() and captions.read_bytes().count(b"\n") >= 3):
        assert time.monotonic() < deadline
        assert running.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not output.exists()
    assert main(words) == 0
    assert output.read_bytes() == (undisturbed / "vico.jsonl").read_bytes()
    assert captions.read_bytes() == (undisturbed / "vico.captions.jsonl").read_bytes()
    asked = Counter(
        (line["video"], line["start_s"])
        for line in map(json.loads, captions.read_text().splitlines())
        if "text" in line
    )
    assert set(asked.values()) == {1}


def test_captions_cut_off_anywhere_end_the_same(
    videos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    output, captions = tmp_path / "vico.jsonl", tmp_path / "vico.captions.jsonl"
    whole = (undisturbed / "vico.captions.jsonl").read_bytes()
    ends = [n for n, byte in enumerate(whole) if byte == ord("\n")]
    # Behind the last clip of the first video, before its end was noted; and within a line.
    for n_bytes in (ends[10] + 1, ends[14] - 20):
        captions.write_bytes(whole[:n_bytes])
        assert run(videos, "--output", output, "--home", tmp_path) == 0
        assert output.read_bytes() == (undisturbed / "vico.jsonl").read_bytes()
        assert captions.read_bytes() == whole


def test_captions_of_files_need_no_model(
    videos: Path, undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "vico.jsonl"
    words = ["--output", output, "--home", tmp_path, "--model", "nowhere", "--json"]
    own = undisturbed / "vico.captions.jsonl"
    assert run(videos, *words, "--captions", own) == 0
    told = document(capsys)
    assert output.read_bytes() == (undisturbed / "vico.jsonl").read_bytes()
    assert (told["captions_file"], told["bad_captions"]) == (None, [])
    assert not (tmp_path / "vico.captions.jsonl").exists()

    track = tmp_path / "any.vtt"
    cues = [
        f"00:{14 * n // 60:02}:{14 * n % 60:02}.000 --> 00:{(14 * n + 14) // 60:02}:"
        f"{(14 * n + 14) % 60:02}.000\nPerson{n} opens door{n}."
        for n in range(8)
    ]
    track.write_text("\n\n".join(["WEBVTT", *cues]) + "\n")
    assert run(videos / "gate.mp4", *words, "--captions", track) == 0
    assert document(capsys)["clues"] == 8


def test_nothing_usable_is_refused_in_a_sentence(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--output", tmp_path / "vico.jsonl", "--home", tmp_path]
    assert run(videos / "notes.mp4", *words) == 5
    assert "notes.mp4: this is text" in capsys.readouterr().err
    empty = tmp_path / "captions.jsonl"
    empty.write_text('{"video": "gate.mp4", "start_s": 0, "end_s": 14, "text": "I can\'t tell."}\n')
    assert run(videos / "gate.mp4", *words, "--captions", empty) == 5
    heard = capsys.readouterr().err
    assert "0 distinct clue(s) in 1 caption(s)" in heard
    assert heard.count("\n") == 1
    assert not (tmp_path / "vico.jsonl").exists()
    assert run(tmp_path / "gone", *words) == 3
    assert run(videos, "--output", tmp_path, "--home", tmp_path) == 3
    with pytest.raises(InputRefusedError, match="live"):
        find_videos(["rtsp://camera/1"])
