"""The index in PostgreSQL where it does not look at everything: proposals, statistics, graph."""

from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from engine.index import pgvector
from engine.index.exact import ExactIndex
from engine.index.pgvector import PgVectorIndex
from engine.records import ALL_TIME, ChunkRef, Fingerprint, Scope, TimeSpan, VideoId
from storage.vector_table import PgVectorTable
from storage.vectors import PgVectorTables

pytestmark = pytest.mark.scale

DIM = 32
PIPELINE = Fingerprint("f00d")
N_VIDEOS, N_CHUNKS, N_FRAMES = 12, 30, 5


@pytest.fixture
def tables(postgres_url: str) -> Iterator[PgVectorTables]:
    opened = PgVectorTables(postgres_url, busy_timeout_s=60)
    assert opened.readiness().is_ready
    yield opened
    opened.close()


def opened(tables: PgVectorTables) -> PgVectorIndex:
    return pgvector.open_index(DIM, Path(), PIPELINE, tables=tables)


def chunk(video: int, ordinal: int) -> tuple[ChunkRef, torch.Tensor, torch.Tensor]:
    """A chunk of one scene: frames around a centre of their own."""
    generator = torch.Generator().manual_seed(1000 * video + ordinal)
    centre = torch.randn(DIM, generator=generator)
    frames = centre + 0.3 * torch.randn(N_FRAMES, DIM, generator=generator)
    start_s = float(N_FRAMES * ordinal)
    ref = ChunkRef(
        video=VideoId(f"v{video}"),
        ordinal=ordinal,
        span=TimeSpan(start_s=start_s, end_s=start_s + N_FRAMES),
    )
    pts_s = start_s + torch.arange(N_FRAMES, dtype=torch.float64)
    return ref, normalize(frames, dim=1).half().float(), pts_s


@pytest.fixture
def filled(
    tables: PgVectorTables, monkeypatch: pytest.MonkeyPatch
) -> tuple[PgVectorIndex, ExactIndex]:
    """An index that takes what it holds for much, and the oracle."""
    monkeypatch.setattr(pgvector, "EXACT_FRAMES", 20)
    monkeypatch.setattr(pgvector, "GRAPH_CHUNKS", 50)
    # Where a graph would cost more than a pass over centres is not what is asked here.
    monkeypatch.setattr(pgvector, "_GRAPH_COST", 0)
    index, oracle = opened(tables), ExactIndex(DIM)
    table = tables.open(PIPELINE, DIM)
    for video in range(N_VIDEOS):
        chunks = [chunk(video, ordinal) for ordinal in range(N_CHUNKS)]
        table.add([(ref, vectors.numpy(), pts_s.numpy()) for ref, vectors, pts_s in chunks])
        for part in chunks:
            oracle.add([part])
    index.save(Path(), PIPELINE)
    index.settle()
    return index, oracle


SCOPES: dict[str, Scope | None] = {
    "everything": None,
    "a camera": [(VideoId(f"v{video}"), ALL_TIME) for video in range(0, N_VIDEOS, 3)],
    "its first half": [
        (VideoId(f"v{video}"), TimeSpan(start_s=2.0, end_s=77.0)) for video in range(0, N_VIDEOS, 3)
    ],
}


@pytest.mark.parametrize("name", SCOPES)
def test_what_centres_propose_is_nearly_what_a_pass_over_all_finds(
    filled: tuple[PgVectorIndex, ExactIndex], name: str
) -> None:
    index, oracle = filled
    scope = SCOPES[name]
    shares = []
    for video, ordinal in ((0, 3), (3, 14), (6, 9), (9, 1)):
        query = chunk(video, ordinal)[1][0]
        tried, exact = (held.search(query, 10, within=scope) for held in (index, oracle))
        best = {hit.chunk: hit for hit in exact.hits}
        shares.append(len(best.keys() & {hit.chunk for hit in tried.hits}) / len(best))
        assert tried.hits[0].chunk == exact.hits[0].chunk
        for hit in tried.hits:
            if hit.chunk in best:
                assert hit.peak_s == best[hit.chunk].peak_s
                assert hit.score == pytest.approx(best[hit.chunk].score, abs=1e-6)
    assert np.mean(shares) >= 0.9


def test_means_of_an_estimate_are_those_of_whole_videos_and_its_deviation_is_near(
    filled: tuple[PgVectorIndex, ExactIndex],
) -> None:
    index, oracle = filled
    query = normalize(torch.ones(DIM), dim=0)
    tried, exact = index.search(query, 1).stats, oracle.search(query, 1).stats
    assert [(row.video, row.n_frames) for row in tried] == [
        (row.video, row.n_frames) for row in exact
    ]
    for row, true in zip(tried, exact, strict=True):
        assert row.mean == pytest.approx(true.mean, abs=1e-4)
    assert tried[0].std == pytest.approx(np.mean([row.std for row in exact]), rel=0.1)


def test_the_graph_is_measured_and_another_process_uses_it(
    filled: tuple[PgVectorIndex, ExactIndex], tables: PgVectorTables
) -> None:
    (row,) = tables.sets()
    assert row.index.is_there
    assert row.index.recall >= pgvector.LEAST_RECALL
    assert row.n_chunks == row.index.n_chunks == N_VIDEOS * N_CHUNKS
    query = chunk(4, 4)[1][0]
    assert opened(tables).search(query, 5) == filled[0].search(query, 5)


def test_a_graph_whose_builder_ended_before_it_was_measured_is_measured(
    filled: tuple[PgVectorIndex, ExactIndex],
    tables: PgVectorTables,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables.open(PIPELINE, DIM).note_graph(0.0, is_kept=False)
    monkeypatch.setattr(pgvector, "REGROWN", 0)
    monkeypatch.setattr(PgVectorTable, "note_graph", lambda *args, **flags: None)
    index = opened(tables)
    index.save(Path(), PIPELINE)
    index.settle()
    assert tables.sets()[0].index.is_there
    assert tables.sets()[0].index.recall == 0
    monkeypatch.undo()
    index = opened(tables)
    index.save(Path(), PIPELINE)
    index.settle()
    assert tables.sets()[0].index.recall >= pgvector.LEAST_RECALL


def test_where_centres_say_too_little_every_frame_is_looked_at(
    tables: PgVectorTables, filled: tuple[PgVectorIndex, ExactIndex]
) -> None:
    index, oracle = filled
    tables.open(PIPELINE, DIM).note_graph(0.2, is_kept=False)
    (row,) = tables.sets()
    assert not row.index.is_there
    query = chunk(4, 4)[1][0]
    for scope in SCOPES.values():
        tried, exact = (held.search(query, 10, within=scope) for held in (index, oracle))
        assert [hit.chunk for hit in tried.hits] == [hit.chunk for hit in exact.hits]
        for stats, true in zip(tried.stats, exact.stats, strict=True):
            assert stats.std == pytest.approx(true.std, abs=1e-6)
    # It is not built again before the index has grown.
    index.save(Path(), PIPELINE)
    index.settle()
    assert not tables.sets()[0].index.is_there


@pytest.mark.parametrize("has_graph", [True, False])
def test_the_best_frames_of_many_come_with_those_beside_them(
    filled: tuple[PgVectorIndex, ExactIndex], tables: PgVectorTables, has_graph: bool
) -> None:
    index, _ = filled
    if not has_graph:
        tables.open(PIPELINE, DIM).note_graph(0.2, is_kept=False)
    queries = torch.stack([chunk(2, 7)[1][0], chunk(5, 20)[1][2]])
    frames = index.scores(queries, most=2, rank=lambda scores: scores.max(dim=0).values)
    assert len(frames.pts_s) < index.n_vectors
    looked_at = {
        (ref.video, ref.ordinal) for ref in (frames.chunks[at] for at in frames.chunk.tolist())
    }
    wanted = {("v2", ordinal) for ordinal in range(5, 10)} | {("v5", at) for at in range(18, 23)}
    assert wanted <= looked_at
    assert float(frames.scores[0].max()) == pytest.approx(1.0, abs=1e-3)


def test_two_that_write_at_once_lose_nothing_and_double_nothing(tables: PgVectorTables) -> None:
    indexes = opened(tables), opened(tables)
    barrier = Barrier(2)

    def write(index: PgVectorIndex, ordinals: range) -> None:
        barrier.wait()
        for ordinal in ordinals:
            index.add([chunk(0, ordinal)])

    # The middle third is written by both.
    threads = [
        Thread(target=write, args=(index, ordinals))
        for index, ordinals in zip(indexes, (range(8), range(4, 12)), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = opened(tables)
    for index in (*indexes, whole):
        assert index.n_vectors == 12 * N_FRAMES
        assert index.refs() == tuple(chunk(0, ordinal)[0] for ordinal in range(12))
    query = chunk(0, 5)[1][0]
    (stats,) = whole.search(query, 1).stats
    assert stats.n_frames == 12 * N_FRAMES


def test_many_chunks_are_added_in_few_transactions_and_hold_what_one_by_one_does(
    tables: PgVectorTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = [chunk(0, ordinal) for ordinal in range(N_CHUNKS)]
    one_by_one = pgvector.open_index(DIM, Path(), Fingerprint("beef"), tables=tables)
    for part in chunks:
        one_by_one.add([part])
    monkeypatch.setattr(pgvector, "BATCH_CHUNKS", 8)
    index, other, table = opened(tables), opened(tables), tables.open(PIPELINE, DIM)
    before = table.changes(-1)
    index.add(iter(chunks))
    after = table.changes(-1)
    assert before is not None
    assert after is not None
    assert after.change - before.change == 4, "three of eight chunks, and one of the rest"
    query = chunk(0, 7)[1][0]
    for held in (index, other):
        assert held.refs() == one_by_one.refs()
        assert held.search(query, 5) == one_by_one.search(query, 5)
    # Once more is no removal to who did it, and is one to others; nothing is double.
    index.add(iter(chunks[:3]))
    assert index.n_vectors == N_CHUNKS * N_FRAMES
    assert index.removed_elsewhere() == frozenset()
    assert other.removed_elsewhere() == {VideoId("v0")}


def test_marks_are_what_any_process_noted_and_go_with_what_is_removed(
    tables: PgVectorTables,
) -> None:
    index = opened(tables)
    index.add([chunk(0, 0)])
    index.add([chunk(1, 0)])
    index.save(Path(), PIPELINE, {VideoId("v0"): 7, VideoId("v1"): 8, VideoId("unknown"): 9})
    assert opened(tables).marks == {"v0": 7, "v1": 8}
    index.remove(VideoId("v0"), 0)
    assert opened(tables).marks == {"v1": 8}
