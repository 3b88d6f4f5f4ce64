"""An ingest killed at any moment goes on where it was and ends with the same bytes.

The ingest runs in a forked child, so that twenty kills do not load torch twenty times.
"""

import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from app.config.settings import load_settings
from app.services.context import ServiceContext
from app.services.sources import identify
from app.worker.foreground import ingest_now
from engine.media.encode import write_video
from engine.models.video_xl import model as video_xl
from engine.records import VideoId
from tests.support.kills import chunk_digests

N_KILLS = 20


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    video_xl.write_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "noise.mp4"
    rng = np.random.default_rng(7)
    frames = (rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(240))
    write_video(path, frames, 4.0)
    return path


def ingest(home: Path, checkpoint: Path, clip: Path) -> None:
    service = ServiceContext(load_settings({"model": str(checkpoint)}, home=home))
    try:
        if not service.catalog.videos.list():
            # The same id in every life: it stands in the files.
            service.catalog.videos.add(
                name="noise", uri=str(clip), identity=identify(clip), id=VideoId("noise")
            )
        ingest_now(service, [str(clip)])
    finally:
        service.close()


def ingest_in_child(home: Path, checkpoint: Path, clip: Path, *, kill_after_s: float) -> bool:
    """Run the ingest, kill it after so long; whether it was still running then."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            ingest(home, checkpoint, clip)
            status = 0
        finally:
            os._exit(status)
    time.sleep(kill_after_s)
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        assert status == 0
        return False
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def chunk_rows(home: Path, checkpoint: Path) -> list[tuple[int, str]]:
    service = ServiceContext(load_settings({"model": str(checkpoint)}, home=home))
    try:
        (video,) = service.catalog.videos.list()
        assert video.status == "ready"
        assert video.fingerprint is not None
        chunks = service.catalog.chunks.list(video.id, video.fingerprint)
        return [(chunk.ref.ordinal, chunk.checksum) for chunk in chunks]
    finally:
        service.close()


def test_twenty_kills_at_random_moments_change_no_byte(
    tmp_path: Path, checkpoint: Path, clip: Path
) -> None:
    undisturbed = tmp_path / "undisturbed"
    started = time.monotonic()
    ingest(undisturbed, checkpoint, clip)
    whole_s = time.monotonic() - started
    expected = chunk_digests(undisturbed)
    assert len(expected) > 16

    moments = random.Random(2026)
    home, n_kills, n_lives = tmp_path / "killed", 0, 0
    while n_kills < N_KILLS:
        if ingest_in_child(home, checkpoint, clip, kill_after_s=moments.uniform(0.05, whole_s)):
            n_kills += 1
            continue
        # It ended before we struck: what it left must be whole, then a new life begins.
        assert chunk_digests(home) == expected
        n_lives += 1
        home = tmp_path / f"killed-{n_lives}"
    ingest(home, checkpoint, clip)
    assert chunk_digests(home) == expected
    assert [ordinal for ordinal, _ in chunk_rows(home, checkpoint)] == list(
        range(len(expected) // 2)
    )
