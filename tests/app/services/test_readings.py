"""A video that is read again at another density: one reading answers, whatever was before."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.services.access import find_video
from app.services.ask import ask
from app.services.context import ServiceContext
from app.services.repair import reindex
from app.services.scope import resolve_scope
from app.services.search import search
from app.worker.foreground import ingest_now
from tests.app.services.conftest import DURATION_S, open_library


@contextmanager
def opened(home: Path, checkpoint: Path, fps: float = 1.0) -> Iterator[ServiceContext]:
    context = open_library(home, checkpoint, sampling__fps=fps)
    try:
        yield context
    finally:
        context.close()


def moments(context: ServiceContext) -> list[tuple[float, float, float]]:
    """The hits of a search, and how much was looked at, which is never more than there is."""
    response = search(context, "a door", resolve_scope(context))
    assert response.searched_s == pytest.approx(DURATION_S, abs=0.5)
    answer = ask(context, "What is on the door?", resolve_scope(context), recall="overview")
    assert answer.searched_s == pytest.approx(DURATION_S, abs=0.5)
    return [(hit.start_s, hit.end_s, hit.score) for hit in response.hits]


def readings(home: Path) -> set[str]:
    return {path.parts[-3] for path in (home / "latents").glob("*/*/*.safetensors")}


@pytest.mark.parametrize("opened_at_fps", [1.0, 4.0])
def test_denser_reading_answers_as_in_a_fresh_library(
    tmp_path: Path, checkpoint: Path, clip: Path, opened_at_fps: float
) -> None:
    with opened(tmp_path / "fresh", checkpoint, 4.0) as fresh:
        ingest_now(fresh, [str(clip)])
        expected = moments(fresh)
    with opened(tmp_path / "home", checkpoint) as plain:
        ingest_now(plain, [str(clip)])
        assert moments(plain) != expected
    with opened(tmp_path / "home", checkpoint, 4.0) as dense:
        ingest_now(dense, [str(clip)])
        assert moments(dense) == expected
    with opened(tmp_path / "home", checkpoint, opened_at_fps) as later:
        assert moments(later) == expected
        assert "24 chunks indexed" in reindex(later).message
        assert moments(later) == expected
    assert len(readings(tmp_path / "home")) == 1


def test_running_process_answers_from_the_reading_that_another_made(
    tmp_path: Path, checkpoint: Path, clip: Path
) -> None:
    with opened(tmp_path, checkpoint) as running:
        ingest_now(running, [str(clip)])
        moments(running)
        with opened(tmp_path, checkpoint, 4.0) as other:
            ingest_now(other, [str(clip)])
            expected = moments(other)
        assert moments(running) == expected
        running.engine.save_index()
    with opened(tmp_path, checkpoint) as later:
        assert moments(later) == expected


def test_going_back_to_an_earlier_density_gives_the_earlier_chunks(
    tmp_path: Path, checkpoint: Path, clip: Path
) -> None:
    def chunks(context: ServiceContext) -> list[tuple[int, float, float, str]]:
        video = find_video(context, "front door")
        assert video.fingerprint is not None
        listed = context.catalog.chunks.list(video.id, video.fingerprint)
        return [
            (chunk.ref.ordinal, chunk.ref.span.start_s, chunk.ref.span.end_s, chunk.checksum)
            for chunk in listed
        ]

    with opened(tmp_path, checkpoint) as plain:
        first = ingest_now(plain, [str(clip)]).videos[0]
        expected = chunks(plain)
    for fps in (2.0, 4.0):
        with opened(tmp_path, checkpoint, fps) as dense:
            ingest_now(dense, [str(clip)])
    with opened(tmp_path, checkpoint) as plain:
        again = ingest_now(plain, [str(clip)]).videos[0]
        assert chunks(plain) == expected
        assert moments(plain)
    assert (again.chunks, again.frames_encoded) == (first.chunks, first.frames_encoded)
    assert len(readings(tmp_path)) == 1
