"""Foreign sound through the sandbox: the same samples as read here, however it is asked for."""

import wave
from pathlib import Path

import numpy as np
import pytest

from app.sandbox.reader import SandboxedReader, SandboxedSound, probe_foreign
from engine.errors import LongwatchError, MediaRefusedError, SoundOnlyError
from engine.media.audio import read_audio
from engine.media.sample import SamplingConfig
from engine.media.source import MediaLimits
from engine.records import TimeSpan
from tests.support.synthetic import spelled_video

LIMITS = MediaLimits()


def _tone(path: Path, *, seconds: float, hertz: float = 440.0, rate_hz: int = 44_100) -> Path:
    """A stereo file of sound alone."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    tone = (0.5 * 32767 * np.sin(2 * np.pi * hertz * time_s)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat(tone, 2).tobytes())
    return path


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


def test_file_of_sound_alone_keeps_the_clock(tmp_path: Path) -> None:
    clip = str(_tone(tmp_path / "tone.wav", seconds=3.5))
    with SandboxedReader(clip, SamplingConfig(fps=2.0), limits=LIMITS, sound_only=True) as reader:
        frames = list(reader)
        assert not reader.info.has_picture
        assert reader.info.duration_s == pytest.approx(3.5)
        assert reader.stats.frames_sampled == 7
    assert [frame.pts_s for frame in frames] == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    assert all(frame.pixels.shape == (0, 0, 3) for frame in frames)
    with SandboxedReader(
        clip, SamplingConfig(fps=2.0), limits=LIMITS, sound_only=True, after_s=2.0
    ) as reader:
        assert [frame.pts_s for frame in reader] == [2.5, 3]


def test_file_of_sound_alone_is_heard_at_its_pitch(tmp_path: Path) -> None:
    clip = str(_tone(tmp_path / "tone.wav", seconds=2.0))
    with SandboxedSound(clip, limits=LIMITS) as sound:
        heard = sound.window(_span(0.5, 1.5))
    assert heard is not None
    assert np.abs(np.fft.rfft(heard)).argmax() == 440


def test_file_of_sound_alone_is_refused_where_pictures_are_wanted(tmp_path: Path) -> None:
    clip = str(_tone(tmp_path / "tone.wav", seconds=1.0))
    with pytest.raises(SoundOnlyError, match="sound only"):
        probe_foreign(clip, LIMITS)
    assert probe_foreign(clip, LIMITS, sound_only=True).has_audio


def test_video_without_sound_is_no_file_of_sound(tmp_path: Path) -> None:
    clip = spelled_video(tmp_path / "clip.mp4", n=10)
    with pytest.raises(MediaRefusedError, match="no sound"):
        probe_foreign(str(clip), LIMITS, sound_only=True)
