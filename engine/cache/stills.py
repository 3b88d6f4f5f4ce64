"""The sampled frames of a video as small JPEGs, packed chunk by chunk.

    ROOT/<video>/<ordinal>.zip

*Decision*: a file is written before the latents of its chunk. *Because* a chunk counts when its
latents are on disk, and a camera does not show its past again.
"""

import io
import math
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from engine.cache.commit import set_aside, set_aside_name
from engine.cache.far import ALONE, ChunkFolders, FarFiles, FolderMemory
from engine.cache.still_file import FORMAT, StillsHeader, pack_stills, read_header, read_jpeg
from engine.errors import CorruptFileError, CorruptStillsError, NotFoundError
from engine.records import Fingerprint, VideoId

_ENDING = ".zip"


@dataclass(frozen=True, slots=True, kw_only=True)
class StillConfig:
    """Size and quality of stills."""

    max_side_px: int = 640
    """Larger frames are scaled down to it. Half of what frames are read at: enough for a picture
    on a page and for encoders, which look at 224 to 384 px."""
    quality: int = 80
    """Of JPEG, from 1 to 95."""

    def __post_init__(self) -> None:
        if self.max_side_px < 1:
            raise ValueError(f"max_side_px must be at least 1, not {self.max_side_px}")
        if not 1 <= self.quality <= 95:
            raise ValueError(f"quality must lie in [1, 95], not {self.quality}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    """A small picture of a video."""

    pts_s: float
    """Time of the frame, exactly as it was sampled."""
    jpeg: bytes

    @property
    def longest_px(self) -> int:
        """The longer side of the picture."""
        with Image.open(io.BytesIO(self.jpeg)) as picture:
            return max(picture.size)

    def pixels(self, max_side_px: int | None = None) -> UInt8[np.ndarray, "h w 3"]:
        """Return the picture as RGB, scaled down where it is larger than asked for.

        Cost: 1 ms of 640x360, 0.2 ms of its half: JPEG is decoded at a half or quarter.
        """
        # Late: OpenCV, 30 MB that a process which hands out JPEGs does without.
        import cv2

        longest_px = self.longest_px
        wanted_px = min(longest_px, max_side_px or longest_px)
        reduced = {
            1: cv2.IMREAD_COLOR,
            2: cv2.IMREAD_REDUCED_COLOR_2,
            4: cv2.IMREAD_REDUCED_COLOR_4,
        }
        divisor = max(divisor for divisor in reduced if wanted_px * divisor <= longest_px)
        decoded = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), reduced[divisor])
        assert decoded is not None, "the JPEG passed its CRC"
        pixels = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
        return _scaled_down(np.asarray(pixels, dtype=np.uint8), wanted_px)


def encode_still(
    pixels: UInt8[np.ndarray, "h w 3"], pts_s: float, config: StillConfig
) -> Still | None:
    """Return a frame as a still; `None` for a frame without pixels, which stands for sound.

    Cost: 0.6 ms of 640x360, 0.8 ms of 1280x720 (2-core AMD EPYC).
    """
    # Late: OpenCV. Its encoder gives the bytes of Pillow's, in three quarters of the time, and it
    # halves a picture in a quarter.
    import cv2

    if not pixels.size:
        return None
    pixels = _scaled_down(pixels, config.max_side_px)
    quality = [cv2.IMWRITE_JPEG_QUALITY, config.quality]
    is_encoded, jpeg = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), quality)
    assert is_encoded, "JPEG takes every picture of 8 bits"
    return Still(pts_s=pts_s, jpeg=jpeg.tobytes())


def _scaled_down(
    pixels: UInt8[np.ndarray, "h w 3"], max_side_px: int
) -> UInt8[np.ndarray, "new_h new_w 3"]:
    import cv2

    height, width = pixels.shape[:2]
    scale = max_side_px / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


class StillStore:
    """The stills of all videos below one folder. Safe for several threads and processes.

    Args:
        root: Created with the first chunk.
        config: Size and quality of what `encode_still` makes for it.
        far: The store that other machines share; none without. What it cannot hand over now is an
            `UnreachableError` of whatever asked for it.
    """

    def __init__(
        self, root: Path, config: StillConfig | None = None, *, far: FarFiles = ALONE
    ) -> None:
        self.root = root
        self.config = config or StillConfig()
        self._files = ChunkFolders(_ENDING, far)
        self._ordinals = FolderMemory[tuple[int, ...]](self._files, self._files.ordinals, ())
        self._sizes = FolderMemory(self._files, self._sum_sizes, 0)

    def put(
        self,
        video: VideoId,
        ordinal: int,
        stills: Sequence[Still],
        *,
        end_s: float | None = None,
        reading: Fingerprint | str = "",
        durable: bool = True,
    ) -> None:
        """Write the stills of a chunk; an earlier file of it is replaced.

        Args:
            video: Of which they are.
            ordinal: Of the chunk in its reading.
            stills: In time order; nothing is written without any.
            end_s: Until when the last is shown; its own time when `None`.
            reading: Fingerprint of the pipeline that sampled them.
            durable: Whether to wait for the disk. Stills of a file can be made again; those of a
                camera cannot.
        Raises:
            DiskFullError: No space; an earlier file stays as it was.
        """
        if not stills:
            return
        header = StillsHeader(
            format=FORMAT,
            video=video,
            ordinal=ordinal,
            reading=reading,
            end_s=stills[-1].pts_s if end_s is None else end_s,
            times_s=tuple(still.pts_s for still in stills),
        )
        path = self.path(video, ordinal)
        jpegs = [still.jpeg for still in stills]
        self._files.commit(path, pack_stills(header, jpegs), durable=durable, replaces=True)
        set_aside_name(path).unlink(missing_ok=True)

    def keep_reading(self, video: VideoId, reading: Fingerprint) -> None:
        """Delete the stills of a video unless this pipeline sampled them, and half-written files.

        Stills of two readings would have the same ordinals and other times.
        """
        for path in self._folder(video).glob(".*"):
            path.unlink(missing_ok=True)
        for ordinal in self.ordinals(video):
            try:
                if self.header(video, ordinal).reading != reading:
                    self.forget(video)
                return
            except CorruptStillsError:
                continue

    def videos(self) -> tuple[VideoId, ...]:
        """Return the videos that have a folder here, sorted."""
        names = self._files.changes_ns(self.root)
        return tuple(VideoId(name) for name in sorted(names) if not name.startswith("."))

    def holds(self, video: VideoId) -> bool:
        """Tell whether a video has or had stills here; nothing is listed."""
        return self._files.changed_at_ns(self._folder(video)) is not None

    def ordinals(self, video: VideoId) -> tuple[int, ...]:
        """Return the chunks of a video that have stills, sorted; nothing is opened."""
        return self._ordinals.value(self._folder(video))

    def used_bytes(self) -> int:
        """Return the bytes of all stills; only folders that have changed are looked into."""
        return sum(self._sizes.value(self._folder(video)) for video in self.videos())

    def expire(
        self,
        *,
        before: datetime | None,
        limit_bytes: int | None,
        among: Sequence[VideoId] | None = None,
    ) -> int:
        """Delete the stills of chunks that are too old or too many, the oldest first.

        Args:
            among: Of these videos; of all when `None`.
            before: Files that were written earlier are too old; none when `None`.
            limit_bytes: Bytes that may stay; all when `None`.
        Returns:
            Bytes that were deleted.
        """
        files: dict[Path, tuple[int, int]] = {}
        for folder in map(self._folder, self.videos() if among is None else among):
            for name, file in self._files.far.files(folder).items():
                files[folder / name] = (file.written_ns, file.n_bytes)
            for path in folder.glob(f"*{_ENDING}"):
                # Another process may delete it at this moment.
                with suppress(FileNotFoundError):
                    status = path.stat()
                    files[path] = (status.st_mtime_ns, status.st_size)
        left_bytes = n_bytes = sum(size for _, size in files.values())
        oldest = -math.inf if before is None else before.timestamp()
        most_bytes = math.inf if limit_bytes is None else limit_bytes
        for path, (written_ns, size) in sorted(files.items(), key=lambda file: (file[1], file[0])):
            if written_ns / 1e9 >= oldest and left_bytes <= most_bytes:
                break
            self._files.drop(path)
            left_bytes -= size
        return n_bytes - left_bytes

    def header(self, video: VideoId, ordinal: int) -> StillsHeader:
        """Return the facts that a chunk's file states about itself.

        Raises:
            CorruptStillsError: It is missing, damaged, or another chunk's.
        """
        path = self.path(video, ordinal)
        try:
            self._files.far.bring(path)
            status = path.stat()
        except CorruptFileError as error:
            raise CorruptStillsError(str(path), error.message) from error
        except FileNotFoundError as error:
            raise CorruptStillsError(str(path), "the file is missing") from error
        header = read_header(path, status.st_mtime_ns, status.st_size)
        if (header.video, header.ordinal) != (video, ordinal):
            raise CorruptStillsError(
                str(path), f"it holds chunk {header.ordinal} of {header.video}"
            )
        return header

    def times(self, video: VideoId) -> tuple[float, ...]:
        """Return the times of all stills of a video, ascending; damaged files have none."""
        times: list[float] = []
        for ordinal in self.ordinals(video):
            try:
                times += self.header(video, ordinal).times_s
            except CorruptStillsError:
                continue
        return tuple(times)

    def read(self, video: VideoId, ordinal: int) -> tuple[Still, ...]:
        """Return the stills of a chunk in time order.

        Raises:
            NotFoundError: It has none here.
            CorruptStillsError: The file is damaged.
        """
        try:
            header = self.header(video, ordinal)
        except CorruptStillsError as error:
            if self.path(video, ordinal).exists() or ordinal in self.ordinals(video):
                raise
            missing = f"no stills of chunk {ordinal + 1} of {video} are kept"
            raise NotFoundError(missing) from error
        return tuple(self._still(header, index) for index in range(len(header.times_s)))

    def at(self, video: VideoId, time_s: float) -> Still:
        """Return the still that is shown at a time.

        That is the last one not after it; before the first chunk the first, behind the last the
        last. A moment of a chunk whose stills are gone shows nothing, not its neighbour's.

        Raises:
            NotFoundError: No still of that moment is kept.
            CorruptStillsError: The picture itself is damaged.
        """
        ordinals = list(self.ordinals(video))
        while ordinals:
            try:
                return self._shown(video, ordinals, time_s)
            except _HeaderError as error:
                ordinals.remove(error.ordinal)
        raise NotFoundError(f"no stills of {video} are kept")

    def verify(self, video: VideoId, ordinal: int) -> StillsHeader:
        """Read a chunk's file whole and return its header.

        Raises:
            CorruptStillsError: A single byte of it is not as it was written.
        """
        try:
            return self._verify(video, ordinal)
        except CorruptStillsError as error:
            try:
                if not self._files.far.renew(self.path(video, ordinal)):
                    raise
            except CorruptFileError:
                raise error from None
        return self._verify(video, ordinal)

    def set_aside(self, video: VideoId, ordinal: int) -> None:
        """Give a damaged file another name, under which nothing reads it.

        Raises:
            UnreachableError: The folder cannot be written to.
        """
        path = self.path(video, ordinal)
        set_aside(path)
        self._files.drop(path)

    def drop(self, video: VideoId, ordinal: int) -> None:
        """Delete the stills of a chunk; nothing happens when there are none."""
        self._files.drop(self.path(video, ordinal))

    def forget(self, video: VideoId) -> None:
        """Delete all stills of a video."""
        self._files.remove(self._folder(video))

    def path(self, video: VideoId, ordinal: int) -> Path:
        """Return where the stills of a chunk lie, whether they are there or not."""
        return self._folder(video) / self._files.name(ordinal)

    def _sum_sizes(self, folder: Path) -> int:
        return sum(self._files.sizes(folder).values())

    def _verify(self, video: VideoId, ordinal: int) -> StillsHeader:
        path = self.path(video, ordinal)
        header = self.header(video, ordinal)
        jpegs = [read_jpeg(path, header, index) for index in range(len(header.times_s))]
        # Beyond the CRCs: names, dates and lengths stand in the file twice, and in no CRC.
        if path.read_bytes() != pack_stills(header, jpegs):
            raise CorruptStillsError(str(path), "it is not as it was written")
        return header

    def _folder(self, video: VideoId) -> Path:
        if not video or "/" in video or video.startswith("."):
            raise ValueError(f"a video id is a plain name, not {video!r}")
        return self.root / video

    def _shown(self, video: VideoId, ordinals: Sequence[int], time_s: float) -> Still:
        """Return the still that these chunks show at a time."""

        def start_s(ordinal: int) -> float:
            return self._search_header(video, ordinal).times_s[0]

        index = bisect_right(ordinals, time_s, key=start_s) - 1
        if index < 0:
            if ordinals[0] > 0:
                raise NotFoundError(f"the stills of {video} at {time_s:.3f} s are not kept")
            return self._still(self._search_header(video, ordinals[0]), 0)
        header = self._search_header(video, ordinals[index])
        is_followed = index + 1 < len(ordinals)
        if time_s >= header.end_s and is_followed and ordinals[index + 1] != header.ordinal + 1:
            raise NotFoundError(f"the stills of {video} at {time_s:.3f} s are not kept")
        return self._still(header, bisect_right(header.times_s, time_s) - 1)

    def _search_header(self, video: VideoId, ordinal: int) -> StillsHeader:
        try:
            return self.header(video, ordinal)
        except CorruptStillsError as error:
            raise _HeaderError(ordinal) from error

    def _still(self, header: StillsHeader, index: int) -> Still:
        path = self.path(header.video, header.ordinal)
        return Still(pts_s=header.times_s[index], jpeg=read_jpeg(path, header, index))


class _HeaderError(Exception):
    """A chunk that a search has to do without."""

    def __init__(self, ordinal: int) -> None:
        super().__init__(ordinal)
        self.ordinal = ordinal
