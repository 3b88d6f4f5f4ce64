"""Vectors in PostgreSQL at size: to fill, to build the graph, to search with filters, to add to.

Two thousand videos of equal length; vectors lie around centres, as frames of scenes do: one for
every two minutes. Chunks of ten frames. A question is the vector of a frame of its scope with noise
three tenths as long. For each filter: milliseconds of a search with hits and statistics, as the
engine asks for them, the median and the 95th percentile; its processor time, of this process and of
a server beside it; the share of the ten best chunks of a pass over all vectors of the scope that it
finds. Filters: none; a camera with an eighth and one with a
fortieth of the videos; the first half of each video of the larger camera; one video.

It is measured where an address of a PostgreSQL with pgvector is given; tables of its own are made
there, and dropped at the end.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import torch
from jaxtyping import Float32
from torch import Tensor

from engine.errors import InputRefusedError
from engine.index.pgvector import PgVectorIndex, open_index
from engine.records import ALL_TIME, ChunkRef, Fingerprint, Scope, TimeSpan, VideoId
from storage.vectors import PgVectorTables

NEEDS_DATABASE: Final = True
SIZES: Final = (100_000, 1_000_000)
BRIEF: Final = {"sizes": (100_000,)}
DIM: Final = 512
N_VIDEOS: Final = 2000
CHUNK_FRAMES: Final = 10
SCENE_FRAMES: Final = 120
QUERIES: Final = 20
TOP: Final = 10
_NOISE: Final = 0.3
_BUSY_S: Final = 60.0


def measure(
    *,
    database_url: str,
    model: str | None = None,
    sizes: Sequence[int] = SIZES,
    dim: int = DIM,
    n_videos: int = N_VIDEOS,
) -> dict[str, Any]:
    """Measure indexes of several sizes.

    Args:
        database_url: A PostgreSQL with pgvector.
        model: Not used: vectors are drawn.
        sizes: Vectors of each index; a million of 512 components take 1.3 GB of disk.
        dim: Components of a vector.
        n_videos: Videos that they are of.
    Raises:
        InputRefusedError: The database cannot hold vectors.
    """
    tables = PgVectorTables(database_url, busy_timeout_s=_BUSY_S)
    try:
        readiness = tables.readiness()
        if not readiness.is_ready:
            raise InputRefusedError(readiness.detail, hint=readiness.hint)
        figures: dict[str, Any] = {"dim": dim, "videos": n_videos, "server": readiness.detail}
        for size in sizes:
            figures[f"{size:.0e}".replace("e+0", "e")] = _measure(tables, size, dim, n_videos)
        return figures
    finally:
        tables.close()


def _measure(tables: PgVectorTables, size: int, dim: int, n_videos: int) -> dict[str, Any]:
    fingerprint = Fingerprint(f"bench_{size}_{dim}")
    tables.drop(fingerprint)
    table = tables.open(fingerprint, dim)
    n_frames = max(1, size // n_videos)
    try:
        started = time.perf_counter()
        for number in range(n_videos):
            table.add(list(_chunks(number, n_frames, dim)))
        figures: dict[str, Any] = {"fill_s": round(time.perf_counter() - started, 1)}
        index = open_index(dim, Path(), fingerprint, tables=tables)
        started = time.perf_counter()
        index.save(Path(), fingerprint)
        index.settle()
        figures["build_and_measure_s"] = round(time.perf_counter() - started, 1)
        figures["open_s"] = _timed_s(lambda: open_index(dim, Path(), fingerprint, tables=tables))
        index = open_index(dim, Path(), fingerprint, tables=tables)
        for name, scope in _scopes(n_videos, n_frames).items():
            figures[name] = _search(tables, index, scope, n_frames, n_videos)
        added = list(_chunks(n_videos, CHUNK_FRAMES, dim))
        figures["add_a_chunk_ms"] = round(1000 * _timed_s(lambda: table.add(added)), 1)
        return figures
    finally:
        tables.drop(fingerprint)


def _chunks(
    number: int, n_frames: int, dim: int
) -> Iterator[tuple[ChunkRef, Float32[np.ndarray, "_ dim"], np.ndarray]]:
    """Draw the chunks of a video, the same for the same number."""
    vectors = _vectors(number, n_frames, dim)
    for ordinal, first in enumerate(range(0, n_frames, CHUNK_FRAMES)):
        last = min(first + CHUNK_FRAMES, n_frames)
        span = TimeSpan(start_s=float(first), end_s=float(last))
        chunk = ChunkRef(video=_video(number), ordinal=ordinal, span=span)
        yield chunk, vectors[first:last], np.arange(first, last, dtype=np.float64)


def _vectors(number: int, n_frames: int, dim: int) -> Float32[np.ndarray, "frame dim"]:
    generator = np.random.default_rng(number)
    scenes = generator.standard_normal((-(-n_frames // SCENE_FRAMES), dim), np.float32)
    frames = scenes.repeat(SCENE_FRAMES, axis=0)[:n_frames]
    frames = frames + 0.5 * generator.standard_normal(frames.shape, np.float32)
    lengths = np.linalg.norm(frames, axis=1, keepdims=True)
    return np.asarray(frames / lengths, np.float32)


def _video(number: int) -> VideoId:
    return VideoId(f"video-{number}")


def _scopes(n_videos: int, n_frames: int) -> dict[str, Scope | None]:
    half = TimeSpan(start_s=0.0, end_s=n_frames / 2)
    return {
        "everything": None,
        "camera_of_8": [(_video(number), ALL_TIME) for number in range(3, n_videos, 8)],
        "camera_of_40": [(_video(number), ALL_TIME) for number in range(3, n_videos, 40)],
        "camera_of_8_first_half": [(_video(number), half) for number in range(3, n_videos, 8)],
        "one_video": [(_video(n_videos // 2), ALL_TIME)],
    }


def _search(
    tables: PgVectorTables,
    index: PgVectorIndex,
    scope: Scope | None,
    n_frames: int,
    n_videos: int,
) -> dict[str, float]:
    generator = np.random.default_rng(1)
    videos = None if scope is None else [video for video, _ in scope]
    queries = [_query(generator, videos, n_frames, n_videos, index.dim) for _ in range(QUERIES)]
    took_ms, results = [], []
    began_s = _processor_s(tables)
    for query in queries:
        started = time.perf_counter()
        results.append(index.search(query, TOP, within=scope))
        took_ms.append((time.perf_counter() - started) * 1000)
    processor_ms = (_processor_s(tables) - began_s) * 1000 / QUERIES
    shares = []
    for query, result in zip(queries, results, strict=True):
        exact = index.nearest_by_all(query, TOP, within=scope)
        chunks = {hit.chunk for hit in result.hits}
        shares.append(len(exact & chunks) / len(exact))
    return {
        "p50_ms": round(statistics.median(took_ms), 1),
        "p95_ms": round(float(np.percentile(took_ms, 95)), 1),
        "mean_processor_ms": round(processor_ms, 1),
        "recall_at_10": round(statistics.mean(shares), 3),
    }


def _query(
    generator: np.random.Generator,
    videos: Sequence[VideoId] | None,
    n_frames: int,
    n_videos: int,
    dim: int,
) -> Float32[Tensor, " dim"]:
    """Draw a disturbed vector of a video, of its first half, which every filter lets pass."""
    number = int(generator.integers(n_videos))
    if videos is not None:
        number = int(videos[int(generator.integers(len(videos)))].rpartition("-")[2])
    frame = _vectors(number, n_frames, dim)[generator.integers(max(1, n_frames // 2))]
    noise = generator.standard_normal(dim).astype(np.float32)
    query = frame + _NOISE * noise / float(np.linalg.norm(noise))
    return torch.from_numpy(query / float(np.linalg.norm(query)))


def _processor_s(tables: PgVectorTables) -> float:
    """Return the processor time of this process and of the server's, where that runs beside it."""
    total_s = time.process_time()
    for pid in tables.server_processes():
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            if "postgres" in process.name():
                times = process.cpu_times()
                total_s += times.user + times.system
    return total_s


def _timed_s(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return round(time.perf_counter() - started, 4)
