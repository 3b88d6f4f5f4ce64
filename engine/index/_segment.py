"""A stretch of an index: vectors and chunks saved together, in a file that never changes.

The layout is that of safetensors: `vectors` first, on a page boundary, so that they are mapped
into memory and not read; then `pts_s` and `chunks`. Those are small, read at once, and covered by
a checksum. The digest of the vectors is checked where a file is small, and whenever it is copied:
to read an archive whole at every start would cost more than it protects, for all of it can be made
again from the latents.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float32, Float64, Int64

from engine.chunk_refs import ranges
from engine.files import atomic_write
from engine.index._overview import Overview, read_overview
from engine.index._table import CHUNK
from engine.records import Fingerprint, VideoId

FORMAT: Final = 1
VERIFIED_BYTES: Final = 32 << 20
"""Vectors up to here are checked whenever they are opened: it takes some 20 ms."""
_ALIGNMENT: Final = 4096
_MOST_SLICES: Final = 32
"""Stretches of rows that are multiplied where they lie; of more, a copy is made of short ones."""
_SLICE_ROWS: Final = 6
"""Rows of a stretch, on average, from which they are multiplied where they lie, however many there
are: a copy of chunks of eight takes twice as long."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segment:
    """Vectors of the chunks from `first_chunk` on, those of one chunk together."""

    name: str | None
    """Of its file; `None` in memory."""
    first_chunk: int
    n_chunks: int
    vectors: Float32[np.ndarray, "row dim"]
    pts_s: Float64[np.ndarray, " row"]
    overview: Overview | None = None
    """Of its chunks, where there are too many to look at each frame."""

    def multiply(
        self,
        queries: Float32[np.ndarray, "query dim"],
        begin: Int64[np.ndarray, " run"],
        end: Int64[np.ndarray, " run"],
    ) -> Float32[np.ndarray, "query row"]:
        """Return inner products with runs of rows, in their order."""
        n_rows = int((end - begin).sum())
        breaks = np.flatnonzero(begin[1:] != end[:-1])
        first = begin[np.concatenate([[0], breaks + 1])] if len(begin) else begin
        last = end[np.concatenate([breaks, [len(end) - 1]])] if len(begin) else end
        # Without the class of a mapped array, which costs more than a slice of it.
        vectors = np.asarray(self.vectors)
        if len(first) > _MOST_SLICES:
            rows = ranges(first, last - first)
            if 2 * n_rows > len(vectors):
                return np.ascontiguousarray(_product(queries, vectors)[:, rows])
            if n_rows < _SLICE_ROWS * len(first):
                return _product(queries, vectors[rows])
        slices = zip(first.tolist(), last.tolist(), strict=True)
        parts = [_product(queries, vectors[start:stop]) for start, stop in slices]
        return np.concatenate([np.empty((len(queries), 0), np.float32), *parts], axis=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredSegment:
    """The contents of a file."""

    videos: tuple[VideoId, ...]
    chunks: np.ndarray
    """Of the type `CHUNK`; `video` is an index in `videos`."""
    vectors: Float32[np.ndarray, "row dim"]
    pts_s: Float64[np.ndarray, " row"]
    overview: Overview | None


def write_segment(
    path: Path,
    fingerprint: Fingerprint,
    videos: Sequence[VideoId],
    chunks: np.ndarray,
    parts: Iterable[tuple[Float32[np.ndarray, "row dim"], Float64[np.ndarray, " row"]]],
    dim: int,
) -> None:
    """Write a file beside its name, then rename it; it survives a loss of power.

    Args:
        path: In a folder that exists.
        fingerprint: Of the pipeline or the encoder.
        videos: That `chunks` name.
        chunks: Of the type `CHUNK`, with places that follow each other.
        parts: The rows of all chunks, in their order.
        dim: Components of a vector.
    Raises:
        OSError: It cannot be written.
    """
    n_rows = int(chunks["n_rows"].sum())
    sizes = {"vectors": 4 * n_rows * dim, "pts_s": 8 * n_rows, "chunks": chunks.nbytes}
    digest, all_pts_s = hashlib.sha256(), []
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        # Digests are known at the end: the header has a fixed length and is written last.
        file.seek(_ALIGNMENT + _videos_bytes(videos))
        for vectors, pts_s in parts:
            block = np.ascontiguousarray(vectors, dtype=np.float32)
            digest.update(block.data)
            file.write(block.data)
            all_pts_s.append(np.asarray(pts_s, np.float64))
        columns = np.concatenate([np.empty(0), *all_pts_s]).tobytes() + chunks.tobytes()
        file.write(columns)
        facts = {
            "format": FORMAT,
            "fingerprint": fingerprint,
            "videos": list(videos),
            "columns": hashlib.sha256(columns).hexdigest(),
            "vectors": digest.hexdigest(),
        }
        file.seek(0)
        file.write(_header(sizes, n_rows, dim, facts, _ALIGNMENT + _videos_bytes(videos)))


def read_segment(
    path: Path, dim: int, fingerprint: Fingerprint | None, *, verifies: bool | None = None
) -> StoredSegment:
    """Open a file; its vectors are mapped.

    Args:
        path: That `write_segment` wrote.
        dim: Components of a vector.
        fingerprint: That it must have; any when `None`.
        verifies: Whether the vectors are checked; small ones are when `None`.
    Raises:
        OSError: It cannot be read.
        ValueError: It is not what it should be; so are `KeyError` and `TypeError`.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length < path.stat().st_size:
            raise ValueError("its header is cut off")
        header = json.loads(file.read(length))
        facts = json.loads(header["__metadata__"]["longwatch"])
        begins = 8 + length
        n_rows, found_dim = header["vectors"]["shape"]
        bounds = {name: header[name]["data_offsets"] for name in ("vectors", "pts_s", "chunks")}
        if begins + bounds["chunks"][1] != path.stat().st_size:
            raise ValueError("its size is not what its header says")
        file.seek(begins + bounds["pts_s"][0])
        columns = file.read()
    if facts["format"] != FORMAT:
        raise ValueError(f"its format is {facts['format']}, this version writes {FORMAT}")
    if fingerprint is not None and facts["fingerprint"] != fingerprint:
        raise ValueError(f"it is of pipeline {facts['fingerprint']}")
    if hashlib.sha256(columns).hexdigest() != facts["columns"]:
        raise ValueError("it fails its checksum")
    if found_dim != dim:
        raise ValueError(f"its vectors have {found_dim} components, not {dim}")
    vectors = np.empty((0, dim), np.float32)
    if n_rows:
        vectors = np.memmap(path, np.float32, "r", offset=begins, shape=(n_rows, dim))
    is_checked = vectors.nbytes <= VERIFIED_BYTES if verifies is None else verifies
    if is_checked and _digest(vectors) != facts["vectors"]:
        raise ValueError("its vectors fail their checksum")
    chunks = np.frombuffer(columns[8 * n_rows :], CHUNK).copy()
    return StoredSegment(
        videos=tuple(VideoId(video) for video in facts["videos"]),
        chunks=chunks,
        vectors=vectors,
        pts_s=np.frombuffer(columns[: 8 * n_rows], np.float64).copy(),
        overview=read_overview(path, len(chunks), dim),
    )


def _digest(vectors: Float32[np.ndarray, "row dim"]) -> str:
    return hashlib.sha256(np.ascontiguousarray(vectors).data).hexdigest()


def _product(
    queries: Float32[np.ndarray, "query dim"], vectors: Float32[np.ndarray, "row dim"]
) -> Float32[np.ndarray, "query row"]:
    # One query as a vector: the product of a matrix and a row is several times as slow.
    if len(queries) == 1:
        return np.asarray(vectors @ queries[0])[None]
    return np.asarray((vectors @ queries.T).T)


def _videos_bytes(videos: Sequence[VideoId]) -> int:
    """Return the room that names take in a header, twice quoted, in whole pages."""
    n_bytes = sum(len(json.dumps(json.dumps(video))) + 2 for video in videos)
    return -(-n_bytes // _ALIGNMENT) * _ALIGNMENT


def _header(
    sizes: dict[str, int], n_rows: int, dim: int, facts: dict[str, Any], length: int
) -> bytes:
    shapes = {
        "vectors": ("F32", [n_rows, dim]),
        "pts_s": ("F64", [n_rows]),
        "chunks": ("U8", [sizes["chunks"]]),
    }
    entries: dict[str, Any] = {"__metadata__": {"longwatch": json.dumps(facts)}}
    begin = 0
    for name, (dtype, shape) in shapes.items():
        end = begin + sizes[name]
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
        begin = end
    content = json.dumps(entries).encode()
    assert len(content) <= length - 8, "the header is longer than its room"
    # Spaces behind a header belong to the format of safetensors.
    return (length - 8).to_bytes(8, "little") + content.ljust(length - 8)
