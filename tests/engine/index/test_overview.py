"""Overviews of chunks: bounds that hold, the best frames found, and nothing lost without them."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.index import _coding, _search
from engine.index._manifest import folder_of
from engine.index._overview import make_overview, overview_paths, read_overview, write_overview
from engine.index.segments import SegmentedIndex, open_index
from engine.records import ALL_TIME, ChunkRef, Fingerprint, Scope, TimeSpan, VideoId
from engine.tensors import FrameScores

DIM, FRAMES, CHUNKS, VIDEOS = 64, 8, 40, 12
PIPELINE = Fingerprint("f00d")
MOST = 4


def probabilities(*key: object) -> np.ndarray:
    """Return frames that show a few classes, more or less, over a flat rest."""
    generator = np.random.default_rng(zlib.crc32(repr(key).encode()))
    logits = generator.standard_normal((FRAMES, DIM - 1)) * 0.3
    logits[:, generator.integers(0, DIM - 1, 3)] += generator.uniform(0, 8, (1, 3))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    lengths = generator.uniform(1.0, 1.5, (FRAMES, 1))
    return np.concatenate([shares, lengths], axis=1).astype(np.float32)


def add(index: SegmentedIndex, video: str, ordinals: range) -> None:
    for ordinal in ordinals:
        span = TimeSpan(start_s=float(FRAMES * ordinal), end_s=float(FRAMES * (ordinal + 1)))
        chunk = ChunkRef(video=VideoId(video), ordinal=ordinal, span=span)
        pts_s = span.start_s + torch.arange(FRAMES, dtype=torch.float64)
        index.add([(chunk, torch.from_numpy(probabilities(video, ordinal)), pts_s)])


def queries(class_idx: int) -> torch.Tensor:
    """Return a query for two classes, one for the last component, and one that weighs all."""
    rows = torch.zeros(3, DIM)
    rows[0, [class_idx, class_idx + 1]] = 1
    rows[1, DIM - 1] = 1
    rows[2] = torch.linspace(-0.1, 0.3, DIM)
    return rows


def rank(scores: torch.Tensor) -> torch.Tensor:
    return 3 * scores[0] + scores[1] * scores[2]


@pytest.fixture
def overseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[SegmentedIndex, Path]]:
    """An index large enough for codes, of vectors that codes say too little of."""
    for module in (_coding, _search):
        monkeypatch.setattr(module, "WORTH_BYTES", 1)
    monkeypatch.setattr(_coding, "BLOCK_ROWS", 500)
    monkeypatch.setattr(_coding, "tune", lambda *rows: (8, 0.2))
    path = tmp_path / "a.index"
    index = open_index(DIM, path, PIPELINE)
    for video in range(VIDEOS):
        add(index, f"v{video}", range(CHUNKS))
    index.save(path, PIPELINE)
    index.settle()
    yield index, path
    index.settle()


def chunks_of(frames: FrameScores) -> set[ChunkRef]:
    return {frames.chunks[idx] for idx in set(frames.chunk.tolist())}


def best_chunks(frames: FrameScores, most: int) -> list[ChunkRef]:
    order = rank(frames.scores).argsort(descending=True).tolist()
    chunks = dict.fromkeys(frames.chunks[int(frames.chunk[idx])] for idx in order)
    return list(chunks)[:most]


def found(index: SegmentedIndex, class_idx: int, within: Scope | None = None) -> FrameScores:
    return index.scores(queries(class_idx), within=within, most=MOST, rank=rank)


def test_a_bound_holds_for_every_frame() -> None:
    frames = np.concatenate([probabilities("a", idx) for idx in range(300)])
    place, n_rows = FRAMES * np.arange(300), np.full(300, FRAMES)
    overview = make_overview(frames, place, n_rows)
    asked = queries(7).numpy()
    bounds = overview.estimates(asked, np.arange(0, 300, 2))
    exact = (asked @ frames.T).reshape(3, 300, FRAMES)[:, ::2]
    assert (bounds[0] >= exact[0].max(axis=1)).all()
    assert np.allclose(bounds[1:], exact[1:].mean(axis=2), atol=1e-5)


def test_an_overview_is_read_as_it_was_written(tmp_path: Path) -> None:
    frames = np.concatenate([probabilities("a", idx) for idx in range(3)])
    overview = make_overview(frames, np.array([0, 8, 8]), np.array([8, 0, 16]))
    segment = tmp_path / "0a.segment"
    write_overview(segment, overview)
    read = read_overview(segment, 3, DIM)
    assert read is not None
    assert np.array_equal(read.mean, overview.mean)
    assert np.array_equal(read.peak, overview.peak)
    assert not read.mean[1].any()
    assert read_overview(segment, 4, DIM) is None
    overview_paths(segment)[1].write_bytes(b"\x93NUMPY")
    assert read_overview(segment, 3, DIM) is None


@pytest.mark.parametrize("class_idx", [3, 20, 50])
def test_few_frames_are_looked_at_and_the_best_are_among_them(
    overseen: tuple[SegmentedIndex, Path], class_idx: int
) -> None:
    index, _ = overseen
    every = index.scores(queries(class_idx))
    few = found(index, class_idx)
    assert 0 < len(few.pts_s) <= MOST * FRAMES * (2 * _search.NEIGHBOURS + 1)
    assert best_chunks(few, MOST) == best_chunks(every, MOST)
    # What is returned are inner products, and no estimates.
    best = int(rank(few.scores).argmax())
    exact = {
        (every.chunks[chunk], pts_s): scores
        for chunk, pts_s, scores in zip(
            every.chunk.tolist(), every.pts_s.tolist(), every.scores.T, strict=True
        )
    }
    same = exact[few.chunks[int(few.chunk[best])], float(few.pts_s[best])]
    assert torch.allclose(few.scores[:, best], same, atol=1e-6)


def test_a_scope_of_everything_proposes_what_none_does(
    overseen: tuple[SegmentedIndex, Path],
) -> None:
    index, _ = overseen
    everything = [(video, ALL_TIME) for video in index.refs().videos]
    of_scope, of_none = found(index, 20, everything), found(index, 20)
    assert of_scope.pts_s.tolist() == of_none.pts_s.tolist()
    assert torch.equal(of_scope.scores, of_none.scores)


def test_the_best_are_those_of_a_full_sort() -> None:
    worth = np.random.default_rng(0).integers(0, 9, 200).astype(np.float32)
    for most in (1, 7, 60, 199, 200, 300):
        expected = np.sort(np.argsort(-worth, kind="stable")[:most])
        assert np.array_equal(_search._best(worth, most), expected)


def test_a_filter_holds_in_an_overview(overseen: tuple[SegmentedIndex, Path]) -> None:
    index, _ = overseen
    within = [
        (VideoId("v3"), TimeSpan(start_s=0.0, end_s=100.0)),
        (VideoId("v5"), ALL_TIME),
    ]
    frames = found(index, 20, within)
    assert chunks_of(frames) <= set(index.refs(within))
    of_v3 = [
        pts_s
        for chunk, pts_s in zip(frames.chunk.tolist(), frames.pts_s.tolist(), strict=True)
        if frames.chunks[chunk].video == "v3"
    ]
    assert all(pts_s < 100.0 for pts_s in of_v3)
    assert best_chunks(frames, 2) == best_chunks(index.scores(queries(20), within=within), 2)


def test_what_was_removed_or_came_since_is_known(overseen: tuple[SegmentedIndex, Path]) -> None:
    index, _ = overseen
    best = best_chunks(found(index, 20), 1)[0]
    index.remove(best.video, best.ordinal)
    assert best not in chunks_of(found(index, 20))
    add(index, "new", range(3))
    assert {chunk.video for chunk in chunks_of(found(index, 20))} > {"new"}


def test_an_overview_outlives_its_process_and_may_be_lost(
    overseen: tuple[SegmentedIndex, Path],
) -> None:
    index, path = overseen
    expected = best_chunks(found(index, 20), MOST)
    files = sorted(folder_of(path).glob("*.npy"))
    assert files
    again = open_index(DIM, path, PIPELINE)
    few = found(again, 20)
    assert best_chunks(few, MOST) == expected
    assert len(few.pts_s) < again.n_vectors
    files[0].unlink()
    every = found(open_index(DIM, path, PIPELINE), 20)
    assert len(every.pts_s) == index.n_vectors
    assert best_chunks(every, MOST) == expected


def test_a_rewritten_segment_gets_an_overview_of_its_own(
    overseen: tuple[SegmentedIndex, Path],
) -> None:
    index, path = overseen
    before = set(folder_of(path).glob("*.npy"))
    for video in range(VIDEOS // 2):
        index.remove(VideoId(f"v{video}"))
    index.save(path, PIPELINE)
    index.settle()
    after = set(folder_of(path).glob("*.npy"))
    assert after
    assert not after & before
    frames = found(index, 20)
    assert len(frames.pts_s) < index.n_vectors
    assert best_chunks(frames, MOST) == best_chunks(index.scores(queries(20)), MOST)
