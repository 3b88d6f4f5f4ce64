"""Sound windows share the frames' clock, whatever order they are asked for in."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engine.media.audio import RATE_HZ, AudioReader, read_audio
from engine.media.source import MediaLimits
from engine.records import TimeSpan
from tests.support.synthetic import spelled, spelled_video

LIMITS = MediaLimits()


@pytest.fixture
def beeping(tmp_path: Path) -> Path:
    """Six seconds of picture that starts 0.5 s into the file; a tone at 2.0..2.5 s of it."""
    path = tmp_path / "beep.mp4"
    rate = 48_000
    time_s = np.arange(8 * rate) / rate - 0.5
    tone = np.sin(2 * np.pi * 440 * time_s) * ((time_s >= 2.0) & (time_s < 2.5)) * 0.5
    with av.open(path, "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.height, video.width, video.pix_fmt = 96, 160, "yuv420p"
        sound = out.add_stream("aac", rate=rate, layout="mono")
        for index in range(150):
            frame = av.VideoFrame.from_ndarray(spelled(index, height=96), format="rgb24")
            frame.pts, frame.time_base = index * 2 + 25, Fraction(1, 50)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for at in range(0, len(tone), 1024):
            samples = tone[None, at : at + 1024].astype(np.float32)
            block = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            block.rate, block.pts, block.time_base = rate, at, Fraction(1, rate)
            out.mux(sound.encode(block))
        out.mux(sound.encode(None))
    return path


def test_tone_is_heard_when_it_sounds(beeping: Path) -> None:
    samples = read_audio(str(beeping), TimeSpan(start_s=1.0, end_s=4.0))
    assert samples is not None
    assert samples.shape == (3 * RATE_HZ,)
    loud = np.flatnonzero(np.abs(samples) > 0.1) / RATE_HZ + 1.0
    assert loud[0] == pytest.approx(2.0, abs=0.03)
    assert loud[-1] == pytest.approx(2.5, abs=0.03)


def test_windows_in_any_order_equal_one_long_window(beeping: Path) -> None:
    whole = read_audio(str(beeping), TimeSpan(start_s=0.0, end_s=5.0))
    assert whole is not None
    with AudioReader(str(beeping), limits=LIMITS) as reader:
        for start in (0, 1, 2, 3, 4, 2, 0):
            window = reader.window(TimeSpan(start_s=float(start), end_s=start + 1.0))
            assert window is not None
            expected = whole[start * RATE_HZ : (start + 1) * RATE_HZ]
            # A read that starts elsewhere may lie up to half a sample aside.
            assert np.abs(window[0] - expected).max() < 0.05


def test_beyond_the_track_is_silence(beeping: Path) -> None:
    samples = read_audio(str(beeping), TimeSpan(start_s=100.0, end_s=100.5))
    assert samples is not None
    assert samples.shape == (RATE_HZ // 2,)
    assert not samples.any()


def test_hole_in_a_track_is_silence_and_the_sound_behind_it_keeps_its_time(
    tmp_path: Path,
) -> None:
    path = tmp_path / "holed.mkv"
    rate = RATE_HZ
    tone = (np.sin(2 * np.pi * 440 * np.arange(rate) / rate) * 16_000).astype(np.int16)
    with av.open(path, "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.height, video.width, video.pix_fmt = 96, 160, "yuv420p"
        sound = out.add_stream("pcm_s16le", rate=rate, layout="mono")
        for index in range(150):
            frame = av.VideoFrame.from_ndarray(spelled(index, height=96), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for second in (0, 3):
            block = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
            block.rate, block.pts, block.time_base = rate, second * rate, Fraction(1, rate)
            out.mux(sound.encode(block))
        out.mux(sound.encode(None))
    samples = read_audio(str(path), TimeSpan(start_s=0.0, end_s=5.0))
    assert samples is not None
    loudness = np.abs(samples).reshape(-1, RATE_HZ // 10).max(axis=1)
    assert [bool(level > 0.1) for level in loudness] == (
        [True] * 10 + [False] * 20 + [True] * 10 + [False] * 10
    )


def test_without_a_track_there_is_no_window(tmp_path: Path) -> None:
    path = spelled_video(tmp_path / "clip.mp4", 10)
    assert read_audio(str(path), TimeSpan(start_s=0.0, end_s=0.2)) is None
