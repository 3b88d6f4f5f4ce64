"""Sampling: the right frames, at their exact times, whatever the file does."""

from pathlib import Path

import numpy as np

from engine.media.sample import FrameReader, SamplingConfig, frame_at, probe
from engine.media.source import MediaLimits
from tests.support.synthetic import read_index, spelled_video

LIMITS = MediaLimits()
EVERY = SamplingConfig(fps=1000.0, thin_static=False)


def test_every_frame_spells_its_index(tmp_path: Path) -> None:
    path = spelled_video(tmp_path / "clip.mp4", 120)
    with FrameReader(str(path), EVERY, limits=LIMITS) as reader:
        frames = list(reader)
    assert [read_index(frame.pixels) for frame in frames] == list(range(120))
    assert np.allclose([frame.pts_s for frame in frames], np.arange(120) / 25, atol=1e-9)


def test_sampled_frame_is_the_one_shown_at_the_grid_time(tmp_path: Path) -> None:
    path = spelled_video(tmp_path / "clip.mp4", 250, fps=24.0)
    config = SamplingConfig(fps=1.7, thin_static=False)
    with FrameReader(str(path), config, limits=LIMITS) as reader:
        indices = [read_index(frame.pixels) for frame in reader]
    assert indices == [int(k / 1.7 * 24 + 1e-9) for k in range(len(indices))]


def test_frame_at_spells_the_frame_shown_then(tmp_path: Path) -> None:
    path = str(spelled_video(tmp_path / "clip.mp4", 120))
    for index in (0, 7, 49, 50, 119):
        assert read_index(frame_at(path, index / 25 + 0.02).pixels) == index


def test_probe_states_size_rate_and_duration(tmp_path: Path) -> None:
    info = probe(str(spelled_video(tmp_path / "clip.mp4", 100)), LIMITS)
    assert (info.width_px, info.height_px, info.fps, info.video_codec) == (160, 90, 25.0, "h264")
    assert info.duration_s is not None
    assert abs(info.duration_s - 4.0) < 0.05
