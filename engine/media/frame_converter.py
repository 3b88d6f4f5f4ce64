"""A decoded picture to upright RGB with square pixels, scaled while it is converted."""

from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import UInt8

# Pixel shapes beyond this are header nonsense: anamorphic film is 2:1.
_MAX_ASPECT = 4
# Rounding of a size to whole pixels leaves shapes such as 136:135, not worth a resampling.
_SQUARE_ENOUGH = Fraction(1, 50)


class FrameConverter:
    """Converts the pictures of one stream; every one gets the size of the first."""

    def __init__(self, first: VideoFrame, stream: VideoStream, *, max_side_px: int | None) -> None:
        self.rotation_deg = round(first.rotation / 90) * 90 % 360
        self.warnings: tuple[str, ...] = ()
        if first.rotation % 90:
            self.warnings = (f"turned by {first.rotation} degrees; shown at {self.rotation_deg}",)
        self._width, self._height = _shown_size(first, stream, max_side_px)
        self._reformatter = VideoReformatter()
        self._tiny = VideoReformatter()

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of what `rgb` returns."""
        if self.rotation_deg % 180:
            return self._width, self._height
        return self._height, self._width

    def rgb(self, frame: VideoFrame) -> UInt8[np.ndarray, "h w 3"]:
        """The picture as the viewer sees it."""
        shrinks = self._width < frame.width or self._height < frame.height
        converted = self._reformatter.reformat(
            frame,
            width=self._width,
            height=self._height,
            format="rgb24",
            interpolation=Interpolation.AREA if shrinks else Interpolation.BILINEAR,
            threads=1,
        )
        pixels = np.asarray(converted.to_ndarray(), dtype=np.uint8)
        return np.ascontiguousarray(np.rot90(pixels, k=self.rotation_deg // 90))

    def tiny(self, frame: VideoFrame) -> UInt8[np.ndarray, "h w"]:
        """A grey thumbnail of at most 64x36 pixels, as stored: for comparing pictures."""
        small = self._tiny.reformat(
            frame,
            width=min(64, frame.width),
            height=min(36, frame.height),
            format="gray",
            interpolation=Interpolation.AREA,
            threads=1,
        )
        return np.asarray(small.to_ndarray(), dtype=np.uint8)


def _shown_size(frame: VideoFrame, stream: VideoStream, max_side_px: int | None) -> tuple[int, int]:
    """Width and height with square pixels, before rotation, no side above `max_side_px`.

    The short axis of a pixel is stretched, so no line or column is thrown away.
    """
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    aspect = Fraction(aspect) if aspect else Fraction(1)
    odd = not Fraction(1, _MAX_ASPECT) <= aspect <= _MAX_ASPECT
    if odd or abs(aspect - 1) < _SQUARE_ENOUGH:
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
