"""Foreign sound through the sandbox: the same samples as read here, however it is asked for."""

from pathlib import Path

import numpy as np
import pytest

from app.sandbox import SandboxedSound
from engine.errors import LongwatchError
from engine.media.audio import read_audio
from engine.media.source import MediaLimits
from engine.records import TimeSpan
from tests.synthetic import spelled_video

LIMITS = MediaLimits()


def _span(start_s: float, end_s: float) -> TimeSpan:
    return TimeSpan(start_s=start_s, end_s=end_s)


def test_sound_is_what_is_read_in_this_process(shared_data: Path) -> None:
    clip = str(shared_data / "clips" / "office_dialogue.mp4")
    expected = read_audio(clip, _span(1.0, 3.5))
    assert expected is not None
    with SandboxedSound(clip, limits=LIMITS) as sound:
        heard = sound.window(_span(1.0, 3.5))
    assert heard is not None
    assert np.abs(heard).max() > 0.01
    np.testing.assert_array_equal(heard, expected)


def test_span_sounds_the_same_whatever_was_asked_before(shared_data: Path) -> None:
    clip = str(shared_data / "clips" / "office_dialogue.mp4")
    with SandboxedSound(clip, limits=LIMITS) as sound:
        first, later = sound.window(_span(0.0, 2.0)), sound.window(_span(2.0, 4.0))
    with SandboxedSound(clip, limits=LIMITS) as sound:
        alone = sound.window(_span(2.0, 4.0))
    assert first is not None
    assert later is not None
    assert alone is not None
    np.testing.assert_array_equal(later, alone)


def test_span_longer_than_a_message_comes_whole(shared_data: Path) -> None:
    clip = str(shared_data / "clips" / "office_dialogue.mp4")
    with SandboxedSound(clip, limits=LIMITS) as sound:
        heard = sound.window(_span(0.0, 25.3))
    assert heard is not None
    assert heard.shape == (round(25.3 * 16_000),)
    assert not heard[20 * 16_000 :].any()


def test_silent_film_has_no_sound(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    spelled_video(clip, n=10)
    with SandboxedSound(str(clip), limits=LIMITS) as sound:
        assert sound.window(_span(0.0, 1.0)) is None
        assert sound.window(_span(1.0, 2.0)) is None


def test_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with (
        SandboxedSound(str(tmp_path / "nothing.mp4"), limits=LIMITS) as sound,
        pytest.raises(LongwatchError),
    ):
        sound.window(_span(0.0, 1.0))
