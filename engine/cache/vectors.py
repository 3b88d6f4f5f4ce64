"""Vectors of stills, packed chunk by chunk: one folder for each encoder that looked at them.

    ROOT/<encoder fingerprint>/<video>/<ordinal>.safetensors

*Decision*: kept as half floats beside a digest, and made again when a file is damaged. *Because*
they follow from the stills; what is lost costs seconds, not footage.
"""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from jaxtyping import Float, Float64
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from engine.cache.far import ALONE, ChunkFolders, FarFiles
from engine.errors import CorruptFileError, UnreachableError
from engine.files import note_change, noted_at_ns
from engine.records import ChunkRef, Fingerprint, TimeSpan, VideoId

FORMAT: Final = 1
"""Version of the file; one of another version is made again."""
_ENDING = ".safetensors"
_DAMAGED: Final = (SafetensorError, ValueError, KeyError, TypeError)
"""What the reading of a file raises that is not as it was written."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StillVectors:
    """The vectors of one chunk's stills."""

    chunk: ChunkRef
    reading: str
    """Fingerprint of the pipeline that sampled the stills."""
    vectors: Float[Tensor, "still dim"]
    pts_s: Float64[Tensor, " still"]


class VectorStore:
    """The vectors of one encoder. Safe for several threads and processes.

    Args:
        root: Folder of all encoders' vectors.
        fingerprint: Of the encoder.
        durable: Whether a write waits for the disk; only scratch stores do without.
        far: The store that other machines share; none without. What it cannot hand over now is an
            `UnreachableError` of whatever asked for it.
    """

    def __init__(
        self,
        root: Path,
        fingerprint: Fingerprint,
        *,
        durable: bool = True,
        far: FarFiles = ALONE,
    ) -> None:
        self.folder = root / fingerprint
        self.fingerprint = fingerprint
        self._durable = durable
        self._files = ChunkFolders(_ENDING, far)

    def put(self, stored: StillVectors) -> None:
        """Write the vectors of a chunk; an earlier file of it is replaced.

        Raises:
            DiskFullError: No space; an earlier file stays as it was.
            UnreachableError: The folder cannot be written to.
        """
        tensors = {
            "vectors": stored.vectors.to(torch.float16).contiguous(),
            "pts_s": stored.pts_s.contiguous(),
        }
        header = {
            "format": FORMAT,
            "encoder": self.fingerprint,
            "video": stored.chunk.video,
            "ordinal": stored.chunk.ordinal,
            "start_s": stored.chunk.span.start_s,
            "end_s": stored.chunk.span.end_s,
            "reading": stored.reading,
            "checksum": _checksum(tensors),
        }
        content = save(tensors, metadata={"longwatch": json.dumps(header, sort_keys=True)})
        path = self.path(stored.chunk.video, stored.chunk.ordinal)
        self._files.commit(path, content, durable=self._durable, replaces=True)
        note_change(self.folder)

    def get(self, video: VideoId, ordinal: int) -> StillVectors | None:
        """Read the vectors of a chunk; `None`, and a line in the log, when it has to be made again.

        A damaged file is deleted.

        Raises:
            UnreachableError: It cannot be read now.
        """
        path = self.path(video, ordinal)
        try:
            if not self._files.far.bring(path):
                return None
            try:
                return self._read(path, video, ordinal)
            except _DAMAGED:
                # The copy here; the one of all others may be whole.
                if not self._files.far.renew(path):
                    raise
            return self._read(path, video, ordinal)
        except FileNotFoundError:
            return None
        except OSError as error:
            # Too many open files, a disk that fails: that says nothing about what it holds.
            raise UnreachableError(f"{path}: cannot be read ({error.strerror})") from error
        except (CorruptFileError, *_DAMAGED) as error:
            _log.warning("%s is made again: %s", path, error)
            self.drop(video, ordinal)
            return None

    def reading(self, video: VideoId, ordinal: int) -> str | None:
        """Return the pipeline that sampled the stills of a chunk; `None` without readable vectors.

        Cost: one header; the tensors are not read.
        """
        path = self.path(video, ordinal)
        try:
            self._files.far.bring(path)
            with safe_open(path, framework="pt") as file:
                return str(json.loads((file.metadata() or {})["longwatch"])["reading"])
        except (OSError, CorruptFileError, SafetensorError, ValueError, KeyError):
            return None

    def videos(self) -> tuple[VideoId, ...]:
        """Return the videos that have a folder here, sorted."""
        return tuple(sorted(self.changes_ns()))

    def look_again(self, video: VideoId) -> None:
        """Have the files of a video listed anew, however lately they were."""
        self._files.far.look_again(self.folder / video)

    def noted_at_ns(self) -> int:
        """Return when any file came or went, of whatever video."""
        return max(noted_at_ns(self.folder), self._files.far.noted_at_ns(self.folder))

    def changes_ns(self) -> dict[VideoId, int]:
        """Return when a file of each video came or went; nothing is listed or opened."""
        return {
            VideoId(name): at_ns
            for name, at_ns in self._files.changes_ns(self.folder).items()
            if not name.startswith(".")
        }

    def ordinals(self, video: VideoId) -> tuple[int, ...]:
        """Return the chunks of a video that have vectors, sorted; nothing is opened."""
        return self._files.ordinals(self.folder / video)

    def changed_at_ns(self, video: VideoId) -> int | None:
        """Return when a file of a video last came or went; `None` without a folder."""
        return self._files.changed_at_ns(self.folder / video)

    def drop(self, video: VideoId, ordinal: int) -> None:
        """Delete the vectors of a chunk; nothing happens when there are none."""
        self._files.drop(self.path(video, ordinal))
        note_change(self.folder)

    def forget(self, video: VideoId) -> None:
        """Delete all vectors of a video."""
        self._files.remove(self.path(video, 0).parent)

    def path(self, video: VideoId, ordinal: int) -> Path:
        """Return where the vectors of a chunk lie, whether they are there or not."""
        if not video or "/" in video or video.startswith("."):
            raise ValueError(f"a video id is a plain name, not {video!r}")
        return self.folder / video / self._files.name(ordinal)

    def _read(self, path: Path, video: VideoId, ordinal: int) -> StillVectors:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["longwatch"])
            tensors = {name: file.get_tensor(name) for name in ("vectors", "pts_s")}
        if header["format"] != FORMAT:
            raise ValueError(f"its format is {header['format']}, this version writes {FORMAT}")
        owner = (header["encoder"], header["video"], header["ordinal"])
        if owner != (self.fingerprint, video, ordinal):
            raise ValueError("it holds another chunk's vectors, or another encoder's")
        if header["checksum"] != _checksum(tensors):
            raise ValueError("it fails its checksum")
        span = TimeSpan(start_s=float(header["start_s"]), end_s=float(header["end_s"]))
        return StillVectors(
            chunk=ChunkRef(video=video, ordinal=ordinal, span=span),
            reading=str(header["reading"]),
            vectors=tensors["vectors"],
            pts_s=tensors["pts_s"],
        )


def _checksum(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
