"""A cluster of Ray with two nodes on this machine: killed readers and nodes cost nobody anything.

One cluster for the file: its processes take most of a minute to start.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.config.settings import load_settings
from app.progress import ProgressUpdate
from app.services.context import ServiceContext
from app.services.reprocess import ReprocessOrder
from app.services.sources import identify
from app.worker.archive import ingest_on, reprocess
from app.worker.foreground import ingest_now
from engine.media.encode import write_video
from engine.models.video_xl import model as video_xl
from engine.records import VideoId
from storage.records import JobRow
from tests.support.kills import chunk_digests
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.scale

STORE_BYTES = 80 << 20
CHUNK_S = 3.0
"""What a chunk takes at least until a test lets the readers run, however fast the machine is."""
_PACE = (
    "CREATE TABLE pace (s float)",
    f"INSERT INTO pace VALUES ({CHUNK_S})",
    """CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         PERFORM pg_sleep((SELECT s FROM pace)); RETURN NEW;
       END $$""",
    "CREATE TRIGGER pace BEFORE INSERT ON chunks FOR EACH ROW EXECUTE FUNCTION take_time()",
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes with a core each beside a head that takes no work."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    started = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        started.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    started.wait_for_nodes()
    yield started
    started.shutdown()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    video_xl.write_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(11)
    paths = [folder / f"clip{number}.mp4" for number in range(3)]
    for path in paths:
        write_video(path, (rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(1200)), 4.0)
    return paths


@pytest.fixture(scope="module")
def expected(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, clips: list[Path]
) -> dict[str, str]:
    """The files of one process on one machine."""
    home = tmp_path_factory.mktemp("alone")
    with_clips = library(home, checkpoint, clips)
    ingest_now(with_clips, [*map(str, clips)])
    with_clips.close()
    return chunk_digests(home)


@pytest.fixture
def shared(
    tmp_path: Path, checkpoint: Path, clips: list[Path], postgres_library: str
) -> Iterator[ServiceContext]:
    """A library over PostgreSQL, whose home the nodes see; they read its address there."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "longwatch.toml").write_text(f'database_url = "{postgres_library}"\n')
    opened = library(home, checkpoint, clips)
    yield opened
    opened.close()


@pytest.fixture
def let_run(
    shared: ServiceContext, postgres: PostgresServer, postgres_library: str
) -> Callable[[], None]:
    """Slow the readers of the library down, and return what ends that."""
    name = postgres_library.removeprefix("postgresql://postgres@/").partition("?")[0]
    postgres.execute(*_PACE, database=name)
    return lambda: postgres.execute("UPDATE pace SET s = 0", database=name)


def library(home: Path, checkpoint: Path, clips: Sequence[Path], **flags: object) -> ServiceContext:
    """A library that holds the clips, by ids that are the same in each: they stand in the files."""
    context = ServiceContext(load_settings({"model": str(checkpoint), **flags}, home=home))
    if not context.catalog.videos.list():
        for clip in clips:
            context.catalog.videos.add(
                name=clip.stem, uri=str(clip), identity=identify(clip), id=VideoId(clip.stem)
            )
    return context


def begun(context: ServiceContext, *, n_running: int = 1) -> JobRow | None:
    """A job that a reader has begun and not ended, once so many are under way."""
    running = context.catalog.jobs.list("running")
    if len(running) < n_running:
        return None
    return next((job for job in running if job.progress.done > 0), None)


def check_whole(context: ServiceContext, expected: dict[str, str]) -> None:
    assert chunk_digests(context.settings.home) == expected
    for video in context.catalog.videos.list():
        assert video.status == "ready"
        assert video.fingerprint is not None
        chunks = context.catalog.chunks.list(video.id, video.fingerprint)
        assert [chunk.ref.ordinal for chunk in chunks] == [*range(video.n_chunks)]
    assert not context.catalog.jobs.list("queued", "running", "failed")


def test_killed_reader_costs_a_chunk(
    cluster: Any,
    shared: ServiceContext,
    let_run: Callable[[], None],
    clips: list[Path],
    expected: dict[str, str],
) -> None:
    killed: list[JobRow] = []
    workers: set[str] = set()
    kept: dict[Path, int] = {}

    def kill_one(update: ProgressUpdate) -> None:
        workers.update(job.worker for job in shared.catalog.jobs.list("running") if job.worker)
        if killed and len(workers) > 2:
            let_run()
        job = None if killed else begun(shared, n_running=2)
        if job is None or job.worker is None or job.video is None:
            return
        os.kill(int(job.worker.rpartition(":")[2]), signal.SIGKILL)
        killed.append(job)
        folder = shared.settings.home / "latents"
        for file in folder.glob(f"*/{job.video}/*.safetensors"):
            kept[file] = file.stat().st_mtime_ns

    document = ingest_on(shared, cluster.address, [*map(str, clips)], report=kill_one)
    assert [video.status for video in document.videos] == ["ready"] * 3
    assert len(killed) == 1
    assert kept
    assert len(workers) > 2, "two readers, and one in place of the killed"
    # The file of the last may be that of a chunk whose row was not written yet: it is read again.
    n_rewritten = sum(file.stat().st_mtime_ns != at for file, at in kept.items())
    assert n_rewritten <= 1
    check_whole(shared, expected)


def test_interrupted_run_hands_its_jobs_back(
    cluster: Any,
    shared: ServiceContext,
    let_run: Callable[[], None],
    clips: list[Path],
    expected: dict[str, str],
) -> None:
    def interrupt(update: ProgressUpdate) -> None:
        if begun(shared) is not None:
            let_run()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest_on(shared, cluster.address, [*map(str, clips)], report=interrupt)
    assert not shared.catalog.jobs.list("running")
    assert shared.catalog.jobs.list("queued")
    ingest_on(shared, cluster.address, [*map(str, clips)])
    check_whole(shared, expected)


@pytest.mark.usefixtures("let_run")
def test_cancelled_job_stops_on_its_node(
    cluster: Any, shared: ServiceContext, clips: list[Path]
) -> None:
    def cancel(update: ProgressUpdate) -> None:
        job = begun(shared)
        if job is not None:
            shared.catalog.jobs.cancel(job.id)

    document = ingest_on(shared, cluster.address, [str(clips[0])], report=cancel)
    assert [video.status for video in document.videos] == ["cancelled"]
    assert document.videos[0].chunks > 0


def test_archive_is_read_again_on_the_cluster_by_another_pipeline(
    cluster: Any, tmp_path: Path, checkpoint: Path, clips: list[Path]
) -> None:
    # SQLite: the nodes are processes of this machine.
    home = tmp_path / "home"
    before = library(home, checkpoint, clips[:2], **{"sampling.fps": 0.2})
    ingest_now(before, [*map(str, clips[:2])])
    old = {video.fingerprint for video in before.catalog.videos.list()}
    before.close()
    denser = library(home, checkpoint, (), **{"sampling.fps": 0.4})
    document = reprocess(denser, ReprocessOrder(), on=cluster.address)
    assert [job.state for job in document.jobs] == ["done", "done"]
    assert {job.kind for job in document.jobs} == {"ingest"}
    new = {video.fingerprint for video in denser.catalog.videos.list()}
    assert len(new) == 1
    assert new != old
    assert new == {denser.engine.fingerprint}
    assert reprocess(denser, ReprocessOrder(latents=True)).jobs == []
    denser.close()


def test_a_node_that_dies_costs_a_chunk(
    cluster: Any,
    shared: ServiceContext,
    let_run: Callable[[], None],
    clips: list[Path],
    expected: dict[str, str],
) -> None:
    gone: list[Any] = []

    def remove_node(update: ProgressUpdate) -> None:
        if gone or begun(shared, n_running=2) is None:
            return
        node = next(iter(cluster.worker_nodes))
        gone.append(node)
        cluster.remove_node(node, allow_graceful=False)
        let_run()

    try:
        ingest_on(shared, cluster.address, [*map(str, clips)], report=remove_node)
    finally:
        cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        cluster.wait_for_nodes()
    assert gone
    check_whole(shared, expected)
