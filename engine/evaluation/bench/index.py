"""The index at size: to save, to open, to search and to remove from, from 10,000 vectors up.

Vectors lie around centres, as frames of scenes do: one for every two minutes of footage. Chunks
of ten, videos of an hour. Queries are stored vectors with noise three tenths as long. Figures
for each size: seconds to save all of it, and again after 256 chunks more; seconds to open it;
milliseconds of a search, the median, by a pass over all rows and by codes where the index makes
them, and the share of the ten best chunks of the one that the other finds; the same within one
video and within nine of ten; seconds to remove a video, and how long the slowest search took while
it was removed and saved.
"""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn.functional import normalize

from engine.index._manifest import folder_of
from engine.index.segments import SegmentedIndex, open_index
from engine.records import ALL_TIME, ChunkRef, Fingerprint, Scope, TimeSpan, VideoId

SIZES: Final = (10_000, 100_000, 1_000_000)
DIM: Final = 512
CHUNK_FRAMES: Final = 10
VIDEO_FRAMES: Final = 3600
SCENE_FRAMES: Final = 120
QUERIES: Final = 40
TOP: Final = 10
BRIEF: Final = {"sizes": (10_000, 100_000)}
"""What all benchmarks together measure of this one."""
_NOISE: Final = 0.3
_FINGERPRINT: Final = Fingerprint("bench")


def measure(
    *, model: str | None = None, sizes: Sequence[int] = SIZES, dim: int = DIM
) -> dict[str, Any]:
    """Measure indexes of several sizes.

    Args:
        model: Not used: vectors are drawn.
        sizes: Vectors of each index; ten million of 512 components take 20 GB of disk.
        dim: Components of a vector.
    """
    return {
        "dim": dim,
        **{f"{size:.0e}".replace("e+0", "e"): _measure(size, dim) for size in sizes},
    }


def _measure(n_vectors: int, dim: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        index = open_index(dim, path, _FINGERPRINT)
        generator = np.random.default_rng(0)
        # Saved as an ingest saves it, but seldom enough that drawing is what takes the time.
        for first in range(0, n_vectors, VIDEO_FRAMES):
            _add_video(
                index, first // VIDEO_FRAMES, min(VIDEO_FRAMES, n_vectors - first), generator
            )
        figures: dict[str, Any] = {"save_s": _timed(lambda: index.save(path, _FINGERPRINT))}
        _add_video(index, n_vectors, 256 * CHUNK_FRAMES, generator)
        figures["save_256_chunks_s"] = _timed(lambda: index.save(path, _FINGERPRINT))
        figures["codes_s"] = _timed(index.settle)
        figures["open_s"] = _timed(lambda: open_index(dim, path, _FINGERPRINT))
        index = open_index(dim, path, _FINGERPRINT)
        figures |= _search(index, path)
        return figures | _remove(index, path)


def _add_video(
    index: SegmentedIndex, number: int, n_frames: int, generator: np.random.Generator
) -> None:
    video = VideoId(f"video-{number}")
    scenes = generator.standard_normal((-(-n_frames // SCENE_FRAMES), index.dim), np.float32)
    frames = scenes.repeat(SCENE_FRAMES, axis=0)[:n_frames]
    frames = frames + 0.5 * generator.standard_normal(frames.shape, np.float32)
    vectors = normalize(torch.from_numpy(frames), dim=1)
    pts_s = torch.arange(n_frames, dtype=torch.float64)
    for ordinal, first in enumerate(range(0, n_frames, CHUNK_FRAMES)):
        last = min(first + CHUNK_FRAMES, n_frames)
        span = TimeSpan(start_s=float(first), end_s=float(last))
        chunk = ChunkRef(video=video, ordinal=ordinal, span=span)
        index.add([(chunk, vectors[first:last], pts_s[first:last])])


def _search(index: SegmentedIndex, path: Path) -> dict[str, Any]:
    queries = _queries(index)
    videos = index.refs().videos
    most = [(video, ALL_TIME) for idx, video in enumerate(videos) if idx % 10]
    middle = [(videos[len(videos) // 2], ALL_TIME)]
    figures: dict[str, Any] = {}
    coded = [_found(index, query, None) for query in queries]
    figures["search_ms"] = _median_ms(index, queries, None)
    figures["one_video_ms"] = _median_ms(index, queries, middle)
    figures["nine_of_ten_videos_ms"] = _median_ms(index, queries, most or middle)
    exact = index.without_codes()
    figures["exact_ms"] = _median_ms(exact, queries, None)
    shares = [
        len(chunks & _found(exact, query, None)) / TOP
        for chunks, query in zip(coded, queries, strict=True)
    ]
    figures["recall_at_10"] = round(statistics.mean(shares), 3)
    n_bytes = sum(file.stat().st_size for file in folder_of(path).glob("*.codes"))
    figures["bytes_of_codes_a_vector"] = round(n_bytes / index.n_vectors, 1)
    return figures


def _queries(index: SegmentedIndex) -> list[Float32[Tensor, " dim"]]:
    refs = index.refs()
    generator = torch.Generator().manual_seed(1)
    queries = []
    for idx in torch.randint(len(refs), (QUERIES,), generator=generator).tolist():
        ref = refs[idx]
        frames = index.frames(ref.video, ref.ordinal)
        assert frames is not None, "every chunk of an index has frames"
        noise = normalize(torch.randn(index.dim, generator=generator), dim=0)
        queries.append(normalize(frames[0][0] + _NOISE * noise, dim=0))
    return queries


def _found(
    index: SegmentedIndex, query: Float32[Tensor, " dim"], within: Scope | None
) -> set[tuple[VideoId, int]]:
    hits = index.search(query, TOP, within=within).hits
    return {(hit.chunk.video, hit.chunk.ordinal) for hit in hits}


def _median_ms(
    index: SegmentedIndex, queries: Sequence[Float32[Tensor, " dim"]], within: Scope | None
) -> float:
    took = []
    for query in queries:
        started = time.perf_counter()
        index.search(query, TOP, within=within)
        took.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(took), 3)


def _remove(index: SegmentedIndex, path: Path) -> dict[str, Any]:
    """Remove a video and save, while somebody goes on searching."""
    (query, *_), videos = _queries(index), index.refs().videos
    is_done = threading.Event()
    waits: list[float] = []

    def ask() -> None:
        while not is_done.is_set():
            started = time.perf_counter()
            index.search(query, TOP)
            waits.append((time.perf_counter() - started) * 1000)

    asking = threading.Thread(target=ask)
    asking.start()
    remove_s = _timed(lambda: index.remove(videos[len(videos) // 3]))
    save_s = _timed(lambda: index.save(path, _FINGERPRINT))
    is_done.set()
    asking.join()
    index.settle()
    return {
        "remove_video_s": remove_s,
        "save_after_removal_s": save_s,
        "slowest_search_meanwhile_ms": round(max(waits, default=0.0), 1),
    }


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return round(time.perf_counter() - started, 4)
