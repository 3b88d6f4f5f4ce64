"""Removal, reindex, upload, migration and ingest, killed between any two of their changes.

Whole before or after, nothing half removed, and the next run ends what was begun.
"""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from app.progress import Unattended
from app.services.access import find_video
from app.services.ask import ask
from app.services.context import ServiceContext
from app.services.ingest import add_source, read_video
from app.services.library import finish_removals, list_videos, remove_video
from app.services.orphans import find_orphans
from app.services.repair import reindex
from app.services.scope import resolve_scope
from app.services.uploads import (
    PartLocks,
    UploadPart,
    admit_upload,
    announce_upload,
    finish_uploads,
)
from app.worker.foreground import ingest_now
from engine.records import Fingerprint
from storage.catalog import open_catalog
from storage.database import Database
from storage.migrations import upgrade
from storage.records import UploadRow
from tests.app.services.conftest import DURATION_S, open_library
from tests.storage.test_migrations import fill
from tests.support.camera import open_camera
from tests.support.kills import count_changes, moments, run_killed
from tests.support.synthetic import encoded_video

N_CHUNKS = DURATION_S // 4
KILLS = [6, pytest.param(None, marks=pytest.mark.slow)]
"""Moments of a kill in the default run; all there are in the long one."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, clip: Path) -> Path:
    """A home with one video, to be copied."""
    home = tmp_path_factory.mktemp("whole") / "home"
    context = open_library(home, checkpoint)
    ingest_now(context, [str(clip)])
    context.close()
    return home


def kill(
    home: Path,
    checkpoint: Path,
    work: Callable[[ServiceContext], object],
    at_change: int | None = None,
    **flags: object,
) -> int:
    """Run a use case in a child and kill it before one of its changes; `None` counts them."""

    def run() -> None:
        context = open_library(home, checkpoint, **flags)
        work(context)
        context.close()

    if at_change is None:
        return count_changes(home, run)
    run_killed(home, run, at_change)
    return at_change


def copied(whole: Path, home: Path) -> Path:
    return Path(shutil.copytree(whole, home))


def latents(home: Path) -> dict[str, bytes]:
    paths = (home / "latents").rglob("*.safetensors*")
    return {str(path.relative_to(home)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("n_kills", KILLS)
def test_killed_removal_leaves_a_whole_video_or_none(
    tmp_path: Path, checkpoint: Path, whole: Path, n_kills: int | None
) -> None:
    def remove(context: ServiceContext) -> None:
        remove_video(context, find_video(context, "front door"))

    n_changes = kill(copied(whole, tmp_path / "count"), checkpoint, remove)
    for moment in moments(n_changes, n_kills):
        home = copied(whole, tmp_path / str(moment))
        kill(home, checkpoint, remove, moment)
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
    home = copied(whole, tmp_path / "home")
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
    tmp_path: Path, checkpoint: Path, whole: Path, clip: Path, n_kills: int | None
) -> None:
    def damaged(name: str) -> Path:
        home = copied(whole, tmp_path / name)
        (path,) = home.glob("latents/*/*/00000002.safetensors")
        path.write_bytes(path.read_bytes()[:-1] + b"\xff\xff")
        return home

    for moment in moments(kill(damaged("count"), checkpoint, reindex), n_kills):
        home = damaged(str(moment))
        kill(home, checkpoint, reindex, moment)
        context = open_library(home, checkpoint)
        reindex(context)
        assert ingest_now(context, [str(clip)]).videos[0].chunks == N_CHUNKS
        assert latents(home) == latents(whole)
        context.close()


@pytest.mark.parametrize("n_kills", KILLS)
def test_killed_admission_of_an_upload_ends_in_one_video(
    tmp_path: Path, checkpoint: Path, clip: Path, n_kills: int | None
) -> None:
    data, flags = clip.read_bytes(), {"limits__disk_reserve_bytes": "1MB"}

    def uploaded(name: str) -> tuple[Path, UploadRow]:
        home = tmp_path / name
        context = open_library(home, checkpoint, **flags)
        user = context.catalog.accounts.add_user("ada", "admin")
        row = announce_upload(context, user.id, size_bytes=len(data), file_name="door.mp4")
        part = UploadPart(context, row, 0)
        part.write(data)
        row = part.close()
        context.close()
        return home, row

    home, row = uploaded("count")
    n_changes = kill(home, checkpoint, partial(admit_upload, row=row), **flags)
    for moment in moments(n_changes, n_kills):
        home, row = uploaded(str(moment))
        kill(home, checkpoint, partial(admit_upload, row=row), moment, **flags)
        context = open_library(home, checkpoint, **flags)
        finish_uploads(context, PartLocks())
        (video,) = context.catalog.videos.list()
        assert (video.name, Path(video.uri).read_bytes()) == ("door", data)
        assert context.catalog.uploads.get(row.id).video == video.id
        assert find_orphans(context) == ()
        context.close()


@pytest.mark.parametrize("n_kills", KILLS)
def test_killed_ingest_goes_on_to_the_same_latents(
    tmp_path: Path, checkpoint: Path, whole: Path, clip: Path, n_kills: int | None
) -> None:
    def begun(name: str) -> Path:
        """The row of the whole library, and none of its chunks."""
        home = copied(whole, tmp_path / name)
        shutil.rmtree(home / "latents")
        shutil.rmtree(home / "index")
        context = open_library(home, checkpoint)
        row = find_video(context, "front door")
        assert row.fingerprint is not None
        context.catalog.chunks.replace(row.id, row.fingerprint, ())
        context.catalog.videos.set_status(row.id, "queued")
        context.close()
        return home

    def ingest(context: ServiceContext) -> None:
        ingest_now(context, [str(clip)])

    for moment in moments(kill(begun("count"), checkpoint, ingest), n_kills):
        home = begun(str(moment))
        kill(home, checkpoint, ingest, moment)
        context = open_library(home, checkpoint)
        assert ingest_now(context, [str(clip)]).videos[0].chunks == N_CHUNKS
        assert latents(home) == latents(whole)
        assert not list(home.rglob("*.part"))
        context.close()


@pytest.mark.parametrize("n_kills", KILLS)
def test_killed_migration_keeps_every_row(tmp_path: Path, n_kills: int | None) -> None:
    def old(name: str) -> tuple[Path, str]:
        (tmp_path / name).mkdir()
        url = f"sqlite:///{tmp_path / name / 'longwatch.db'}"
        database = Database(url)
        upgrade(database, "0001")
        fill(database, "0001")
        database.close()
        return tmp_path / name, url

    folder, url = old("count")
    n_changes = count_changes(folder, lambda: open_catalog(url).close())
    for moment in moments(n_changes, n_kills):
        folder, url = old(str(moment))
        run_killed(folder, lambda url=url: open_catalog(url).close(), moment)
        with open_catalog(url) as catalog:
            video = catalog.videos.resolve("lobby")
            assert [chunk.checksum for chunk in catalog.chunks.list(video.id, Fingerprint("nano"))]
            assert catalog.jobs.list("failed", video=video.id)


class _StopAfter(Unattended):
    """A job that ends by itself once so many chunks are committed."""

    def __init__(self, n_chunks: int) -> None:
        self._left = n_chunks

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        self._left -= 1

    def should_stop(self) -> bool:
        return self._left <= 0


@pytest.mark.parametrize("n_kills", KILLS)
def test_killed_camera_keeps_what_it_saw_and_goes_on(
    tmp_path: Path, checkpoint: Path, n_kills: int | None
) -> None:
    part = encoded_video(tmp_path / "part.ts", 750, gop_frames=25, noise=False).read_bytes()
    flags = {"allow_network": True}

    def watch(context: ServiceContext) -> None:
        (row,) = context.catalog.videos.list()
        read_video(context, row, _StopAfter(3))

    with open_camera([part] * 1000) as camera:

        def added(name: str) -> Path:
            context = open_library(tmp_path / name, checkpoint, **flags)
            add_source(context, camera.address())
            context.close()
            return tmp_path / name

        for moment in moments(kill(added("count"), checkpoint, watch, **flags), n_kills):
            home = added(str(moment))
            kill(home, checkpoint, watch, moment, **flags)
            seen = {name: data for name, data in latents(home).items() if ".part" not in name}
            context = open_library(home, checkpoint, **flags)
            watch(context)
            (row,) = context.catalog.videos.list()
            # It was stopped, not cancelled: the next worker goes on.
            assert row.status == "queued"
            assert row.fingerprint is not None
            chunks = context.catalog.chunks.list(row.id, row.fingerprint)
            assert [chunk.ref.ordinal for chunk in chunks] == [*range(len(seen) + 3)]
            now = latents(home)
            assert len(now) == len(chunks)
            assert {name: now[name] for name in seen} == seen
            starts = [chunk.ref.span.start_s for chunk in chunks]
            assert starts == sorted(set(starts))
            context.close()
