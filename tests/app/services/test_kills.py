"""Removal, reindex and the admission of uploads, killed at any moment: whole before or after.

The use case runs in a forked child, so that many kills do not load torch as often.
"""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from app.services.access import find_video
from app.services.ask import ask
from app.services.context import ServiceContext
from app.services.library import finish_removals, list_videos, remove_video
from app.services.orphans import find_orphans
from app.services.repair import reindex
from app.services.scope import resolve_scope
from app.services.uploads import UploadPart, admit_upload, announce_upload, finish_uploads
from app.worker.foreground import ingest_now
from tests.app.services.conftest import DURATION_S, open_library

N_CHUNKS = DURATION_S // 4
MOMENTS = random.Random(2026)
KILLS = [3, pytest.param(20, marks=pytest.mark.slow)]
"""Kills in the default run, and in the long one."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, clip: Path) -> Path:
    """A home with one video, to be copied."""
    home = tmp_path_factory.mktemp("whole") / "home"
    context = open_library(home, checkpoint)
    ingest_now(context, [str(clip)])
    context.close()
    return home


def run_killed(
    home: Path, checkpoint: Path, work: Callable[[ServiceContext], object], *, within_s: float
) -> None:
    """Run a use case in a child; it is killed a random time after its model is loaded."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            context = open_library(home, checkpoint)
            _ = context.engine
            os.write(writing, b"!")
            work(context)
        finally:
            os._exit(0)
    os.read(reading, 1)
    time.sleep(MOMENTS.uniform(0.0, within_s))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)


def copies(whole: Path, folder: Path, count: int) -> Iterator[Path]:
    for number in range(count):
        yield Path(shutil.copytree(whole, folder / str(number)))


def latents(home: Path) -> dict[str, bytes]:
    paths = (home / "latents").rglob("*.safetensors*")
    return {str(path.relative_to(home)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("n_kills", KILLS)
def test_killed_removal_leaves_a_whole_video_or_none(
    tmp_path: Path, checkpoint: Path, whole: Path, n_kills: int
) -> None:
    for home in copies(whole, tmp_path, n_kills):
        run_killed(
            home,
            checkpoint,
            lambda c: remove_video(c, find_video(c, "front door")),
            within_s=0.06,
        )
        context = open_library(home, checkpoint)
        if list_videos(context).videos:
            assert latents(home) == latents(whole)
            assert ask(context, "What happens?", resolve_scope(context)).answer
            remove_video(context, find_video(context, "front door"))
        finish_removals(context)
        assert context.catalog.videos.list("removing", "ready") == ()
        assert find_orphans(context) == ()
        assert not [path for path in (home / "latents").rglob("*") if path.is_file()]
        context.close()


def test_removal_that_a_kill_interrupted_is_ended_by_the_next_ingest(
    tmp_path: Path, checkpoint: Path, whole: Path, clip: Path
) -> None:
    (home,) = copies(whole, tmp_path, 1)
    context = open_library(home, checkpoint)
    old = find_video(context, "front door")
    context.catalog.videos.set_status(old.id, "removing")
    assert list_videos(context).videos == []
    video = ingest_now(context, [str(clip)]).videos[0]
    assert video.video_id != old.id
    assert (video.name, video.chunks) == ("front door", N_CHUNKS)
    assert not list((home / "latents").glob(f"*/{old.id}"))
    context.close()


@pytest.mark.parametrize("n_kills", KILLS)
def test_killed_reindex_changes_nothing_that_the_next_does_not_mend(
    tmp_path: Path, checkpoint: Path, whole: Path, clip: Path, n_kills: int
) -> None:
    for home in copies(whole, tmp_path, n_kills):
        (path,) = home.glob("latents/*/*/00000002.safetensors")
        path.write_bytes(path.read_bytes()[:-1] + b"\xff\xff")
        run_killed(home, checkpoint, reindex, within_s=0.06)
        context = open_library(home, checkpoint)
        reindex(context)
        assert ingest_now(context, [str(clip)]).videos[0].chunks == N_CHUNKS
        assert latents(home) == latents(whole)
        context.close()


@pytest.mark.parametrize("n_kills", KILLS)
def test_killed_admission_of_an_upload_ends_in_one_video(
    tmp_path: Path, checkpoint: Path, clip: Path, n_kills: int
) -> None:
    data = clip.read_bytes()
    for number in range(n_kills):
        home = tmp_path / str(number)
        context = open_library(home, checkpoint, limits__disk_reserve_bytes="1MB")
        user = context.catalog.accounts.add_user("ada", "admin")
        row = announce_upload(context, user.id, size_bytes=len(data), file_name="door.mp4")
        part = UploadPart(context, row, 0)
        part.write(data)
        row = part.close()
        context.close()
        run_killed(home, checkpoint, partial(admit_upload, row=row), within_s=0.8)
        context = open_library(home, checkpoint)
        finish_uploads(context)
        (video,) = context.catalog.videos.list()
        assert (video.name, Path(video.uri).read_bytes()) == ("door", data)
        assert context.catalog.uploads.get(row.id).video == video.id
        assert find_orphans(context) == ()
        context.close()
