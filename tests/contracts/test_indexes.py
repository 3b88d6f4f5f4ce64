"""What every vector backend promises: the answers of the exact one, for any filter.

Vectors of these tests are half floats, as a database keeps them.
"""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from engine import index, plugins
from engine.errors import DiskFullError
from engine.index.exact import ExactIndex
from engine.protocols import VectorIndex
from engine.records import ChunkRef, Fingerprint, IndexResult, TimeSpan, VideoId

DIM = 8
PIPELINE = Fingerprint("f00d")
SERVED = "pgvector"
IN_FILES = [name for name in plugins.names(index) if name != SERVED]
Opened = Callable[..., VectorIndex]


def in_files(name: str) -> Opened:
    """How a backend that keeps files opens them."""

    def opened(path: Path = Path("nowhere"), fingerprint: Fingerprint = PIPELINE) -> VectorIndex:
        module = plugins.load(index, name, defines=("open_index",))
        built: VectorIndex = module.open_index(DIM, path, fingerprint)
        return built

    return opened


@pytest.fixture(params=[*IN_FILES, pytest.param(SERVED, marks=pytest.mark.scale)])
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    """Each backend: opens what lies at a path, or in an empty database of this test."""
    if request.param != SERVED:
        yield in_files(request.param)
        return
    # Imported here: on one machine nothing of PostgreSQL is loaded.
    from storage.vectors import PgVectorTables

    tables = PgVectorTables(request.getfixturevalue("postgres_url"), busy_timeout_s=10)
    assert tables.readiness().is_ready
    module = plugins.load(index, SERVED, defines=("open_index",))
    yield lambda path=Path("nowhere"), fingerprint=PIPELINE: module.open_index(
        DIM, path, fingerprint, tables=tables
    )
    tables.close()


def ref(video: str, ordinal: int) -> ChunkRef:
    span = TimeSpan(start_s=5.0 * ordinal, end_s=5.0 * ordinal + 5.0)
    return ChunkRef(video=VideoId(video), ordinal=ordinal, span=span)


def fill(target: VectorIndex, *, chunks: int = 6, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for ordinal in range(chunks):
        for video in ("a", "b"):
            n = 2 + (ordinal + len(video)) % 4
            vectors = normalize(torch.randn(n, DIM, generator=generator), dim=1).half().float()
            pts_s = 5.0 * ordinal + torch.arange(n, dtype=torch.float64)
            target.add([(ref(video, ordinal), vectors, pts_s)])


def unit(seed: int) -> torch.Tensor:
    drawn = torch.randn(DIM, generator=torch.Generator().manual_seed(seed))
    return normalize(drawn, dim=0).half().float()


spans = st.tuples(st.sampled_from(["a", "b", "unknown"]), st.floats(0, 30), st.floats(0, 12)).map(
    lambda part: (VideoId(part[0]), TimeSpan(start_s=part[1], end_s=part[1] + part[2]))
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(1, 99), top=st.integers(1, 20), within=st.none() | st.lists(spans))
def test_every_filter_gives_the_exact_hits_and_statistics(
    opened: Opened, seed: int, top: int, within: list[tuple[VideoId, TimeSpan]] | None
) -> None:
    tried, oracle = opened(), ExactIndex(DIM)
    fill(tried)
    fill(oracle)
    found = tried.search(unit(seed), top, within=within)
    expected = oracle.search(unit(seed), top, within=within)
    assert [hit.chunk for hit in found.hits] == [hit.chunk for hit in expected.hits]
    assert [hit.peak_s for hit in found.hits] == [hit.peak_s for hit in expected.hits]
    for hit, exact in zip(found.hits, expected.hits, strict=True):
        assert hit.score == pytest.approx(exact.score, abs=1e-6)
    for stats, exact_stats in zip(found.stats, expected.stats, strict=True):
        assert (stats.video, stats.n_frames) == (exact_stats.video, exact_stats.n_frames)
        assert stats.mean == pytest.approx(exact_stats.mean, abs=1e-6)
        assert stats.std == pytest.approx(exact_stats.std, abs=1e-6)
    assert tried.refs(within) == oracle.refs(within)


@pytest.mark.parametrize("bounded", [False, True])
def test_scores_are_the_inner_products_with_every_frame_of_the_scope(
    opened: Opened, bounded: bool
) -> None:
    tried = opened()
    fill(tried)
    within = [(VideoId("a"), TimeSpan(start_s=6.0, end_s=16.0))] if bounded else None
    queries = torch.stack([unit(3), unit(4)])
    frames = tried.scores(queries, within=within)
    for query, scores in zip(queries, frames.scores, strict=True):
        found = tried.search(query, 50, within=within)
        for hit in found.hits:
            of_chunk = torch.tensor(
                [frames.chunks[idx] == hit.chunk for idx in frames.chunk.tolist()]
            )
            best = int(torch.where(of_chunk, scores, -2.0).argmax())
            assert float(scores[best]) == pytest.approx(hit.score, abs=1e-6)
            assert float(frames.pts_s[best]) == hit.peak_s
        assert len(scores) == sum(stats.n_frames for stats in found.stats)


def test_hits_lie_inside_the_filter_and_each_chunk_comes_once(opened: Opened) -> None:
    tried = opened()
    fill(tried)
    within = [(VideoId("a"), TimeSpan(start_s=6.0, end_s=16.0))]
    hits = tried.search(unit(1), 20, within=within).hits
    assert len({hit.chunk for hit in hits}) == len(hits) == 3
    assert all(6.0 <= hit.peak_s < 16.0 and hit.chunk.video == "a" for hit in hits)


def test_a_frame_at_the_start_of_a_filter_is_inside_and_one_at_its_end_is_not(
    opened: Opened,
) -> None:
    tried = opened()
    tried.add([(ref("a", 0), torch.eye(DIM)[:4], torch.arange(4, dtype=torch.float64))])
    within = [(VideoId("a"), TimeSpan(start_s=1.0, end_s=3.0))]
    for frame, is_inside in enumerate([False, True, True, False]):
        found = tried.search(torch.eye(DIM)[frame], 1, within=within)
        assert (found.hits[0].peak_s == frame) == is_inside
        assert found.stats[0].n_frames == 2


def test_a_chunk_that_only_touches_a_filter_does_not_reach_into_it(opened: Opened) -> None:
    tried = opened()
    fill(tried)
    # Chunks are five seconds long.
    within = [(VideoId("a"), TimeSpan(start_s=5.0, end_s=10.0))]
    assert tried.refs(within) == (ref("a", 1),)


def test_a_frame_that_points_the_other_way_has_a_negative_score(opened: Opened) -> None:
    tried = opened()
    tried.add([(ref("a", 0), -torch.eye(DIM)[:1], torch.zeros(1, dtype=torch.float64))])
    (hit,) = tried.search(torch.eye(DIM)[0], 1, within=None).hits
    assert hit.score == pytest.approx(-1.0, abs=1e-6)


def test_an_empty_index_finds_nothing(opened: Opened) -> None:
    tried = opened()
    assert tried.search(unit(1), 5) == IndexResult(hits=(), stats=())
    assert tried.search(unit(1), 5, within=[]) == IndexResult(hits=(), stats=())
    assert tried.refs() == ()


def test_a_saved_index_opens_with_the_same_answers(opened: Opened, tmp_path: Path) -> None:
    tried = opened(tmp_path / "index")
    fill(tried)
    tried.save(tmp_path / "index", PIPELINE)
    again = opened(tmp_path / "index")
    assert again.n_vectors == tried.n_vectors
    assert again.refs() == tried.refs()
    assert again.search(unit(2), 4) == tried.search(unit(2), 4)


def files_below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("name", IN_FILES)
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "foreign"])
def test_an_index_that_cannot_be_trusted_starts_empty(
    name: str, damage: str, tmp_path: Path
) -> None:
    path = tmp_path / "index"
    tried = in_files(name)(path)
    fill(tried)
    tried.save(path, Fingerprint("other") if damage == "foreign" else PIPELINE)
    # A lock has nothing in it.
    for file, whole in ((file, whole) for file, whole in files_below(tmp_path).items() if whole):
        middle = len(whole) // 2
        damaged = {
            "flip": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "cut": whole[:middle],
            "empty": b"",
            "foreign": whole,
        }
        file.write_bytes(damaged[damage])
        assert in_files(name)(path).n_vectors == 0
        file.write_bytes(whole)


@pytest.mark.parametrize("name", IN_FILES)
def test_an_index_that_could_not_be_trusted_is_saved_over(name: str, tmp_path: Path) -> None:
    path = tmp_path / "index"
    tried = in_files(name)(path)
    fill(tried)
    tried.save(path, PIPELINE)
    for file in files_below(tmp_path):
        file.write_bytes(b"damaged")
    again = in_files(name)(path)
    fill(again, seed=1)
    again.save(path, PIPELINE)
    assert in_files(name)(path).search(unit(3), 5) == again.search(unit(3), 5)


def test_a_chunk_added_again_is_replaced(opened: Opened) -> None:
    tried = opened()
    fill(tried)
    before = tried.n_vectors
    tried.add([(ref("a", 0), unit(7).repeat(3, 1), torch.arange(3, dtype=torch.float64))])
    assert tried.n_vectors == before  # Chunk 0 of "a" had three frames too.
    (hit,) = tried.search(unit(7), 1).hits
    assert hit.chunk == ref("a", 0)
    assert hit.score == pytest.approx(min(1.0, float(unit(7) @ unit(7))), abs=1e-6)
    assert hit.peak_s == 0.0


def test_a_removed_video_is_never_found_again(opened: Opened) -> None:
    tried = opened()
    fill(tried)
    tried.remove(VideoId("a"))
    tried.remove(VideoId("unknown"))
    assert {hit.chunk.video for hit in tried.search(unit(1), 50).hits} == {"b"}
    fill(tried)
    assert {chunk.video for chunk in tried.refs()} == {"a", "b"}


def test_a_removed_chunk_leaves_the_others_of_its_video(opened: Opened) -> None:
    index = opened()
    fill(index)
    before = index.refs()
    index.remove(VideoId("a"), 0)
    index.remove(VideoId("a"), 999)
    assert set(index.refs()) == set(before) - {ref("a", 0)}
    assert ref("a", 0) not in {hit.chunk for hit in index.search(unit(1), 50).hits}


def test_statistics_are_those_of_all_frames_of_a_video_not_of_its_hits(opened: Opened) -> None:
    tried = opened()
    vectors = torch.eye(DIM)[:4]
    tried.add([(ref("a", 0), vectors, torch.arange(4, dtype=torch.float64))])
    (stats,) = tried.search(torch.eye(DIM)[0], 1).stats
    assert (stats.video, stats.n_frames, stats.mean) == ("a", 4, 0.25)
    assert stats.std == pytest.approx(0.75**0.5 * 0.5)


@pytest.mark.parametrize("name", IN_FILES)
def test_a_full_disk_leaves_the_old_index(name: str, tmp_path: Path) -> None:
    path = tmp_path / "index"
    tried = in_files(name)(path)
    fill(tried, chunks=2)
    tried.save(path, PIPELINE)
    whole = files_below(tmp_path)
    fill(tried)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(DiskFullError, match="no space left"):
            tried.save(path, PIPELINE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_below(tmp_path) == whole
    tried.save(path, PIPELINE)
    assert in_files(name)(path).refs() == tried.refs()
