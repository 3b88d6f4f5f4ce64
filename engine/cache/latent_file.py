"""The file of a chunk's latents: safetensors, self-describing, every tensor with a digest.

The header names everything that a database row about the chunk says, so rows can be rebuilt from
files. Each tensor has its own digest, and the checksum of the chunk covers header and digests:
reading only the frame vectors verifies only those, and of a file that lies elsewhere only their
bytes are fetched.
"""

import hashlib
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from engine.errors import AwayLatentsError, CorruptLatentsError, NotFoundError, UnreachableError
from engine.records import ChunkCommitted, ChunkRef, Fingerprint, SampleStats, TimeSpan, VideoId
from engine.tensors import PackedChunk, PackedLatents

FORMAT: Final = 1
"""Version of the file; readers refuse what they do not know."""
ENDING: Final = ".safetensors"
_FIRST_BYTES: Final = 1 << 16
"""Fetched of a file elsewhere at first: the header of any chunk, and all of a small one."""
_MOST_HEADER_BYTES: Final = 1 << 24

ReadRange = Callable[[int, int], bytes]
"""Returns the bytes from a start to an end of a file; fewer where it ends before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineInfo:
    """Facts that all files of one pipeline fingerprint share, written into each of them."""

    fingerprint: Fingerprint
    model: Fingerprint
    """Of the checkpoint alone: latents of one model may be recalled together, however densely
    they were sampled and however hard they were compressed."""
    family: str
    variant: str
    compression_ratio: int


@runtime_checkable
class TensorFile(Protocol):
    """An open file of tensors."""

    def metadata(self) -> Mapping[str, str] | None:
        """Return what stands in its header beside the tensors."""
        ...

    def get_tensor(self, name: str) -> Tensor:
        """Return one tensor."""
        ...


class RangedTensors:
    """A safetensors file of which only the tensors that are asked for are fetched.

    Source: the format as https://huggingface.co/docs/safetensors describes it.
    """

    def __init__(self, read: ReadRange) -> None:
        """Fetch the header.

        Raises:
            SafetensorError: It is none.
        """
        self._read = read
        self._first = read(0, _FIRST_BYTES)
        if len(self._first) < 8:
            raise SafetensorError("it is too short")
        (length,) = struct.unpack_from("<Q", self._first)
        if length > _MOST_HEADER_BYTES:
            raise SafetensorError(f"its header has {length} bytes")
        self._begin = 8 + length
        try:
            self._header: dict[str, Any] = json.loads(self._bytes(8, self._begin))
            self._metadata: dict[str, str] = self._header.pop("__metadata__", {})
        except (ValueError, AttributeError, TypeError) as error:
            raise SafetensorError(f"its header cannot be read ({error})") from error

    def metadata(self) -> Mapping[str, str]:
        """Return what stands in the header beside the tensors."""
        return self._metadata

    def get_tensor(self, name: str) -> Tensor:
        """Fetch one tensor.

        Raises:
            SafetensorError: There is none of this name, or its bytes are not all there.
        """
        try:
            facts = self._header[name]
            start, end = facts["data_offsets"]
            data = self._bytes(self._begin + start, self._begin + end)
            # A file with this tensor alone: what the bytes mean is the library's to say.
            header = json.dumps({name: {**facts, "data_offsets": [0, len(data)]}}).encode()
            alone: Tensor = load(struct.pack("<Q", len(header)) + header + data)[name]
        except (KeyError, TypeError, ValueError) as error:
            raise SafetensorError(f"its {name} cannot be read ({error})") from error
        return alone

    def _bytes(self, start: int, end: int) -> bytes:
        if end <= len(self._first):
            return self._first[start:end]
        return self._read(start, end)


def describe(
    chunk: PackedChunk, pipeline: PipelineInfo, *, activity: float, stats: SampleStats
) -> tuple[dict[str, Any], bytes]:
    """Return the header of a chunk, checksum included, and the bytes of its file."""
    tensors = {"frame_vectors": chunk.frame_vectors, "pts_s": chunk.pts_s}
    tensors.update(chunk.latents.tensors)
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    header: dict[str, Any] = {
        "format": FORMAT,
        **asdict(pipeline),
        "video": chunk.ref.video,
        "ordinal": chunk.ref.ordinal,
        "start_s": chunk.ref.span.start_s,
        "end_s": chunk.ref.span.end_s,
        "n_frames": len(chunk.pts_s),
        "n_latents": chunk.latents.n_latents,
        "storage": chunk.latents.storage,
        "dtype": chunk.latents.dtype,
        "activity": activity,
        "stats": asdict(stats),
        "digests": {name: _digest(tensor) for name, tensor in tensors.items()},
    }
    header = {**header, "checksum": _checksum(header)}
    return header, save(tensors, metadata={"longwatch": json.dumps(header, sort_keys=True)})


@contextmanager
def open_chunk(
    path: Path, model: Fingerprint, read: ReadRange | None = None
) -> Iterator[tuple[dict[str, Any], TensorFile]]:
    """Open a file: its verified header, and the file to read tensors from.

    Args:
        path: Its place, whether it lies there or not.
        model: Latents of another are refused.
        read: Fetches a part of it from elsewhere; `None` opens the file here.
    Raises:
        CorruptLatentsError: It is gone, damaged, or another's.
        AwayLatentsError: It lies elsewhere, where nobody answers.
    """
    try:
        if read is None:
            with safe_open(path, framework="pt") as file:
                yield _header(path, file.metadata() or {}, model), file
        else:
            ranged = RangedTensors(read)
            yield _header(path, ranged.metadata(), model), ranged
    except (FileNotFoundError, NotFoundError) as error:
        raise corrupt(path, "the file is missing") from error
    except SafetensorError as error:
        raise corrupt(path, f"not a readable chunk ({error})") from error
    except UnreachableError as error:
        raise away(path, error) from error
    except OSError as error:
        raise UnreachableError(f"{path}: cannot be read ({error.strerror})") from error


def model_of(path: Path, read: ReadRange | None = None) -> str | None:
    """Return the model that made a chunk; `None` where the file cannot be read."""
    try:
        if read is None:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
        else:
            metadata = RangedTensors(read).metadata()
        model: str = json.loads(metadata["longwatch"])["model"]
        return model
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, NotFoundError):
        return None


def packed_chunk(path: Path, header: Mapping[str, Any], file: TensorFile) -> PackedChunk:
    """Return the chunk of an open file, every byte verified."""
    tensors = {name: verified(path, header, file, name) for name in header["digests"]}
    return PackedChunk(
        ref=ref_of(header),
        frame_vectors=tensors.pop("frame_vectors"),
        pts_s=tensors.pop("pts_s"),
        latents=PackedLatents(
            storage=header["storage"],
            dtype=header["dtype"],
            n_latents=header["n_latents"],
            tensors=tuple(sorted(tensors.items())),
        ),
    )


def ref_of(header: Mapping[str, Any]) -> ChunkRef:
    """Return the chunk that a header names."""
    span = TimeSpan(start_s=header["start_s"], end_s=header["end_s"])
    return ChunkRef(video=VideoId(header["video"]), ordinal=header["ordinal"], span=span)


def committed(header: Mapping[str, Any], file_bytes: int) -> ChunkCommitted:
    """Return the record of a chunk whose file has so many bytes."""
    return ChunkCommitted(
        ref=ref_of(header),
        fingerprint=Fingerprint(header["fingerprint"]),
        n_frames=header["n_frames"],
        n_latents=header["n_latents"],
        file_bytes=file_bytes,
        checksum=header["checksum"],
        activity=header["activity"],
        stats=SampleStats(**header["stats"]),
    )


def verified(path: Path, header: Mapping[str, Any], file: TensorFile, name: str) -> Tensor:
    """Return a tensor of an open file.

    Raises:
        CorruptLatentsError: It fails its checksum.
    """
    tensor = file.get_tensor(name)
    if _digest(tensor) != header["digests"][name]:
        raise corrupt(path, f"its {name} fail their checksum")
    return tensor


def corrupt(path: Path, reason: str) -> CorruptLatentsError:
    """Return the error for a chunk that is damaged or gone."""
    return CorruptLatentsError(str(path), reason, chunk=_chunk_of(path))


def away(path: Path, reason: UnreachableError) -> AwayLatentsError:
    """Return the error for a chunk that cannot be fetched now."""
    return AwayLatentsError(str(path), reason.message, chunk=_chunk_of(path))


def _chunk_of(path: Path) -> tuple[str, int]:
    return path.parent.name, int(path.name.removesuffix(ENDING))


def _header(path: Path, metadata: Mapping[str, str], model: Fingerprint) -> dict[str, Any]:
    try:
        header = json.loads(metadata["longwatch"])
        version, checksum = header["format"], header.pop("checksum")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise corrupt(path, "its header is not one of ours") from error
    if version != FORMAT:
        raise corrupt(path, f"format {version}; this version reads {FORMAT}")
    if checksum != _checksum(header):
        raise corrupt(path, "its header fails its checksum")
    if header["fingerprint"] != path.parents[1].name:
        raise corrupt(path, f"it is of pipeline {header['fingerprint']}")
    if header["model"] != model:
        raise corrupt(path, f"it was made by the model {header['model']}")
    return {**header, "checksum": checksum}


def _digest(tensor: Tensor) -> str:
    """SHA-256 over dtype, shape and bytes."""
    digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
    digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _checksum(header: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()
