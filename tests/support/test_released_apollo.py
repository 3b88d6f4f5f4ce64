"""Apollo's released clips of a file: within budget, full, in order and inside the video."""

from itertools import pairwise

import pytest

from engine.models.layers.splice import PLACEHOLDER_ID
from tests.support.released_apollo import ClipSampling, encode_with_placeholders

RELEASED = ClipSampling()


def test_full_rate_until_the_budget_is_spent() -> None:
    assert RELEASED.n_clips(166 * 30, 30.0) == 83
    assert RELEASED.n_clips(3600 * 30, 30.0) == 84
    assert RELEASED.n_clips(24 * 3600 * 30, 30.0) == 84


def test_clips_of_an_hour_lie_evenly_apart() -> None:
    clips = RELEASED.clips(3600 * 30, 30.0)
    starts = [clip[0] / 30 for clip in clips]
    gaps = {round(later - sooner, 3) for sooner, later in pairwise(starts)}
    assert gaps == {42.833}
    assert all(clip[-1] - clip[0] == 45 for clip in clips)


@pytest.mark.parametrize("fps", [0.1, 0.3, 0.5, 1.0, 1.5, 2.0, 23.976, 29.97, 60.0])
@pytest.mark.parametrize("n_frames", [1, 2, 3, 7, 100, 5000])
@pytest.mark.parametrize("frames_per_clip", [4, 8, 16])
def test_every_clip_is_full_and_inside_the_video(
    fps: float, n_frames: int, frames_per_clip: int
) -> None:
    sampling = ClipSampling(frames_per_clip=frames_per_clip)
    clips = sampling.clips(n_frames, fps)
    assert len(clips) == sampling.n_clips(n_frames, fps)
    assert all(len(clip) == frames_per_clip for clip in clips)
    assert all(clip == sorted(clip) for clip in clips)
    assert min(min(clip) for clip in clips) >= 0
    assert max(max(clip) for clip in clips) < n_frames


def test_a_video_without_frames_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="needs frames"):
        RELEASED.clips(0, 30.0)


def test_a_text_is_parted_at_its_placeholders() -> None:
    ids = encode_with_placeholders(
        "ab<v><v>c<i>", ("<v>", "<i>"), lambda text: [ord(letter) for letter in text]
    )
    assert ids == [97, 98, PLACEHOLDER_ID, PLACEHOLDER_ID, 99, PLACEHOLDER_ID]
