"""Frames from a card's decoder: a stand-in shows that the rules of sampling are the same."""

import builtins
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from engine.device import CPU
from engine.errors import MediaDecodeError, MissingCapabilityError
from engine.media.hardware import CardReader, open_on_card
from engine.media.sample import SamplingConfig, StaticThinning
from engine.pipeline.ingest import FrameSource
from engine.records import MediaInfo


@dataclass
class _Film:
    """A film of grey frames, each as bright as its number; decoded nowhere."""

    levels: Sequence[int]
    fps: float = 4.0
    breaks_at_s: float = float("inf")
    size_px: tuple[int, int] = (36, 64)

    @property
    def info(self) -> MediaInfo:
        """As long as its frames."""
        return MediaInfo(
            uri="film",
            container="none",
            video_codec=None,
            fps=self.fps,
            height_px=self.size_px[0],
            width_px=self.size_px[1],
            duration_s=len(self.levels) / self.fps,
        )

    def frames_at(
        self, times_s: Sequence[float]
    ) -> tuple[UInt8[Tensor, "frame 3 h w"], Float64[Tensor, " frame"]]:
        """Return what is shown then."""
        if max(times_s) >= self.breaks_at_s:
            raise RuntimeError("the decoder gave up")
        places = [int(time_s * self.fps) for time_s in times_s]
        levels = torch.tensor([self.levels[place] for place in places], dtype=torch.uint8)
        pixels = levels[:, None, None, None].expand(-1, 3, *self.size_px).contiguous()
        return pixels, torch.tensor([place / self.fps for place in places], dtype=torch.float64)


def _config(**more: Any) -> SamplingConfig:
    return SamplingConfig(**{"fps": 1.0, "thin_static": False, "group_frames": 4, **more})


def test_the_frame_shown_at_each_second_comes_once_with_its_own_time() -> None:
    reader = CardReader(_Film(range(0, 160, 2)), _config())
    assert isinstance(reader, FrameSource)
    frames = list(reader)
    assert [frame.pts_s for frame in frames] == [float(second) for second in range(20)]
    assert [int(frame.pixels[0, 0, 0]) for frame in frames] == [8 * second for second in range(20)]
    assert reader.stats.frames_sampled == 20


def test_a_film_slower_than_the_rate_gives_each_frame_once() -> None:
    frames = list(CardReader(_Film([10, 20, 30], fps=0.5), _config()))
    assert [frame.pts_s for frame in frames] == [0.0, 2.0, 4.0]


def test_static_frames_are_thinned_by_the_one_rule() -> None:
    levels = [20] * 24 + [220] * 4 + [20] * 20
    config = _config(thin_static=True, heartbeat_s=30.0)
    reader = CardReader(_Film(levels, fps=1.0), config)
    kept = [frame.pts_s for frame in reader]
    thinning = StaticThinning(config)
    pictures = [np.full((36, 64), level, dtype=np.uint8) for level in levels]
    expected = [
        float(idx) for idx, picture in enumerate(pictures) if thinning.keeps(float(idx), picture)
    ]
    assert kept == expected
    assert reader.stats.frames_skipped_static == len(levels) - len(expected)


def test_reading_resumes_behind_a_frame() -> None:
    film = _Film(range(40), fps=1.0)
    whole = [frame.pts_s for frame in CardReader(film, _config(thin_static=True))]
    resumed = CardReader(film, _config(thin_static=True), after_s=whole[3])
    assert [frame.pts_s for frame in resumed] == whole[4:]


def test_large_pictures_are_scaled_down() -> None:
    (frame,) = CardReader(_Film([50], fps=1.0, size_px=(100, 200)), _config(max_side_px=50))
    assert frame.pixels.shape == (25, 50, 3)
    assert (frame.pixels == 50).all()


def test_a_decoder_that_gives_up_is_a_broken_source() -> None:
    reader = CardReader(_Film(range(80), breaks_at_s=17.0), _config())
    frames = iter(reader)
    for _ in range(16):
        next(frames)
    with pytest.raises(MediaDecodeError, match="gave up"):
        next(frames)


def test_without_torchcodec_a_sentence_says_what_brings_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real_import = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("torchcodec"):
            raise ImportError("No module named 'torchcodec'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingCapabilityError, match="torchcodec"):
        open_on_card(tmp_path / "film.mp4", CPU)
