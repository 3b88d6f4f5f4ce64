"""Sampled frames from the hardware decoder of an NVIDIA card (NVDEC), for programs of one's own.

    frames = CardReader(open_on_card(path, torch.device("cuda")), engine.sampling)
    for chunk in ingest(engine, VideoId("gate"), frames):
        ...

Longwatch itself never decodes this way: a card decodes in the process that asks, and what users add
is decoded in a confined child. So this is for programs that use the engine on files they trust. The
rules of sampling are tested with a stand-in for the decoder; torchcodec has not run on a card yet.

Pixels differ from those of the CPU by rounding, so read a video with one of the two from beginning
to end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float64, UInt8
from torch import Tensor

from engine.errors import MediaDecodeError, MissingCapabilityError
from engine.media.frame import Frame
from engine.media.sample import SamplingConfig, StaticThinning
from engine.media.stillness import LEARNED_S
from engine.records import MediaInfo, SampleStats

BATCH_FRAMES = 16
"""Frames asked for at once: enough to keep the decoder busy, 100 MB at 1080p."""
_THUMBNAIL_PX = (36, 64)
"""Height and width at which `StaticThinning` compares."""
_GREY = (0.299, 0.587, 0.114)


@runtime_checkable
class CardDecoder(Protocol):
    """One open file whose pictures are decoded on a card."""

    @property
    def info(self) -> MediaInfo:
        """The file as its headers state it; times count from its first frame."""
        ...

    def frames_at(
        self, times_s: Sequence[float]
    ) -> tuple[UInt8[Tensor, "frame 3 h w"], Float64[Tensor, " frame"]]:
        """Return the pictures shown at these times, wherever they lie, and their own times.

        Raises:
            RuntimeError: A picture cannot be decoded.
        """
        ...


@dataclass
class CardReader:
    """The sampled frames of a trusted file, with the interface and the rules of `FrameReader`.

    Raises MediaDecodeError from its iterator where the decoder gives up.
    """

    decoder: CardDecoder
    config: SamplingConfig
    after_s: float | None = None
    """Go on behind the frame of this time."""

    def __post_init__(self) -> None:
        self._stats = SampleStats()

    @property
    def info(self) -> MediaInfo:
        """The file."""
        return self.decoder.info

    @property
    def stats(self) -> SampleStats:
        """The counts so far."""
        return self._stats

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frame shown at each multiple of 1/fps once, thinned as configured."""
        thinning = StaticThinning(self.config, after_s=self.after_s)
        decoded = sampled = static = 0
        last_s: float | None = None
        for times_s in self._grid():
            try:
                pixels, pts_s = self.decoder.frames_at(times_s)
            except RuntimeError as error:
                raise MediaDecodeError(self.info.uri, str(error), pts_s=times_s[0]) from error
            thumbnails = _thumbnails(pixels)
            for idx, time_s in enumerate(pts_s.tolist()):
                if last_s is not None and time_s <= last_s:
                    continue
                last_s = time_s
                decoded += 1
                is_kept = thinning.keeps(time_s, thumbnails[idx])
                sampled += is_kept
                static += not is_kept and (self.after_s is None or time_s > self.after_s)
                self._stats = SampleStats(
                    frames_decoded=decoded, frames_sampled=sampled, frames_skipped_static=static
                )
                if is_kept:
                    yield Frame(
                        pixels=_shown(pixels[idx], self.config.max_side_px),
                        pts_s=time_s,
                        starts_chunk=thinning.starts_chunk,
                    )

    def _grid(self) -> Iterator[list[float]]:
        """Yield multiples of 1/fps up to the end, some at a time."""
        duration_s = self.info.duration_s or 0.0
        fps = self.config.fps
        learned_s = LEARNED_S if self.config.thin_static else 0.0
        first = 0 if self.after_s is None else max(0, int((self.after_s - learned_s) * fps))
        n = int(np.ceil(duration_s * fps))
        for start in range(first, n, BATCH_FRAMES):
            yield [idx / fps for idx in range(start, min(n, start + BATCH_FRAMES))]


def open_on_card(path: Path, device: torch.device) -> CardDecoder:
    """Open a trusted file with torchcodec, on the decoder of a card or on the CPU.

    Raises:
        MissingCapabilityError: torchcodec is not installed, or cannot load.
    """
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, RuntimeError, OSError) as error:
        raise MissingCapabilityError(
            f"decoding on a card needs torchcodec: {error}", hint="pip install torchcodec"
        ) from error
    return _TorchcodecDecoder(path, VideoDecoder(str(path), device=str(device)))


class _TorchcodecDecoder:
    """A file behind torchcodec's `VideoDecoder`."""

    def __init__(self, path: Path, decoder: object) -> None:
        self._decoder = decoder
        facts = decoder.metadata  # type: ignore[attr-defined]
        self._first_s = float(facts.begin_stream_seconds or 0.0)
        end_s = float(facts.end_stream_seconds or 0.0)
        self.info = MediaInfo(
            uri=str(path),
            container="file",
            video_codec=facts.codec,
            fps=facts.average_fps,
            height_px=facts.height,
            width_px=facts.width,
            duration_s=end_s - self._first_s,
        )

    def frames_at(
        self, times_s: Sequence[float]
    ) -> tuple[UInt8[Tensor, "frame 3 h w"], Float64[Tensor, " frame"]]:
        """Return the pictures shown at these times, where they were decoded."""
        batch = self._decoder.get_frames_played_at(  # type: ignore[attr-defined]
            [self._first_s + time_s for time_s in times_s]
        )
        return batch.data, batch.pts_seconds.double().cpu() - self._first_s


def _thumbnails(
    pixels: UInt8[Tensor, "frame 3 h w"],
) -> UInt8[np.ndarray, "frame small_h small_w"]:
    """Make grey pictures of at most 64x36 where the frames are, and fetch them in one copy."""
    weights = torch.tensor(_GREY, device=pixels.device)[:, None, None]
    grey = (pixels.float() * weights).sum(1, keepdim=True)
    height, width = pixels.shape[2:]
    size = (min(_THUMBNAIL_PX[0], height), min(_THUMBNAIL_PX[1], width))
    small = F.interpolate(grey, size, mode="area")[:, 0]
    fetched: UInt8[np.ndarray, "frame small_h small_w"] = small.round().byte().cpu().numpy()
    return fetched


def _shown(
    picture: UInt8[Tensor, "3 h w"], max_side_px: int | None
) -> UInt8[np.ndarray, "shown_h shown_w 3"]:
    """Scale a picture down where it is, and fetch it."""
    height, width = picture.shape[1:]
    longest = max(height, width)
    if max_side_px is not None and longest > max_side_px:
        size = (
            max(1, round(height * max_side_px / longest)),
            max(1, round(width * max_side_px / longest)),
        )
        scaled = F.interpolate(picture[None].float(), size, mode="area")[0]
        picture = scaled.round().byte()
    fetched: UInt8[np.ndarray, "shown_h shown_w 3"] = (
        picture.permute(1, 2, 0).contiguous().cpu().numpy()
    )
    return fetched
