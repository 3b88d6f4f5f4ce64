"""The frame that is shown at a moment of a video."""

import functools
import math
from fractions import Fraction

from engine.errors import MediaDecodeError
from engine.media.decode import Decoder
from engine.media.frame import Frame, FrameConverter
from engine.media.sample import SamplingConfig
from engine.media.source import MediaLimits, open_source, redact


def frame_at(
    uri: str,
    time_s: float,
    *,
    limits: MediaLimits | None = None,
    max_side_px: int | None = None,
) -> Frame:
    """The frame shown at a moment, with its own exact time.

    Args:
        time_s: Seconds from the first frame; beyond the end, the last frame; before 0, the first.
        max_side_px: Scale down to this; `None` keeps the stored size.
    Raises:
        InputRefusedError: As for any source.
    """
    limits = limits or MediaLimits()
    last: int | None = None
    while True:
        with open_source(uri, limits) as source:
            decoder = Decoder(source, limits, gap_s=SamplingConfig().gap_s)
            upright = FrameConverter(decoder.first, source.stream, max_side_px=max_side_px)
            tick = _tick(time_s, decoder.tick_s) if last is None else last
            decoder.jump(tick)
            for picture in decoder.pictures(functools.partial(_holds, tick)):
                pts_s = float(picture.start * decoder.tick_s)
                return Frame(pixels=upright.rgb(picture.frame), pts_s=pts_s)
            if last is not None:
                raise MediaDecodeError(redact(uri), "the frame could not be decoded", pts_s=time_s)
            # Behind the end: the last frame is shown, which is known now.
            last = decoder.last


def _tick(time_s: float, tick_s: Fraction) -> int:
    """The tick that holds a moment; the float of a time stamp may lie a hair below its own."""
    return max(0, math.floor((Fraction(time_s) + _HAIR_S) / tick_s))


_HAIR_S = Fraction(1, 10_000_000)


def _holds(tick: int, start: int, end: int) -> bool:
    return start <= tick < end
