"""The papers' sampling rules: inside the video, in order, and as published at the edges."""

import pytest
import torch

from tests.support import paper_sampling as rules


@pytest.mark.parametrize("available", [1, 2, 7, 16, 17, 301])
@pytest.mark.parametrize("n_frames", [4, 8, 16])
def test_every_rule_stays_inside_and_in_order(available: int, n_frames: int) -> None:
    for chosen in (
        rules.pllava_frames(available - 1, 25.0, n_frames),
        rules.pllava_demo_frames(available, n_frames),
        rules.videollama2_frames(available, n_frames),
    ):
        assert len(chosen) == n_frames
        assert chosen == sorted(chosen)
        assert chosen[0] >= 0
        assert chosen[-1] < available


def test_bound_is_in_seconds_and_cut_at_the_end() -> None:
    assert rules.pllava_frames(299, 30.0, 4, bound_s=(2.0, 99.0))[0] >= 60
    assert rules.pllava_frames(299, 30.0, 4, bound_s=(2.0, 99.0))[-1] <= 299


def test_one_frame_a_second_lies_in_the_middle_of_it() -> None:
    assert rules.videollama2_frames_by_second(100, 25.0) == [12, 37, 62, 87]
    assert rules.videollama2_frames_by_second(10, 30.0) == [5]


def test_short_track_is_heard_eight_times_and_the_end_of_a_long_one_never() -> None:
    assert set(rules.videollama2_audio_windows(0.7)) == {(0.0, 2.0)}
    assert rules.videollama2_audio_windows(120.0)[-1][1] < 120.0


def test_short_clips_repeat_frames_in_their_place() -> None:
    frames = torch.arange(3.0)[:, None, None]
    assert rules.pllava_fill_clip(frames, 8).flatten().tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert rules.pllava_fill_clip(frames, 2).flatten().tolist() == [0, 1]


def test_ratios_are_drawn_as_upstream_draws_them() -> None:
    # NumPy's default generator with seed 42, among the ratios that divide the window.
    assert rules.video_xl_ratios((2, 4, 8), [48] * 8, seed=42) == (2, 8, 4, 4, 4, 8, 2, 8)
    with pytest.raises(ValueError, match="no ratio of"):
        rules.video_xl_ratios((4, 8), [48, 6], seed=42)
