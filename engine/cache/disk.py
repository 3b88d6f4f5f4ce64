"""One safetensors file per chunk: self-describing, checksummed, written atomically.

    ROOT/<pipeline fingerprint>/<video>/<ordinal>.safetensors

`latent_file.py` knows what stands in it, `far.py` where else it may lie: on another machine a
chunk's file is fetched when it is recalled, and for an index its vectors alone.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from torch import Tensor

from engine.cache import latent_file
from engine.cache.commit import set_aside, set_aside_name
from engine.cache.far import ALONE, ChunkFolders, FarFiles
from engine.cache.latent_file import ENDING, PipelineInfo, ReadRange, TensorFile
from engine.errors import (
    AwayLatentsError,
    CorruptFileError,
    CorruptLatentsError,
    LimitExceededError,
    UnreachableError,
)
from engine.files import note_change, noted_at_ns
from engine.records import ChunkCommitted, ChunkRef, Fingerprint, SampleStats, VideoId
from engine.tensors import PackedChunk

_VIDEO_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

_Result = TypeVar("_Result")
_Reader = Callable[[dict[str, Any], TensorFile], _Result]


class DiskTier:
    """Chunks as files: what is here is committed.

    Chunks are written for one pipeline fingerprint. Videos that another pipeline of the same
    model has read can be attached: they are then read where they lie.

    Args:
        root: Folder of all latents; this tier writes below `root/<fingerprint>`.
        pipeline: Written into every file; a file of another fingerprint is refused.
        limit_bytes: Most bytes to keep; `None` leaves it to the disk.
        durable: Whether a write waits for the disk; only scratch caches do without.
        far: The store that other machines share; none without.
    """

    def __init__(
        self,
        root: Path,
        pipeline: PipelineInfo,
        *,
        limit_bytes: int | None = None,
        durable: bool = True,
        far: FarFiles = ALONE,
    ) -> None:
        self.root = root
        self.folder = root / pipeline.fingerprint
        self.pipeline = pipeline
        self._attached: dict[VideoId, Fingerprint] = {}
        self._limit_bytes = limit_bytes
        self._durable = durable
        self._counted_bytes: int | None = None
        self._files = ChunkFolders(ENDING, far)

    @property
    def used_bytes(self) -> int:
        """Bytes of all files here, counted now."""
        return sum(path.stat().st_size for path in self.folder.glob(f"*/*{ENDING}"))

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
        models = (self._model_of(self.path(video, ordinal)) for ordinal in self.ordinals(video))
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
        return self._video_folder(video) / self._files.name(ordinal)

    def commit(self, chunk: PackedChunk, *, activity: float, stats: SampleStats) -> ChunkCommitted:
        """Write a chunk; when this returns, the chunk survives a loss of power.

        Raises:
            DiskFullError: No space; nothing that was stored before is touched.
            LimitExceededError: The tier's own limit is passed.
            TakenError: Another machine has written it first; its file is here now.
            UnreachableError: It is here, and cannot be brought to where other machines read it.
        """
        header, content = latent_file.describe(chunk, self.pipeline, activity=activity, stats=stats)
        self._check_limit(len(content))
        path = self.path(chunk.ref.video, chunk.ref.ordinal)
        try:
            self._files.commit(path, content, durable=self._durable, replaces=False)
        finally:
            note_change(self.root)
        set_aside_name(path).unlink(missing_ok=True)
        return latent_file.committed(header, len(content))

    def get(self, ref: ChunkRef) -> PackedChunk | None:
        """Read a chunk, every byte verified; `None` when there is no file.

        Raises:
            AwayLatentsError: It lies elsewhere, and cannot be fetched now.
        """
        path = self.path(ref.video, ref.ordinal)
        if not self._bring(path):
            return None
        return self._read(path, lambda header, file: latent_file.packed_chunk(path, header, file))

    def drop(self, ref: ChunkRef) -> None:
        """Delete a chunk's file; nothing happens when there is none."""
        self._files.drop(self.path(ref.video, ref.ordinal))
        note_change(self.root)

    def verify(self, video: VideoId, ordinal: int) -> ChunkCommitted:
        """Read a chunk's file whole and return its record.

        Raises:
            CorruptLatentsError: Header or tensors fail their checksum, or are another chunk's.
        """
        path = self.path(video, ordinal)
        self._bring(path)

        def read(header: dict[str, Any], file: TensorFile) -> ChunkCommitted:
            if (header["video"], header["ordinal"]) != (video, ordinal):
                raise latent_file.corrupt(
                    path, f"it is chunk {header['ordinal']} of {header['video']}"
                )
            latent_file.packed_chunk(path, header, file)
            return latent_file.committed(header, path.stat().st_size)

        return self._read(path, read)

    def set_aside(self, video: VideoId, ordinal: int) -> None:
        """Give a damaged file another name, under which nothing reads it.

        Raises:
            UnreachableError: The folder cannot be written to.
        """
        path = self.path(video, ordinal)
        set_aside(path)
        self._files.drop(path)
        note_change(self.root)

    def remove(self, video: VideoId) -> None:
        """Delete every chunk of a video, of whatever pipeline; readers see all or nothing."""
        self._attached.pop(video, None)
        for folder in self._readings(video):
            self._files.remove(folder)
        note_change(self.root)

    def remove_superseded(self, video: VideoId) -> None:
        """Delete what other pipelines than the present one of a video have read of it."""
        present = self._video_folder(video)
        for folder in self._readings(video):
            if folder != present:
                self._files.remove(folder)
        note_change(self.root)

    def sweep(self, video: VideoId) -> None:
        """Delete files that killed writers left half written."""
        for path in self._video_folder(video).glob(".*"):
            path.unlink(missing_ok=True)

    def videos(self) -> tuple[VideoId, ...]:
        """Return the videos that have a folder here, and the attached ones, sorted."""
        return tuple(sorted(self.changes_ns()))

    def look_again(self, video: VideoId) -> None:
        """Have the chunks of a video listed anew, however lately they were."""
        self._files.far.look_again(self._video_folder(video))

    def noted_at_ns(self) -> int:
        """Return when any chunk came or went, of whatever pipeline."""
        far_ns = self._files.far.noted_at_ns(self.root)
        return max(noted_at_ns(self.root, self.folder), far_ns)

    def changes_ns(self) -> dict[VideoId, int]:
        """Return when a chunk of each video came or went.

        Cost: one look at each folder; nothing is listed or opened.
        """
        # An attached video is read elsewhere, whatever lies here.
        changes = {
            VideoId(name): at_ns
            for name, at_ns in self._files.changes_ns(self.folder).items()
            if name not in self._attached and _VIDEO_ID.fullmatch(name)
        }
        for video in self._attached:
            at_ns = self.changed_at_ns(video)
            if at_ns is not None:
                changes[video] = at_ns
        return changes

    def ordinals(self, video: VideoId) -> tuple[int, ...]:
        """Return the ordinals of a video's committed chunks, sorted; nothing is opened."""
        return self._files.ordinals(self._video_folder(video))

    def sizes(self, video: VideoId) -> dict[int, int]:
        """Return the bytes of each committed chunk's file, by ordinal; nothing is opened."""
        return self._files.sizes(self._video_folder(video))

    def changed_at_ns(self, video: VideoId, ordinal: int | None = None) -> int | None:
        """Return when a chunk came or went, or this one was written; `None` when it is not here."""
        folder = self._video_folder(video)
        if ordinal is None:
            return self._files.changed_at_ns(folder)
        try:
            return self.path(video, ordinal).stat().st_mtime_ns
        except FileNotFoundError:
            file = self._files.far.files(folder).get(self._files.name(ordinal))
            return None if file is None else file.written_ns

    def committed(self, video: VideoId, ordinal: int) -> ChunkCommitted:
        """Read the record that ingest yielded for a chunk, from the file's header alone."""
        path = self.path(video, ordinal)
        return self._read(
            path, lambda header, _: latent_file.committed(header, self._files.size(path))
        )

    def frame_vectors(self, video: VideoId, ordinal: int) -> tuple[ChunkRef, Tensor, Tensor]:
        """Read a chunk's place, frame vectors and times, verified, without its latents."""
        path = self.path(video, ordinal)

        def read(header: dict[str, Any], file: TensorFile) -> tuple[ChunkRef, Tensor, Tensor]:
            vectors = latent_file.verified(path, header, file, "frame_vectors")
            pts_s = latent_file.verified(path, header, file, "pts_s")
            return latent_file.ref_of(header), vectors, pts_s

        return self._read(path, read)

    def _bring(self, path: Path) -> bool:
        """Have the file of a chunk here; tell whether there is one."""
        try:
            return self._files.far.bring(path)
        except UnreachableError as error:
            raise latent_file.away(path, error) from error
        except CorruptFileError as error:
            raise latent_file.corrupt(path, error.message) from error

    def _ranges(self, path: Path) -> ReadRange | None:
        """Return the reader of a file that lies elsewhere alone; `None` for one that is here."""
        far = self._files.far
        if path.exists() or path.name not in far.files(path.parent):
            return None
        return lambda start, end: far.read(path, start, end)

    def _model_of(self, path: Path) -> str | None:
        return latent_file.model_of(path, self._ranges(path))

    def _read(self, path: Path, read: _Reader[_Result]) -> _Result:
        """Read from a chunk's file; one that is damaged here is fetched again first."""
        model = self.pipeline.model
        try:
            with latent_file.open_chunk(path, model, self._ranges(path)) as (header, file):
                return read(header, file)
        except AwayLatentsError:
            raise
        except CorruptLatentsError:
            try:
                is_renewed = self._files.far.renew(path)
            except UnreachableError as error:
                raise latent_file.away(path, error) from error
            except CorruptFileError as error:
                raise latent_file.corrupt(path, error.message) from error
            if not is_renewed:
                raise
        with latent_file.open_chunk(path, model) as (header, file):
            return read(header, file)

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
        far = self._files.far.folders(self.root, video)
        return tuple(dict.fromkeys((own, *self.root.glob(f"*/{video}"), *killed, *far)))
