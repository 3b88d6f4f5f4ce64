"""Recordings to measure on come in every length and setting, and the same for the same seed."""

import numpy as np

from engine.synthetic.recordings import FOOTAGE, recordings


def test_recordings_come_in_every_length_and_setting() -> None:
    footage = [np.zeros((36, 64, 3), np.uint8)]
    made = list(recordings(1.0, footage, lengths=(64, 256), frames_each=128, seed=3))
    assert [recording.n_frames for recording in made] == [64] * 6 + [256] * 3
    assert {recording.setting for recording in made} == {"drawn, sparse", "drawn, dense", FOOTAGE}
    assert all(recording.events for recording in made)
    again = recordings(1.0, footage, lengths=(64, 256), frames_each=128, seed=3)
    assert [recording.events for recording in made] == [recording.events for recording in again]


def test_without_footage_everything_is_drawn() -> None:
    made = recordings(1.0, lengths=(64,), frames_each=64, seed=3)
    assert all(recording.setting != FOOTAGE for recording in made)
    assert len(next(recordings(2.0, lengths=(16,), frames_each=16, seed=3)).events) == 1
