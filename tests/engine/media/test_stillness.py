"""Thinning in the dark: somebody who comes is noticed, and the noise of a night is not."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import UInt8

from engine.media.encode import write_video
from engine.media.sample import FrameReader, SamplingConfig
from engine.media.source import MediaLimits
from engine.media.stillness import Stillness

CONFIG = SamplingConfig(group_frames=4, heartbeat_s=30.0)


def _night(n: int, visit: range, *, noise: float = 2.0) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Draw a yard at a fiftieth of daylight; whoever comes is lighter by six steps of grey."""
    generator = np.random.default_rng(3)
    for second in range(n):
        picture = np.full((144, 256, 3), 5.0)
        if second in visit:
            picture[60:130, 100:130] += 6
        picture += generator.normal(0, noise, (144, 256, 1))
        yield np.clip(picture, 0, 255).astype(np.uint8)


def _kept_s(path: Path, *, after_s: float | None = None) -> list[float]:
    with FrameReader(str(path), CONFIG, limits=MediaLimits(), after_s=after_s) as reader:
        return [frame.pts_s for frame in reader]


@pytest.fixture
def visited(tmp_path: Path) -> Path:
    """A dark yard of 100 s in which somebody stands from second 50 to 55."""
    path = tmp_path / "yard.mp4"
    write_video(path, _night(100, range(50, 55)), 1.0)
    return path


def test_somebody_in_a_dark_yard_does_not_wait_for_the_heartbeat(visited: Path) -> None:
    assert {50.0, 51.0, 52.0, 53.0} <= {*_kept_s(visited)}


@pytest.mark.parametrize("noise", [0.0, 2.0, 8.0])
def test_a_dark_picture_without_anybody_costs_one_frame_a_heartbeat(
    tmp_path: Path, noise: float
) -> None:
    path = tmp_path / "yard.mp4"
    write_video(path, _night(200, range(0), noise=noise), 1.0)
    assert _kept_s(path) == [0.0, 1.0, 2.0, 3.0, 33.0, 63.0, 93.0, 123.0, 153.0, 183.0]


def test_a_reader_that_resumes_in_the_dark_knows_the_noise_that_was_before(visited: Path) -> None:
    whole = _kept_s(visited)
    for idx in (3, whole.index(50.0) - 1, whole.index(53.0)):
        assert _kept_s(visited, after_s=whole[idx]) == whole[idx + 1 :]


def test_noise_never_changes_what_counts_in_a_bright_picture() -> None:
    stillness = Stillness(0.03)
    generator = np.random.default_rng(3)
    pictures = generator.normal(120, 0.3, (40, 36, 64)).astype(np.uint8)
    for second, picture in enumerate(pictures):
        stillness.learn(float(second), picture)
        assert stillness.least_change(picture) == 0.03
    assert stillness.least_change(pictures[0] // 20) < 0.03
