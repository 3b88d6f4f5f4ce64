"""Media of people's own samples: which files can be read, and their frames."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from engine.errors import InputRefusedError, UnreachableError
from engine.media.audio import SoundFrames
from engine.media.frame import Frame
from engine.media.sample import FrameReader, SamplingConfig
from engine.media.source import MediaLimits
from engine.training.data.samples import BadSample, Sample, SampleFile

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
SOUNDS = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a"})

_Item = TypeVar("_Item")


def without_unreadable(read: SampleFile) -> SampleFile:
    """Return the samples whose media open; the others join the bad ones.

    Cost: every file is opened once and its first frame decoded; some milliseconds each.
    """
    reasons: dict[Path, str | None] = {}
    good: list[Sample] = []
    bad: list[BadSample] = []
    for sample in read.samples:
        for path in sample.media:
            if path not in reasons:
                reasons[path] = _why_unreadable(path)
        own = [reason for path in sample.media if (reason := reasons[path]) is not None]
        if own:
            bad.append(BadSample(location=sample.location, reason=own[0]))
        else:
            good.append(sample)
    return SampleFile(samples=tuple(good), bad=(*read.bad, *bad))


def _why_unreadable(path: Path) -> str | None:
    try:
        if path.suffix.lower() in PICTURES:
            _read_picture(path)
        elif path.suffix.lower() in SOUNDS:
            with SoundFrames(str(path), SamplingConfig(), limits=MediaLimits()):
                pass
        else:
            with FrameReader(str(path), SamplingConfig(), limits=MediaLimits()):
                pass
    except (InputRefusedError, UnreachableError) as error:
        # Messages begin with the whole path; the sample's line is what people look for.
        return error.message.replace(str(path), path.name)
    return None


@lru_cache(maxsize=16)
def read_frames(path: Path, *, fps: float) -> tuple[Frame, ...]:
    """Read frames of a video at a rate, or a picture alone; the last files read are cached."""
    if path.suffix.lower() in PICTURES:
        return (_read_picture(path),)
    sampling = SamplingConfig(fps=fps, static_threshold=0.0)
    with FrameReader(str(path), sampling, limits=MediaLimits()) as reader:
        return tuple(reader)


def iterate_frames(path: Path, *, fps: float, max_frames: int) -> Iterator[Frame]:
    """Read frames of a video at a rate, or at a lower one that gives about `max_frames`.

    One at a time, so that an hour of video never stands in memory.
    """
    if path.suffix.lower() in PICTURES:
        yield _read_picture(path)
        return
    with FrameReader(str(path), SamplingConfig(), limits=MediaLimits()) as reader:
        duration_s = reader.info.duration_s or 0.0
    sampling = SamplingConfig(fps=min(fps, max_frames / max(duration_s, 1e-3)), thin_static=False)
    with FrameReader(str(path), sampling, limits=MediaLimits()) as reader:
        yield from reader


def as_pixels(frame: Frame) -> UInt8[Tensor, "1 3 h w"]:
    """Return a frame as the tensor that the towers' preprocessing takes."""
    return torch.from_numpy(frame.pixels).permute(2, 0, 1)[None].contiguous()


def spread(items: Sequence[_Item], max_items: int) -> Sequence[_Item]:
    """Choose at most `max_items`, the middles of equal stretches."""
    if len(items) <= max_items:
        return items
    return [items[(2 * idx + 1) * len(items) // (2 * max_items)] for idx in range(max_items)]


def _read_picture(path: Path) -> Frame:
    """Read a picture as a frame at time 0.

    Raises:
        InputRefusedError: It cannot be read.
    """
    try:
        with Image.open(path) as picture:
            return Frame(pixels=np.array(picture.convert("RGB")), pts_s=0.0)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputRefusedError(f"{path}: not a picture that can be read ({error})") from error
