"""`longwatch ingest` with sources that are missing, and when it is interrupted."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from app.cli.main import main
from engine.media.encode import write_video
from engine.models.video_xl import model as video_xl


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    video_xl.write_tiny(folder)
    return folder


def draw_noise(path: Path, n_frames: int) -> Path:
    rng = np.random.default_rng(3)
    frames = (rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(n_frames))
    write_video(path, frames, 4.0)
    return path


def test_missing_file_does_not_stop_the_others_and_gives_its_exit_code(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    draw_noise(folder / "good.mp4", 16)
    (folder / ".hidden.mp4").write_bytes(b"x")
    words = ["--json", "--home", str(tmp_path / "home"), "--model", str(checkpoint)]
    assert main(["ingest", str(tmp_path / "gone.mp4"), str(folder), *words]) == 3
    document = json.loads(capsys.readouterr().out)
    assert [video["name"] for video in document["videos"]] == ["good"]
    assert document["videos"][0]["status"] == "ready"
    assert "gone.mp4" in document["failures"][0]["message"]
    assert document["skipped"] == [f"1 file of {folder} left alone: 1 hidden"]


def test_interrupted_ingest_says_what_is_kept_and_the_same_command_goes_on(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, home = draw_noise(tmp_path / "long.mp4", 2400), tmp_path / "home"
    words = ["--home", str(home), "--model", str(checkpoint)]
    running = subprocess.Popen(
        [sys.executable, "-m", "app", "ingest", str(clip), *words], stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 120
    while not [*home.glob("latents/*/*/00000003.safetensors")]:
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, heard = running.communicate(timeout=60)
    assert running.returncode == 130
    last = heard.decode().strip().splitlines()[-1]
    assert last.startswith("stopped; ")
    assert re.search(r"kept \d+ chunks? of long, up to 0:\d\d,", last)

    assert main(["videos", "show", "long", "--json", *words[:2]]) == 0
    video = json.loads(capsys.readouterr().out)["videos"][0]
    assert video["status"] == "queued"
    n_kept = len([*home.glob("latents/*/*/*.safetensors")])
    assert f"{video['chunks']} chunks of long" in last
    assert 4 <= n_kept < 150
    assert main(["ingest", str(clip), "--json", *words]) == 0
    assert json.loads(capsys.readouterr().out)["videos"][0]["chunks"] == 150
