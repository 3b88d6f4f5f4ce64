"""A folder of numbered pictures as a video: how MVBench ships one of its sources."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from engine.errors import MediaDecodeError, MediaRefusedError
from engine.media.frame import Frame
from engine.records import MediaInfo, SampleStats

PICTURES_FPS = 3.0
"""Pictures a second of TVQA's frames, which MVBench uses."""
_ENDINGS = {".jpg", ".jpeg", ".png"}
_FORMATS = ("JPEG", "PNG")
_MOST_PIXELS = 2**26


@dataclass
class PictureFolder:
    """Pictures of a folder in the order of their names, thinned to a sampling rate."""

    folder: Path
    fps: float
    """Frames a second that are wanted."""
    info: MediaInfo = field(init=False)
    stats: SampleStats = field(default_factory=SampleStats)
    _paths: list[Path] = field(init=False)

    def __post_init__(self) -> None:
        self._paths = sorted(
            path for path in self.folder.iterdir() if path.suffix.lower() in _ENDINGS
        )
        if not self._paths:
            raise MediaRefusedError(str(self.folder), "no JPEG or PNG in this folder")
        self.info = MediaInfo(
            uri=str(self.folder),
            container="pictures",
            video_codec="picture",
            fps=PICTURES_FPS,
            height_px=0,
            width_px=0,
            duration_s=len(self._paths) / PICTURES_FPS,
        )

    def __iter__(self) -> Iterator[Frame]:
        due_s = 0.0
        for idx, path in enumerate(self._paths):
            pts_s = idx / PICTURES_FPS
            if pts_s + 1e-9 < due_s:
                continue
            due_s += 1 / min(self.fps, PICTURES_FPS)
            n = self.stats.frames_sampled + 1
            self.stats = replace(self.stats, frames_decoded=n, frames_sampled=n)
            yield Frame(pixels=_read(path, pts_s), pts_s=pts_s)


def _read(path: Path, pts_s: float) -> UInt8[np.ndarray, "h w 3"]:
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise MediaRefusedError(str(path), "more pixels than a frame may have")
            return np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise MediaDecodeError(str(path), str(error), pts_s=pts_s) from error
