"""Cameras that several workers share: one reader each, whoever dies or sleeps past its lease."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from app.schemas.cameras import CameraItem
from app.services.camera_registry import add_camera, list_cameras, show_camera
from app.services.context import ServiceContext
from app.services.timelines import LEAST_GAP_S, parts_of
from storage.camera_records import CameraRow
from storage.catalog import utc_now
from tests.app.services.conftest import open_library
from tests.support.clock_camera import drawn_clock, open_clock_camera
from tests.support.waiting import wait_until

PATIENCE_S = 180.0
LEASE_S = 5.0


@pytest.fixture(scope="module")
def clocks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return drawn_clock(tmp_path_factory.mktemp("clock"))


@pytest.fixture
def library(tmp_path: Path, checkpoint: Path) -> Iterator[ServiceContext]:
    opened = open_library(
        tmp_path / "home", checkpoint, allow_network=True, workers__camera_lease_s=LEASE_S
    )
    yield opened
    opened.close()


class WorkerProcess:
    """A process of `longwatch worker` on a library."""

    def __init__(self, library: ServiceContext) -> None:
        settings = library.settings
        environment = os.environ | {
            "LONGWATCH_MODEL": settings.model,
            "LONGWATCH_ALLOW_NETWORK": "true",
            "LONGWATCH_SAMPLING__THIN_STATIC": "false",
            "LONGWATCH_WORKERS__CAMERA_LEASE_S": str(LEASE_S),
        }
        command = [sys.executable, "-m", "app", "worker", "--home", str(settings.home)]
        self.process = subprocess.Popen(
            command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
        )

    @property
    def pid(self) -> str:
        return str(self.process.pid)

    def end(self) -> None:
        """Kill it, should it still be there, stopped or not."""
        self.process.kill()
        self.process.wait()


@contextmanager
def workers(library: ServiceContext, count: int) -> Iterator[list[WorkerProcess]]:
    with ExitStack() as stack:
        running = []
        for _ in range(count):
            running.append(WorkerProcess(library))
            stack.callback(running[-1].end)
        wait_until(lambda: len(library.catalog.workers.present(silent_s=LEASE_S)) == count)
        yield running


def reader(library: ServiceContext) -> str:
    """The process that films the camera, or nothing."""
    return (show_camera(library, "Gate").cameras[0].worker or ":").rpartition(":")[2]


def other(running: list[WorkerProcess], pid: str) -> WorkerProcess:
    (found,) = (worker for worker in running if worker.pid != pid)
    return found


def filmed_s(library: ServiceContext, gate: CameraRow, part: int) -> float:
    parts = parts_of(library, gate)
    return parts[part].ingested_s if len(parts) > part else 0.0


def check_timeline(library: ServiceContext, gate: CameraRow, n_parts: int) -> None:
    """Hold that parts follow each other without an overlap, each chunk once, gaps shown."""
    parts = parts_of(library, gate)
    assert len(parts) == n_parts
    for before, behind in pairwise(parts):
        end_at = before.at(before.ingested_s)
        assert end_at is not None
        assert behind.start_at is not None
        assert end_at <= behind.start_at, "nobody filmed beside another"
    for part in parts:
        assert part.fingerprint is not None
        chunks = library.catalog.chunks.list(part.id, part.fingerprint)
        assert [chunk.ref.ordinal for chunk in chunks] == [*range(part.n_chunks)]
        for before_chunk, behind_chunk in pairwise(chunks):
            assert before_chunk.ref.span.end_s <= behind_chunk.ref.span.start_s
        files = library.engine.cache.ordinals(part.id)
        assert [*files] == [*range(part.n_chunks)], "no file without its row"
    recorded = sorted(library.catalog.segments.list(gate.id), key=lambda row: row.start_at)
    for before_file, behind_file in pairwise(recorded):
        assert before_file.end_at <= behind_file.start_at, "recorded once"
    shown = [False]
    for before, behind in pairwise(parts):
        # On one machine a dead worker is known at once, and its camera may be filmed on so soon
        # that nobody would call it a gap.
        away_s = (behind.start_at - before.at(before.ingested_s)).total_seconds()
        shown += [True, False] if away_s > LEAST_GAP_S else [False]
    line: list[CameraItem] = show_camera(library, "Gate").cameras
    assert [stretch.is_gap for stretch in line[0].timeline] == shown


def test_killed_worker_hands_over_in_seconds(
    library: ServiceContext, clocks: tuple[Path, Path]
) -> None:
    with open_clock_camera(clocks) as camera, workers(library, 2) as running:
        gate = add_camera(library, "Gate", camera.address)
        wait_until(lambda: filmed_s(library, gate, 0) >= 5)
        first = reader(library)
        survivor = other(running, first)
        os.kill(int(first), signal.SIGKILL)
        wait_until(lambda: reader(library) == survivor.pid)
        wait_until(lambda: filmed_s(library, gate, 1) >= 5)
        survivor.process.send_signal(signal.SIGTERM)
        assert survivor.process.wait(PATIENCE_S) == 0
    check_timeline(library, gate, 2)


def test_worker_that_slept_past_its_lease_writes_nothing_more(
    library: ServiceContext, clocks: tuple[Path, Path]
) -> None:
    with open_clock_camera(clocks) as camera, workers(library, 2) as running:
        gate = add_camera(library, "Gate", camera.address)
        wait_until(lambda: filmed_s(library, gate, 0) >= 5)
        first = reader(library)
        survivor = other(running, first)
        os.kill(int(first), signal.SIGSTOP)
        stopped_at = utc_now()
        wait_until(lambda: reader(library) == survivor.pid)
        wait_until(lambda: filmed_s(library, gate, 1) >= 5)
        (before, _) = parts_of(library, gate)
        os.kill(int(first), signal.SIGCONT)
        # It has woken when it is among the workers again; then it has heard whose the camera is.
        wait_until(
            lambda: any(
                row.name.endswith(f":{first}") and row.seen_at > stopped_at
                for row in library.catalog.workers.present(silent_s=LEASE_S)
            )
        )
        reached_s = filmed_s(library, gate, 1)
        wait_until(lambda: filmed_s(library, gate, 1) >= reached_s + 5)
        assert reader(library) == survivor.pid
        assert parts_of(library, gate)[0] == before, "what was handed over stays as it was"
        assert camera.n_connections == 2
        for worker in running:
            worker.process.send_signal(signal.SIGTERM)
            assert worker.process.wait(PATIENCE_S) == 0
    check_timeline(library, gate, 2)


def test_cameras_are_spread_over_workers(
    library: ServiceContext, clocks: tuple[Path, Path]
) -> None:
    with open_clock_camera(clocks) as camera, workers(library, 2):
        for name in ("Gate", "Yard", "Door", "Hall"):
            add_camera(library, name, camera.address)

        def spread() -> list[int]:
            filming = (item.worker for item in list_cameras(library).cameras)
            return sorted(Counter(worker for worker in filming if worker).values())

        wait_until(lambda: sum(spread()) == 4)
        assert spread() == [2, 2]
