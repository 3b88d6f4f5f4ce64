"""Ctrl-C in long commands: the last line says what is kept and how to go on, and it is true."""

import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from app.cli.main import main
from app.worker.handlers import open_worker
from engine.media.encode import write_video
from engine.models.video_xl import model as video_xl
from storage.catalog import open_catalog
from tests.app.services.conftest import open_library
from tests.support.mjpeg_camera import open_mjpeg_camera


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    video_xl.write_tiny(folder)
    return folder


def interrupt(arguments: list[str], is_time: Callable[[str], bool]) -> str:
    """Run a command, press Ctrl-C when it is time, and return the last line that it says.

    Args:
        is_time: Given what was said so far.
    """
    said = ""
    command = [sys.executable, "-u", "-m", "app", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, bufsize=1) as running:
        assert running.stderr is not None
        for line in running.stderr:
            said += line
            if is_time(said):
                break
        running.send_signal(signal.SIGINT)
        said += running.communicate(timeout=120)[1]
    assert running.returncode == 130, said
    return said.strip().splitlines()[-1]


def stop_at_chunk(number: int, arguments: list[str], home: Path) -> tuple[int, str]:
    """Run a command, press Ctrl-C when a chunk is stored; the exit code and what was said."""
    with subprocess.Popen(
        [sys.executable, "-m", "app", *arguments], stderr=subprocess.PIPE, text=True
    ) as running:
        before, deadline = {*home.glob("latents/*/*/*")}, time.monotonic() + 120
        while not any(
            path.name == f"{number:08}.safetensors"
            for path in {*home.glob("latents/*/*/*")} - before
        ):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=120)[1]
    return running.returncode, said.strip()


def n_captions(home: Path) -> int:
    with closing(sqlite3.connect(home / "longwatch.db", timeout=30)) as database:
        return int(database.execute("SELECT count(*) FROM captions").fetchone()[0])


def test_interrupted_captioning_keeps_what_it_wrote(tmp_path: Path, checkpoint: Path) -> None:
    clip, home = tmp_path / "yard.mp4", tmp_path / "home"
    rng = np.random.default_rng(3)
    write_video(clip, (rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(2400)), 4.0)
    words = ["--home", str(home), "--model", str(checkpoint)]
    assert main(["ingest", str(clip), *words]) == 0
    last = interrupt(["caption", "yard", *words], lambda said: n_captions(home) >= 2)
    kept = n_captions(home)
    assert 2 <= kept < 150
    assert last == (
        f"stopped; {kept} captions of 150 chunks of yard are kept; the same command goes on there"
    )


def test_interrupted_probe_says_that_nothing_is_kept(tmp_path: Path, checkpoint: Path) -> None:
    words = ["--home", str(tmp_path), "--model", str(checkpoint), "--lengths", "1024,4096"]
    last = interrupt(["probe", *words], lambda said: "prob" in said)
    assert last.startswith("stopped; nothing of this probe is kept")


def test_interrupted_watching_says_what_is_kept(tmp_path: Path, checkpoint: Path) -> None:
    folder, home = tmp_path / "clips", tmp_path / "home"
    folder.mkdir()
    rng = np.random.default_rng(3)
    frames = (rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(2400))
    write_video(folder / "yard.mp4", frames, 4.0)
    command = ["ingest", str(folder), "--watch", "--home", str(home), "--model", str(checkpoint)]
    code, said = stop_at_chunk(3, command, home)
    assert code == 0, said
    assert re.search(r"stopped; kept \d+ chunks of yard, up to 0:\d\d,", said)


def test_feed_that_is_stopped_goes_on_by_its_clock(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGWATCH_ALLOW_NETWORK", "true")
    words = ["--home", str(tmp_path), "--model", str(checkpoint), "--no-observe", "--fps"]
    began: dict[int, float] = {}
    with open_mjpeg_camera([0.1]) as (address, sent_at):
        # Whoever stops a camera's reading does so while the next picture is waited for.
        for number in (2, 8):
            code, said = stop_at_chunk(number, ["ingest", address, *words, "5"], tmp_path)
            assert code == 130, said
            last = said.splitlines()[-1]
            assert re.match(r"stopped; kept \d+ chunks of .*/video, up to ", last), said
            assert last.endswith("the same command goes on there")
            began[number] = sent_at[0]
            with open_catalog(f"sqlite:///{tmp_path / 'longwatch.db'}") as catalog:
                (row,) = catalog.videos.list()
                assert row.fingerprint is not None
                chunks = catalog.chunks.list(row.id, row.fingerprint)
            assert (row.status, row.start_source) == ("queued", "live")
        # Between the two nobody looked: what was shown then lies where the wall clock has it.
        starts = [chunk.ref.span.start_s for chunk in chunks]
        gaps = [after - before for before, after in pairwise(starts)]
        assert starts == sorted(starts)
        assert max(gaps) > 2
        assert row.start_at is not None
        later = starts[gaps.index(max(gaps)) + 1]
        shown_at = row.start_at.timestamp() + later
        assert shown_at == pytest.approx(began[8], abs=2.5)
        # What another pipeline reads is a video of its own.
        stop_at_chunk(2, ["ingest", address, *words, "4"], tmp_path)
    with open_catalog(f"sqlite:///{tmp_path / 'longwatch.db'}") as catalog:
        first, second = sorted(catalog.videos.list(), key=lambda row: row.created_at)
    assert first.n_chunks == len(chunks)
    assert second.name == f"{first.name} 2"
    assert second.fingerprint != first.fingerprint


def test_feed_of_another_pipeline_has_ended(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGWATCH_ALLOW_NETWORK", "true")
    words = ["--home", str(tmp_path), "--model", str(checkpoint), "--fps", "5", "--no-observe"]
    with open_mjpeg_camera([0.1]) as (address, _):
        stop_at_chunk(2, ["ingest", address, *words], tmp_path)
        with closing(open_library(tmp_path, checkpoint, allow_network=True)) as context:
            (before,) = context.catalog.videos.list()
            open_worker(context).run(until_idle=True)
            (after,) = context.catalog.videos.list()
    assert (after.status, after.n_chunks) == ("ready", before.n_chunks)
    assert after.fingerprint == before.fingerprint


def test_feed_that_is_away_is_left_at_once(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGWATCH_ALLOW_NETWORK", "true")
    words = ["--home", str(tmp_path), "--model", str(checkpoint), "--fps", "5", "--no-observe"]
    # After forty pictures nothing more is sent for as long as anybody waits.
    pauses_s = [300.0 if number == 40 else 0.1 for number in range(41)]
    with open_mjpeg_camera(pauses_s) as (address, sent_at):
        command = [sys.executable, "-m", "app", "ingest", address, *words]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
            deadline = time.monotonic() + 120
            while len(sent_at) < 40 or not [*tmp_path.glob("latents/*/*/00000002.safetensors")]:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            running.send_signal(signal.SIGINT)
            # Less than after the silence of ten seconds that it waits for by itself.
            said = running.communicate(timeout=8)[1]
    assert running.returncode == 130, said
    assert "the same command goes on there" in said
