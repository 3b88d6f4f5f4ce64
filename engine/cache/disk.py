"""One safetensors file per chunk: self-describing, checksummed, written atomically.

    ROOT/<pipeline fingerprint>/<video>/<ordinal>.safetensors

The header names everything that a database row about the chunk says, so rows can be rebuilt from
files. Each tensor has its own digest, and the checksum of the chunk covers header and digests:
reading only the frame vectors verifies only those.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from engine.cache.commit import commit_file, set_aside, set_aside_name
from engine.errors import CorruptLatentsError, LimitExceededError, UnreachableError
from engine.files import folder_times_ns, note_change, noted_at_ns, remove_folder
from engine.records import ChunkCommitted, ChunkRef, Fingerprint, SampleStats, TimeSpan, VideoId
from engine.tensors import PackedChunk, PackedLatents

FORMAT = 1
"""Version of the file; readers refuse what they do not know."""

_ENDING = ".safetensors"
_VIDEO_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


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


class DiskTier:
    """Chunks as files: what is here is committed.

    Chunks are written for one pipeline fingerprint. Videos that another pipeline of the same
    model has read can be attached: they are then read where they lie.

    Args:
        root: Folder of all latents; this tier writes below `root/<fingerprint>`.
        pipeline: Written into every file; a file of another fingerprint is refused.
        limit_bytes: Most bytes to keep; `None` leaves it to the disk.
        durable: Whether a write waits for the disk; only scratch caches do without.
    """

    def __init__(
        self,
        root: Path,
        pipeline: PipelineInfo,
        *,
        limit_bytes: int | None = None,
        durable: bool = True,
    ) -> None:
        self.root = root
        self.folder = root / pipeline.fingerprint
        self.pipeline = pipeline
        self._attached: dict[VideoId, Fingerprint] = {}
        self._limit_bytes = limit_bytes
        self._durable = durable
        self._counted_bytes: int | None = None

    @property
    def used_bytes(self) -> int:
        """Bytes of all files, counted now."""
        return sum(path.stat().st_size for path in self.folder.glob(f"*/*{_ENDING}"))

    def pipeline_of(self, video: VideoId) -> Fingerprint:
        """Return the pipeline whose chunks of a video are read."""
        return self._attached.get(video, self.pipeline.fingerprint)

    def attach(self, video: VideoId, fingerprint: Fingerprint) -> bool:
        """Read a video where the pipeline of `fingerprint` left it, from now on.

        Returns:
            Whether that can be done: a pipeline of another model's cannot be read.
        """
        before = self._attached.pop(video, None)
        if fingerprint == self.pipeline.fingerprint:
            return True
        self._attached[video] = fingerprint
        models = (_model_of(self.path(video, ordinal)) for ordinal in self.ordinals(video))
        model = next((model for model in models if model is not None), None)
        # Chunks that are all damaged name no model: whoever repairs them must find them.
        if model in {self.pipeline.model, None}:
            return True
        self._attached.pop(video)
        if before is not None:
            self._attached[video] = before
        return False

    def path(self, video: VideoId, ordinal: int) -> Path:
        """Return where a chunk lies, whether it is there or not."""
        return self._video_folder(video) / f"{ordinal:08d}{_ENDING}"

    def commit(self, chunk: PackedChunk, *, activity: float, stats: SampleStats) -> ChunkCommitted:
        """Write a chunk; when this returns, the chunk survives a loss of power.

        Raises:
            DiskFullError: No space; nothing that was stored before is touched.
            LimitExceededError: The tier's own limit is passed.
        """
        header, tensors = self._describe(chunk, activity=activity, stats=stats)
        content = save(dict(tensors), metadata={"longwatch": json.dumps(header, sort_keys=True)})
        self._check_limit(len(content))
        path = self.path(chunk.ref.video, chunk.ref.ordinal)
        commit_file(path, content, durable=self._durable)
        set_aside_name(path).unlink(missing_ok=True)
        note_change(self.root)
        return _committed(header, len(content))

    def put(self, chunk: PackedChunk) -> None:
        """Write a chunk of which nothing but its tensors is known."""
        self.commit(chunk, activity=0.0, stats=SampleStats())

    def get(self, ref: ChunkRef) -> PackedChunk | None:
        """Read a chunk, every byte verified; `None` when there is no file."""
        path = self.path(ref.video, ref.ordinal)
        if not path.exists():
            return None
        with self._open(path) as (header, file):
            tensors = {name: _verified(path, header, file, name) for name in header["digests"]}
        return PackedChunk(
            ref=_ref(header),
            frame_vectors=tensors.pop("frame_vectors"),
            pts_s=tensors.pop("pts_s"),
            latents=PackedLatents(
                storage=header["storage"],
                dtype=header["dtype"],
                n_latents=header["n_latents"],
                tensors=tuple(sorted(tensors.items())),
            ),
        )

    def drop(self, ref: ChunkRef) -> None:
        """Delete a chunk's file; nothing happens when there is none."""
        self.path(ref.video, ref.ordinal).unlink(missing_ok=True)
        note_change(self.root)

    def verify(self, video: VideoId, ordinal: int) -> ChunkCommitted:
        """Read a chunk's file whole and return its record.

        Raises:
            CorruptLatentsError: Header or tensors fail their checksum, or are another chunk's.
        """
        path = self.path(video, ordinal)
        with self._open(path) as (header, file):
            if (header["video"], header["ordinal"]) != (video, ordinal):
                raise _corrupt(path, f"it is chunk {header['ordinal']} of {header['video']}")
            for name in header["digests"]:
                _verified(path, header, file, name)
            return _committed(header, path.stat().st_size)

    def set_aside(self, video: VideoId, ordinal: int) -> None:
        """Give a damaged file another name, under which nothing reads it.

        Raises:
            UnreachableError: The folder cannot be written to.
        """
        set_aside(self.path(video, ordinal))
        note_change(self.root)

    def remove(self, video: VideoId) -> None:
        """Delete every chunk of a video, of whatever pipeline; readers see all or nothing."""
        self._attached.pop(video, None)
        for folder in self._readings(video):
            remove_folder(folder)
        note_change(self.root)

    def remove_superseded(self, video: VideoId) -> None:
        """Delete what other pipelines than the present one of a video have read of it."""
        present = self._video_folder(video)
        for folder in self._readings(video):
            if folder != present:
                remove_folder(folder)
        note_change(self.root)

    def sweep(self, video: VideoId) -> None:
        """Delete files that killed writers left half written."""
        for path in self._video_folder(video).glob(".*"):
            path.unlink(missing_ok=True)

    def videos(self) -> tuple[VideoId, ...]:
        """Return the videos that have a folder here, and the attached ones, sorted."""
        return tuple(sorted(self.changes_ns()))

    def noted_at_ns(self) -> int:
        """Return when any chunk came or went, of whatever pipeline."""
        return noted_at_ns(self.root, self.folder)

    def changes_ns(self) -> dict[VideoId, int]:
        """Return when a chunk of each video came or went.

        Cost: one look at each folder; nothing is listed or opened.
        """
        # An attached video is read elsewhere, whatever lies here.
        changes = {
            VideoId(name): at_ns
            for name, at_ns in folder_times_ns(self.folder).items()
            if name not in self._attached and _VIDEO_ID.fullmatch(name)
        }
        for video in self._attached:
            at_ns = self.changed_at_ns(video)
            if at_ns is not None:
                changes[video] = at_ns
        return changes

    def ordinals(self, video: VideoId) -> tuple[int, ...]:
        """Return the ordinals of a video's committed chunks, sorted; nothing is opened."""
        folder = self._video_folder(video)
        if not folder.is_dir():
            return ()
        stems = (name[: -len(_ENDING)] for name in os.listdir(folder) if name.endswith(_ENDING))
        return tuple(sorted(int(stem) for stem in stems if stem.isdecimal()))

    def sizes(self, video: VideoId) -> dict[int, int]:
        """Return the bytes of each committed chunk's file, by ordinal; nothing is opened."""
        with suppress(FileNotFoundError), os.scandir(self._video_folder(video)) as entries:
            files = [(entry.name, entry) for entry in entries if entry.name.endswith(_ENDING)]
            stems = ((name[: -len(_ENDING)], entry) for name, entry in files)
            return {int(stem): entry.stat().st_size for stem, entry in stems if stem.isdecimal()}
        return {}

    def changed_at_ns(self, video: VideoId, ordinal: int | None = None) -> int | None:
        """Return when a chunk came or went, or this one was written; `None` when it is not here."""
        path = self._video_folder(video) if ordinal is None else self.path(video, ordinal)
        try:
            return path.stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def committed(self, video: VideoId, ordinal: int) -> ChunkCommitted:
        """Read the record that ingest yielded for a chunk, from the file's header alone."""
        path = self.path(video, ordinal)
        with self._open(path) as (header, _):
            return _committed(header, path.stat().st_size)

    def frame_vectors(self, video: VideoId, ordinal: int) -> tuple[ChunkRef, Tensor, Tensor]:
        """Read a chunk's place, frame vectors and times, verified, without its latents."""
        path = self.path(video, ordinal)
        with self._open(path) as (header, file):
            vectors = _verified(path, header, file, "frame_vectors")
            return _ref(header), vectors, _verified(path, header, file, "pts_s")

    def _check_limit(self, more_bytes: int) -> None:
        """Refuse what passes the limit; files are counted anew only when it seems passed."""
        if self._limit_bytes is None:
            return
        wanted = (self._counted_bytes or 0) + more_bytes
        if self._counted_bytes is None or wanted > self._limit_bytes:
            wanted = self.used_bytes + more_bytes
        if wanted > self._limit_bytes:
            raise LimitExceededError(
                "bytes of latents on disk", wanted, self._limit_bytes, field="disk_bytes"
            )
        self._counted_bytes = wanted

    def _video_folder(self, video: VideoId) -> Path:
        if not _VIDEO_ID.fullmatch(video):
            raise ValueError(
                f"a video id is up to 128 letters, digits, dots, dashes and underscores, "
                f"not {video!r}"
            )
        return self.root / self.pipeline_of(video) / video

    def _readings(self, video: VideoId) -> tuple[Path, ...]:
        """Return the folders of a video, of whatever pipeline, and those half removed."""
        own = self._video_folder(video)
        killed = (path.with_name(video) for path in self.root.glob(f"*/.{video}.removed"))
        return tuple(dict.fromkeys((own, *self.root.glob(f"*/{video}"), *killed)))

    def _describe(
        self, chunk: PackedChunk, *, activity: float, stats: SampleStats
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the header, checksum included, and the tensors on the CPU."""
        tensors = {"frame_vectors": chunk.frame_vectors, "pts_s": chunk.pts_s}
        tensors.update(chunk.latents.tensors)
        tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        header: dict[str, Any] = {
            "format": FORMAT,
            **asdict(self.pipeline),
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
        return {**header, "checksum": _checksum(header)}, tensors

    @contextmanager
    def _open(self, path: Path) -> Iterator[tuple[dict[str, Any], safe_open]]:
        """Open a file: its verified header, and the file to read tensors from."""
        try:
            with safe_open(path, framework="pt") as file:
                yield self._header(path, file.metadata() or {}), file
        except FileNotFoundError as error:
            raise _corrupt(path, "the file is missing") from error
        except SafetensorError as error:
            raise _corrupt(path, f"not a readable chunk ({error})") from error
        except OSError as error:
            raise UnreachableError(f"{path}: cannot be read ({error.strerror})") from error

    def _header(self, path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
        try:
            header = json.loads(metadata["longwatch"])
            version, checksum = header["format"], header.pop("checksum")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise _corrupt(path, "its header is not one of ours") from error
        if version != FORMAT:
            raise _corrupt(path, f"format {version}; this version reads {FORMAT}")
        if checksum != _checksum(header):
            raise _corrupt(path, "its header fails its checksum")
        if header["fingerprint"] != path.parents[1].name:
            raise _corrupt(path, f"it is of pipeline {header['fingerprint']}")
        if header["model"] != self.pipeline.model:
            raise _corrupt(path, f"it was made by the model {header['model']}")
        return {**header, "checksum": checksum}


def _model_of(path: Path) -> str | None:
    """Return the model that made a chunk; `None` where the file cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            model: str = json.loads((file.metadata() or {})["longwatch"])["model"]
            return model
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _corrupt(path: Path, reason: str) -> CorruptLatentsError:
    chunk = (path.parent.name, int(path.name.removesuffix(_ENDING)))
    return CorruptLatentsError(str(path), reason, chunk=chunk)


def _ref(header: Mapping[str, Any]) -> ChunkRef:
    span = TimeSpan(start_s=header["start_s"], end_s=header["end_s"])
    return ChunkRef(video=VideoId(header["video"]), ordinal=header["ordinal"], span=span)


def _committed(header: Mapping[str, Any], file_bytes: int) -> ChunkCommitted:
    return ChunkCommitted(
        ref=_ref(header),
        fingerprint=Fingerprint(header["fingerprint"]),
        n_frames=header["n_frames"],
        n_latents=header["n_latents"],
        file_bytes=file_bytes,
        checksum=header["checksum"],
        activity=header["activity"],
        stats=SampleStats(**header["stats"]),
    )


def _verified(path: Path, header: Mapping[str, Any], file: safe_open, name: str) -> Tensor:
    tensor: Tensor = file.get_tensor(name)  # type: ignore[no-untyped-call]
    if _digest(tensor) != header["digests"][name]:
        raise _corrupt(path, f"its {name} fail their checksum")
    return tensor


def _digest(tensor: Tensor) -> str:
    """SHA-256 over dtype, shape and bytes."""
    digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
    digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _checksum(header: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()
