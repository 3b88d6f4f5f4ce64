"""The frame that leaves this folder, and its making from a decoded picture.

A frame is upright RGB with square pixels, scaled while it is converted, without combs of
interlacing and in the standard dynamic range.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import UInt8

from engine.media.deinterlace import Deinterlacer
from engine.media.orientation import orientation_of
from engine.media.tone import is_high_range, to_standard_range

# Pixel aspects beyond this are nonsense in the header: anamorphic film is 2:1.
_MAX_ASPECT = 4
# Encoders that round a size to whole pixels leave aspects such as 136:135; not worth resampling.
_SQUARE_ENOUGH = Fraction(1, 50)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """A picture of a video: RGB, upright, with square pixels."""

    pixels: UInt8[np.ndarray, "h w 3"]
    pts_s: float
    """Seconds from the first frame of the video."""
    starts_chunk: bool = False
    """Whether thinning ended a group of frames early: a chunk begins here, however few frames
    the one before it has."""


class FrameConverter:
    """A converter of the pictures of one stream; all of them get the size of the first."""

    def __init__(self, first: VideoFrame, stream: VideoStream, *, max_side_px: int | None) -> None:
        """Settle size and rotation.

        Args:
            first: Its orientation holds for the whole stream.
            max_side_px: Longest side of the frames; `None` keeps the stored size.
        """
        self._orientation = orientation_of(first)
        self.rotation_deg = self._orientation.rotation_deg
        self.warnings: tuple[str, ...] = ()
        angle_deg = round(self._orientation.angle_deg)
        if angle_deg % 90:
            self.warnings = (f"turned by {angle_deg} degrees; shown at {self.rotation_deg}",)
        self._width, self._height = _shown_size(first, stream, max_side_px)
        self._reformatter = VideoReformatter()
        self._thumbnailer = VideoReformatter()
        self._deinterlacer = Deinterlacer()

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of the arrays that `rgb` returns."""
        if self._orientation.is_transposed:
            return self._width, self._height
        return self._height, self._width

    def rgb(self, frame: VideoFrame) -> UInt8[np.ndarray, "h w 3"]:
        """Return the picture as the viewer sees it."""
        if frame.interlaced_frame:
            frame = self._deinterlacer.deinterlaced(frame)
        is_high = is_high_range(frame)
        shrinks = self._width < frame.width or self._height < frame.height
        converted = self._reformatter.reformat(
            frame,
            width=self._width,
            height=self._height,
            format="rgb48le" if is_high else "rgb24",
            interpolation=Interpolation.AREA if shrinks else Interpolation.BILINEAR,
            threads=1,
        )
        pixels = converted.to_ndarray()
        if is_high:
            pixels = to_standard_range(pixels, frame)
        return self._orientation.upright(np.asarray(pixels, dtype=np.uint8))

    def thumbnail(self, frame: VideoFrame) -> UInt8[np.ndarray, "h w"]:
        """Return a grey picture of at most 64x36 pixels, as stored: for comparing pictures."""
        grey = self._thumbnailer.reformat(
            frame,
            width=min(64, frame.width),
            height=min(36, frame.height),
            format="gray",
            interpolation=Interpolation.AREA,
            threads=1,
        )
        return np.asarray(grey.to_ndarray(), dtype=np.uint8)


def _shown_size(frame: VideoFrame, stream: VideoStream, max_side_px: int | None) -> tuple[int, int]:
    """Return width and height with square pixels, before rotation, no side above `max_side_px`.

    The short axis of a pixel is stretched, so no line or column is thrown away.
    """
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    aspect = Fraction(aspect) if aspect else Fraction(1)
    is_absurd = not Fraction(1, _MAX_ASPECT) <= aspect <= _MAX_ASPECT
    if is_absurd or abs(aspect - 1) < _SQUARE_ENOUGH:
        aspect = Fraction(1)
    width, height = Fraction(frame.width), Fraction(frame.height)
    if aspect >= 1:
        width *= aspect
    else:
        height /= aspect
    longest = max(width, height)
    if max_side_px is not None and longest > max_side_px:
        width, height = width * max_side_px / longest, height * max_side_px / longest
    return max(1, round(width)), max(1, round(height))
