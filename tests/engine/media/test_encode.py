"""Sound is written beside the picture, on its clock, as long as there is any."""

from pathlib import Path

import av
import numpy as np
import pytest

from engine.media.encode import SOUND_RATE_HZ, Sound, write_video
from engine.records import TimeSpan
from tests.support.synthetic import claps

FPS = 25.0


def _pictures(seconds: int) -> list[np.ndarray]:
    """Dark frames, a white one every two seconds, but not at the start."""
    return [
        np.full((48, 64, 3), 255 if n and n % (2 * FPS) == 0 else 0, np.uint8)
        for n in range(round(seconds * FPS))
    ]


def _clicks(span: TimeSpan) -> np.ndarray:
    """A click every two seconds, but not at the start."""
    at = np.arange(round(span.start_s * SOUND_RATE_HZ), round(span.end_s * SOUND_RATE_HZ))
    click = ((at % (2 * SOUND_RATE_HZ) < 200) & (at >= SOUND_RATE_HZ)).astype(np.float32)
    return np.stack([click, -click]) * 0.9


def _length_s(path: Path) -> float:
    with av.open(path) as container:
        stream = container.streams.audio[0]
        assert stream.duration is not None
        assert stream.time_base is not None
        return float(stream.duration * stream.time_base)


def test_clicks_are_heard_when_the_frames_flash(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, _pictures(7), FPS, sound=Sound(read=_clicks))
    seen, heard = claps(path)
    assert seen == pytest.approx([2, 4, 6])
    assert heard == pytest.approx(seen, abs=0.002)


def test_sound_that_outlasts_the_picture_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, _pictures(2), FPS, sound=Sound(read=_clicks, end_s=3.0))
    assert _length_s(path) == pytest.approx(3.0, abs=0.03)


def test_sound_that_breaks_off_leaves_the_picture_whole(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    sound = Sound(read=lambda span: _clicks(span) if span.start_s < 1 else None, end_s=9.0)
    assert write_video(path, _pictures(4), FPS, sound=sound) == 4 * round(FPS)
    assert _length_s(path) == pytest.approx(1.0, abs=0.03)


def test_without_sound_there_is_no_track(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, _pictures(1), FPS, sound=Sound(read=lambda span: None))
    with av.open(path) as container:
        assert not container.streams.audio
