"""The frame that is shown at a moment of a video."""

from engine.media.decode import Decoder
from engine.media.frames import Frame
from engine.media.sample import SamplingConfig
from engine.media.source import MediaLimits, open_source
from engine.media.upright import Upright


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
    with open_source(uri, limits) as source:
        decoder = Decoder(source, limits, gap_s=SamplingConfig().gap_s)
        tick_s = decoder.tick_s
        upright: Upright | None = None
        for picture in decoder:
            if upright is None:
                upright = Upright(picture.frame, source.stream, max_side_px=max_side_px)
            if picture.end * tick_s > time_s:
                break
        assert upright is not None, "a decoder yields a picture or raises"
        return Frame(pixels=upright.rgb(picture.frame), pts_s=float(picture.start * tick_s))
