"""Sampling: the right frames, at their exact times, whatever the file does."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

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


@pytest.mark.parametrize(
    ("fps", "n", "indices"),
    [
        (240.24, 721, [0, 240, 480]),
        (24.0, 73, [0, 24, 48, 72]),
        (24.0, 1, [0]),
        (0.625, 4, [0, 1, 2, 3]),
    ],
    ids=["a moment of the last is left", "the last begins then", "a single frame", "slow"],
)
def test_last_frame_is_sampled_where_it_begins_or_is_shown_for_long(
    tmp_path: Path, fps: float, n: int, indices: list[int]
) -> None:
    path = spelled_video(tmp_path / "clip.mp4", n, fps=fps)
    for suffix in (".mp4", ".ts"):
        copy = tmp_path / f"copy{suffix}"
        _remux(path, copy)
        assert _spelled(copy, SamplingConfig(fps=1.0, thin_static=False)) == indices


def test_frame_at_spells_the_frame_shown_then(tmp_path: Path) -> None:
    path = str(spelled_video(tmp_path / "clip.mp4", 120))
    for index in (0, 7, 49, 50, 119):
        assert read_index(frame_at(path, index / 25 + 0.02).pixels) == index


def test_probe_states_size_rate_and_duration(tmp_path: Path) -> None:
    info = probe(str(spelled_video(tmp_path / "clip.mp4", 100)), LIMITS)
    assert (info.width_px, info.height_px, info.fps, info.video_codec) == (160, 90, 25.0, "h264")
    assert info.duration_s is not None
    assert abs(info.duration_s - 4.0) < 0.05


def keyframe_indices(path: Path) -> list[int]:
    """Frames of a video of 24 a second that are keyframes."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        return sorted(
            round(float(packet.pts * stream.time_base) * 24)
            for packet in container.demux(stream)
            if packet.is_keyframe and packet.pts is not None and stream.time_base is not None
        )


def _spelled(path: Path, config: SamplingConfig, *, after_s: float | None = None) -> list[int]:
    with FrameReader(str(path), config, limits=LIMITS, after_s=after_s) as reader:
        return [read_index(frame.pixels) for frame in reader]


def test_keyframes_stand_for_what_follows_them_where_they_come_often_enough(
    tmp_path: Path,
) -> None:
    path = spelled_video(tmp_path / "clip.mp4", 240, fps=24.0, gop_frames=20)
    config = SamplingConfig(fps=1.0, thin_static=False, keyframe_s=1.0)
    with FrameReader(str(path), config, limits=LIMITS) as reader:
        frames = list(reader)
    keyframes = set(keyframe_indices(path))
    assert max(b - a for a, b in pairwise([*sorted(keyframes), 240])) <= 24
    indices = [read_index(frame.pixels) for frame in frames]
    # For each second the last keyframe not after it.
    expected = [max(key for key in keyframes if key <= 24 * second) for second in range(10)]
    assert indices == sorted(set(expected))
    assert [frame.pts_s for frame in frames] == pytest.approx([idx / 24 for idx in indices])
    assert reader.stats.frames_decoded <= len(frames) + 1
    assert reader.info.warnings == ("keyframes alone were decoded, each at its own time",)


def test_sparse_keyframes_are_read_frame_by_frame(tmp_path: Path) -> None:
    path = spelled_video(tmp_path / "clip.mp4", 240, fps=24.0, gop_frames=120)
    exact = SamplingConfig(fps=1.0, thin_static=False)
    hasty = replace(exact, keyframe_s=0.01)
    with FrameReader(str(path), hasty, limits=LIMITS) as reader:
        assert [read_index(frame.pixels) for frame in reader] == _spelled(path, exact)
    assert reader.info.warnings == (
        "keyframes lie more than 0.01 s apart, so that it was read frame by frame",
    )


def test_reader_that_goes_on_at_keyframes_gives_what_an_undisturbed_one_gives(
    tmp_path: Path,
) -> None:
    path = spelled_video(tmp_path / "clip.mp4", 240, fps=24.0, gop_frames=20)
    config = SamplingConfig(fps=1.0, thin_static=False, keyframe_s=1.0)
    whole = _spelled(path, config)
    assert _spelled(path, config, after_s=whole[3] / 24) == whole[4:]


def _remux(path: Path, copy: Path) -> None:
    with av.open(path) as source, av.open(copy, "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
