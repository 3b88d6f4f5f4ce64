"""A camera is observed while it films: stills, rows and answers are there before its end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from app.config.settings import load_settings
from app.services.ask import ask
from app.services.context import ServiceContext
from app.services.ingest import add_source
from app.services.ingest_jobs import enqueue_ingest
from app.services.observations import list_observations
from app.services.observe import LIVE_STEP_S
from app.services.pictures import kept_still
from app.services.scope import resolve_scope
from app.services.search import search
from app.worker.foreground import ingest_now
from app.worker.handlers import open_worker
from engine.errors import UnreachableError
from storage.records import VideoRow
from tests.support.camera import Camera, open_camera
from tests.support.visits import VISITS_S, as_stream, write_visits
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Somebody who comes twice, and a while of nothing: more than one look of the observers."""
    folder = tmp_path_factory.mktemp("part")
    return as_stream(write_visits(folder / "lobby.mp4", length_s=round(LIVE_STEP_S) + 20))


@contextmanager
def filming(part: bytes) -> Iterator[tuple[Camera, threading.Event]]:
    """A camera that has sent a part, and films on until the event is set."""
    held = threading.Event()
    with open_camera([part] * 2, held=held) as camera:
        try:
            yield camera, held
        finally:
            held.set()


def open_library(home: Path) -> ServiceContext:
    return ServiceContext(
        load_settings({"sight.observers": ["objects"], "allow_network": True}, home=home)
    )


def visits(context: ServiceContext, video: VideoRow) -> list[tuple[float, float]]:
    rows = list_observations(context, video.id, labels=["person"]).observations
    return [(row.start_s, row.end_s) for row in rows]


def check_what_is_known(context: ServiceContext, video: VideoRow) -> None:
    """Answers, evidence with pictures, and search, of a camera that still films."""
    assert context.catalog.videos.get(video.id).status == "ingesting"
    assert visits(context, video) == VISITS_S
    scope = resolve_scope(context, [video.id])
    answer = ask(context, "Is there a person?", scope)
    assert answer.answered_by == "observations"
    assert answer.answer.startswith("Yes")
    first_s = answer.evidence[0].keyframe_s
    assert kept_still(context, video, first_s, 640) is not None
    assert any(hit.kind == "object" for hit in search(context, "a person", scope).hits)


def test_a_worker_observes_a_camera_while_it_films(tmp_path: Path, part: bytes) -> None:
    context = open_library(tmp_path)
    with filming(part) as (camera, held):
        video = add_source(context, camera.address(""))
        enqueue_ingest(context, video)
        worker = open_worker(context)
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            wait_until(lambda: len(visits(context, video)) == len(VISITS_S))
            check_what_is_known(context, video)
        finally:
            worker.stop()
            # The reader looks whether to stop when the camera sends something, or has gone.
            held.set()
            thread.join()
    context.close()


def test_a_command_observes_a_camera_while_it_films(tmp_path: Path, part: bytes) -> None:
    context = open_library(tmp_path)
    stopping = threading.Event()
    with filming(part) as (camera, held):

        def read() -> None:
            # A camera has no end: it says that it was stopped.
            with suppress(UnreachableError):
                ingest_now(context, [camera.address("")], stopping=stopping)

        thread = threading.Thread(target=read)
        thread.start()
        try:
            wait_until(lambda: bool(context.catalog.videos.list()))
            (video,) = context.catalog.videos.list()
            wait_until(lambda: len(visits(context, video)) == len(VISITS_S))
            check_what_is_known(context, video)
        finally:
            stopping.set()
            held.set()
            thread.join()
    context.close()
