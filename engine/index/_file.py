"""An index as one file: vectors, rows, fingerprint and checksum, written beside and renamed."""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from engine.errors import DiskFullError, UnreachableError
from engine.files import atomic_write_bytes, is_out_of_space
from engine.index._rows import Rows
from engine.records import ChunkRef, Fingerprint, TimeSpan, VideoId

FORMAT = 1
"""Version of the file; an index of another version is built again."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredIndex:
    """Contents of an index file."""

    vectors: Float32[np.ndarray, "row dim"]
    rows: Rows
    marks: Mapping[VideoId, int]

    def chunks(
        self,
    ) -> Iterator[tuple[ChunkRef, Float32[np.ndarray, "frame dim"], Float64[np.ndarray, " frame"]]]:
        """Yield each chunk with the vectors and times of its frames."""
        pts_s = self.rows.columns.pts_s
        bounds = np.searchsorted(
            self.rows.columns.chunk, np.arange(len(self.rows.chunks) + 1)
        ).tolist()
        for chunk, first, last in zip(self.rows.chunks, bounds, bounds[1:], strict=False):
            yield chunk, self.vectors[first:last], pts_s[first:last]


def write(
    path: Path,
    fingerprint: Fingerprint,
    vectors: Float32[np.ndarray, "row dim"],
    rows: Rows,
    marks: Mapping[VideoId, int],
) -> None:
    """Write an index beside its name, then rename it.

    Raises:
        DiskFullError: No space; the old file, if any, is untouched.
        UnreachableError: The folder cannot be written to.
    """
    columns = rows.columns
    tensors = {
        "vectors": np.ascontiguousarray(vectors),
        "chunk": columns.chunk,
        "pts_s": columns.pts_s,
        "ordinals": np.array([chunk.ordinal for chunk in rows.chunks], dtype=np.int64),
        "videos": np.array([rows.videos[chunk.video] for chunk in rows.chunks], dtype=np.int64),
        "spans": np.array(
            [(chunk.span.start_s, chunk.span.end_s) for chunk in rows.chunks], dtype=np.float64
        ).reshape(-1, 2),
    }
    header = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "videos": list(rows.videos),
        "marks": dict(marks),
        "checksum": _checksum(tensors),
    }
    content = save(tensors, metadata={"longwatch": json.dumps(header, sort_keys=True)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A file that a power cut has emptied fails its checksum and is built again.
        atomic_write_bytes(path, content, durable=False)
    except OSError as error:
        if is_out_of_space(error):
            raise DiskFullError(
                f"{path}: no space left for the index; the latents it is built from are kept"
            ) from error
        raise UnreachableError(f"{path}: cannot be written ({error.strerror})") from error


def read(path: Path, dim: int, fingerprint: Fingerprint | None) -> StoredIndex | None:
    """Read the index in a file; `None`, and a line in the log, when it has to be built again."""
    if not path.exists():
        return None
    try:
        return _read(path, dim, fingerprint)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s is built again: %s", path, error)
        return None


def _read(path: Path, dim: int, fingerprint: Fingerprint | None) -> StoredIndex:
    with safe_open(path, framework="numpy") as file:
        header = json.loads((file.metadata() or {})["longwatch"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if header["format"] != FORMAT:
        raise ValueError(f"its format is {header['format']}, this version writes {FORMAT}")
    if fingerprint is not None and header["fingerprint"] != fingerprint:
        raise ValueError(f"it is of pipeline {header['fingerprint']}")
    if header["checksum"] != _checksum(tensors):
        raise ValueError("it fails its checksum")
    if tensors["vectors"].shape[1] != dim:
        raise ValueError(f"its vectors have {tensors['vectors'].shape[1]} components, not {dim}")
    return StoredIndex(
        vectors=tensors["vectors"],
        rows=_rows(header["videos"], tensors),
        # Files of earlier versions have none.
        marks=header.get("marks", {}),
    )


def _rows(videos: list[str], tensors: dict[str, np.ndarray]) -> Rows:
    rows = Rows()
    chunk = tensors["chunk"]
    # Rows of a chunk lie together: chunks are added whole, and removal keeps their order.
    starts = np.searchsorted(chunk, np.arange(len(tensors["ordinals"]) + 1))
    for idx, (ordinal, video, span) in enumerate(
        zip(tensors["ordinals"], tensors["videos"], tensors["spans"], strict=True)
    ):
        ref = ChunkRef(
            video=VideoId(videos[int(video)]),
            ordinal=int(ordinal),
            span=TimeSpan(start_s=float(span[0]), end_s=float(span[1])),
        )
        rows.add(ref, tensors["pts_s"][starts[idx] : starts[idx + 1]])
    return rows


def _checksum(tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
