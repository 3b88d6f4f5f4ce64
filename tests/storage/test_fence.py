"""A worker that lost its job to another changes nothing of what the other works on."""

import inspect
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from engine.errors import LeaseLostError
from engine.probe_records import ProbeCell, ProbeResult
from engine.records import Caption, Observed, TimeSpan, VideoId
from storage.catalog import Catalog
from storage.records import CameraId, JobRow, StartClock, VideoRow
from tests.storage.conftest import Clock
from tests.storage.samples import DENSER, NANO, chunk, read_by
from tests.support.observations import words

SPAN = TimeSpan(start_s=0.0, end_s=1.0)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUN = ProbeResult(haystack="x", model="m", compression_ratio=8, recall="top")
CELL = ProbeCell(
    length_frames=64,
    length_s=64.0,
    depth=0.5,
    n=1,
    answers_right=1,
    evidence_hit_at_1=1,
    evidence_hit_at_5=1,
)


@pytest.fixture
def video(catalog: Catalog) -> VideoRow:
    """A video of which something was read, seen and heard, before its job was lost to another."""
    catalog.cameras.add(name="Gate", address="rtsp://gate/")
    catalog.probes.add(RUN)
    video = catalog.videos.add(name="Gate", uri="rtsp://gate/")
    read_by(catalog, video.id, DENSER)
    catalog.chunks.commit(chunk(video.id, 0, fingerprint=DENSER))
    catalog.observations.extend([words("speech", 0, 1, "hello", video=video.id)], heard(video.id))
    return read_by(catalog, video.id)


def heard(video: VideoId) -> Observed:
    return Observed(video=video, kind="speech", model="m", labels=frozenset(), span=SPAN)


def camera(catalog: Catalog) -> CameraId:
    return catalog.cameras.list()[0].id


@pytest.fixture
def claims(catalog: Catalog, clock: Clock, video: VideoRow) -> tuple[JobRow, JobRow]:
    """The claim of a worker that fell silent, and that of the one which took over."""
    catalog.jobs.add("film", {}, video=video.id)
    stale = catalog.jobs.claim("a", ["film"], lease_s=10)
    clock.advance(11)
    held = catalog.jobs.claim("b", ["film"], lease_s=10)
    assert stale is not None
    assert held is not None
    return stale, held


Write = Callable[[Catalog, VideoRow, JobRow], object]
WRITES: dict[str, Write] = {
    "chunks.commit": lambda catalog, video, holder: catalog.chunks.commit(
        chunk(video.id, 0), holder=holder
    ),
    "videos.begin_ingest": lambda catalog, video, holder: catalog.videos.begin_ingest(
        video.id,
        fingerprint=NANO,
        model="m",
        sample_fps=1.0,
        compression_ratio=8,
        holder=holder,
    ),
    "videos.end_ingest": lambda catalog, video, holder: catalog.videos.end_ingest(
        video.id, "failed", wall_s=1.0, holder=holder
    ),
    "videos.add": lambda catalog, video, holder: catalog.videos.add(
        name="x", uri="x", holder=holder
    ),
    "observations.extend": lambda catalog, video, holder: catalog.observations.extend(
        [],
        Observed(video=video.id, kind="object", model="m", labels=frozenset(), span=SPAN),
        holder=holder,
    ),
    "observations.forget": lambda catalog, video, holder: catalog.observations.forget(
        video.id, ["speech"], holder=holder
    ),
    "observations.set_vectors": lambda catalog, video, holder: catalog.observations.set_vectors(
        {row.id: b"\0\1" for row in catalog.observations.without_vector(video.id, "minilm")},
        "minilm",
        holder=holder,
    ),
    "captions.add": lambda catalog, video, holder: catalog.captions.add(
        Caption(ref=chunk(video.id, 0).ref, fingerprint=NANO, model="m", text="A dog."),
        holder=holder,
    ),
    "chunks.bring_up": lambda catalog, video, holder: catalog.chunks.bring_up(
        video.id, NANO, [chunk(video.id, 0)], (), holder=holder
    ),
    "chunks.replace": lambda catalog, video, holder: catalog.chunks.replace(
        video.id, NANO, [chunk(video.id, 0)], holder=holder
    ),
    "chunks.keep_reading": lambda catalog, video, holder: catalog.chunks.keep_reading(
        video.id, NANO, holder=holder
    ),
    "videos.set_clock": lambda catalog, video, holder: catalog.videos.set_clock(
        video.id, StartClock(at=NOON, source="live"), timezone=None, holder=holder
    ),
    "videos.remove": lambda catalog, video, holder: catalog.videos.remove(video.id, holder=holder),
    "cameras.count": lambda catalog, video, holder: catalog.cameras.count(
        camera(catalog), connects=1, holder=holder
    ),
    "cameras.set_state": lambda catalog, video, holder: catalog.cameras.set_state(
        camera(catalog), "live", holder=holder
    ),
    "probes.add": lambda catalog, video, holder: catalog.probes.add(RUN, holder=holder),
    "probes.add_cell": lambda catalog, video, holder: catalog.probes.add_cell(
        catalog.probes.list()[0].id, CELL, wall_s=1.0, holder=holder
    ),
}


def written(catalog: Catalog, video: VideoRow) -> tuple[object, ...]:
    """All that a job may change."""
    return (
        catalog.videos.list(),
        catalog.chunks.list(video.id, NANO),
        catalog.chunks.list(video.id, DENSER),
        catalog.observations.reach(),
        catalog.observations.list(None),
        catalog.observations.vectors(None, "minilm"),
        catalog.captions.list(video.id),
        catalog.cameras.list(),
        catalog.probes.list(),
    )


@pytest.mark.parametrize("name", WRITES)
def test_stale_worker_writes_nothing(
    catalog: Catalog, video: VideoRow, claims: tuple[JobRow, JobRow], name: str
) -> None:
    stale, held = claims
    before = written(catalog, video)
    with pytest.raises(LeaseLostError, match="another worker's"):
        WRITES[name](catalog, video, stale)
    assert written(catalog, video) == before
    WRITES[name](catalog, video, held)
    assert written(catalog, video) != before


def test_every_write_for_a_holder_is_tried(catalog: Catalog) -> None:
    repositories = {name: part for name, part in vars(catalog).items() if not name.startswith("_")}
    fenced = {
        f"{name}.{method}"
        for name, part in repositories.items()
        for method, function in inspect.getmembers(part, inspect.ismethod)
        if "holder" in inspect.signature(function).parameters
    }
    assert fenced == WRITES.keys()


def test_ended_job_is_nobodys(catalog: Catalog, claims: tuple[JobRow, JobRow]) -> None:
    _, held = claims
    catalog.jobs.check_held(held)
    catalog.jobs.finish(held)
    with pytest.raises(LeaseLostError):
        catalog.jobs.check_held(held)
