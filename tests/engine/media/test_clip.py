"""Clips hold the span they say they hold, and proxies keep the clock."""

from pathlib import Path

import numpy as np
import pytest

from engine.errors import MediaRefusedError
from engine.media.clip import cut
from engine.media.frame import Frame
from engine.media.sample import FrameReader, SamplingConfig, frame_at
from engine.media.source import MediaLimits
from engine.records import TimeSpan
from tests.support.synthetic import (
    clapped_video,
    encoded_video,
    read_index,
    spelled_frames,
)

LIMITS = MediaLimits()
EVERY = SamplingConfig(fps=1000.0, thin_static=False)


def read(path: Path) -> list[Frame]:
    with FrameReader(str(path), EVERY, limits=LIMITS) as reader:
        return list(reader)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.ts", "clip.mkv"])
def test_clip_is_copied_and_says_where_it_starts(tmp_path: Path, name: str) -> None:
    options = {"sc_threshold": "0", "bf": "2"}
    source = encoded_video(tmp_path / name, 200, gop_frames=25, options=options, noise=False)
    clip = cut(str(source), TimeSpan(start_s=3.3, end_s=4.5), tmp_path / "cut.mp4")
    assert not clip.reencoded
    frames = read(tmp_path / "cut.mp4")
    indices = [read_index(frame.pixels) for frame in frames]
    first = round(clip.span.start_s * 25)
    assert first == 75, "the keyframe before 3.3 s"
    assert indices[: 113 - first] == list(range(first, 113))
    assert clip.span.end_s == pytest.approx((indices[-1] + 1) / 25)
    assert frames[1].pts_s == pytest.approx(0.04)


def test_clip_of_a_recording_that_starts_hours_in_is_copied_from_its_own_clock(
    tmp_path: Path,
) -> None:
    source = encoded_video(
        tmp_path / "camera.ts",
        150,
        gop_frames=25,
        options={"sc_threshold": "0"},
        times_s=[5 * 3600 + n / 25 for n in range(150)],
        noise=False,
    )
    clip = cut(str(source), TimeSpan(start_s=3.3, end_s=4.5), tmp_path / "cut.mp4")
    assert not clip.reencoded
    assert clip.span.start_s == pytest.approx(3.0), "the keyframe before 3.3 s"
    indices = [read_index(frame.pixels) for frame in read(tmp_path / "cut.mp4")]
    assert indices[:38] == list(range(75, 113))


@pytest.mark.parametrize("last", range(84, 90))
def test_clip_keeps_reordered_pictures_before_its_end(tmp_path: Path, last: int) -> None:
    # I B B P B B P: the P behind two Bs is decoded before them.
    options = {"sc_threshold": "0", "bf": "2", "b-adapt": "0"}
    source = encoded_video(tmp_path / "clip.mp4", 120, gop_frames=25, options=options, noise=False)
    clip = cut(str(source), TimeSpan(start_s=3.0, end_s=(last + 0.5) / 25), tmp_path / "cut.mp4")
    assert not clip.reencoded
    indices = [read_index(frame.pixels) for frame in read(tmp_path / "cut.mp4")]
    assert indices[: last - 74] == list(range(75, last + 1))


def test_clip_without_time_stamps_is_encoded_anew(tmp_path: Path) -> None:
    source = encoded_video(tmp_path / "clip.h264", 100, noise=False)
    clip = cut(str(source), TimeSpan(start_s=1.0, end_s=2.0), tmp_path / "cut.mp4")
    assert clip.reencoded
    assert clip.span.start_s == pytest.approx(1.0)
    assert clip.span.end_s == pytest.approx(2.0)
    assert [read_index(f.pixels) for f in read(tmp_path / "cut.mp4")] == list(range(25, 50))


def test_clip_behind_the_end_is_refused(tmp_path: Path) -> None:
    source = encoded_video(tmp_path / "clip.h264", 25, noise=False)
    with pytest.raises(MediaRefusedError, match="no frame lies"):
        cut(str(source), TimeSpan(start_s=50.0, end_s=60.0), tmp_path / "cut.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["clip.h264"], "no half-written file is left"


def test_clip_of_real_footage_keeps_its_sound(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "clips" / "bbb_opening.mp4"
    clip = cut(str(source), TimeSpan(start_s=8.0, end_s=12.0), tmp_path / "cut.mp4")
    with FrameReader(str(tmp_path / "cut.mp4"), EVERY, limits=LIMITS) as reader:
        assert reader.info.has_audio
        first = next(reader)
    expected = frame_at(str(source), clip.span.start_s, max_side_px=1280)
    assert np.array_equal(first.pixels, expected.pixels)


def test_odd_frames_are_refused_by_name_of_their_size(tmp_path: Path) -> None:
    from engine.media.encode import write_video

    with pytest.raises(ValueError, match="even sides, not 161x90"):
        write_video(tmp_path / "odd.mp4", spelled_frames(2, width=161), 25.0)
    assert not list(tmp_path.iterdir())


def test_clip_and_still_of_a_picture_that_starts_behind_its_sound_are_the_same_moment(
    tmp_path: Path,
) -> None:
    source = clapped_video(tmp_path / "late.mp4", 12, picture_from_s=4.0, sound_from_s=-4.0)
    seen_s = [frame.pts_s for frame in read(source) if frame.pixels.mean() > 127]
    assert seen_s == pytest.approx([2.0, 4.0, 6.0, 8.0, 10.0], abs=0.01)
    assert frame_at(str(source), 6.0).pixels.mean() > 127
    clip = cut(str(source), TimeSpan(start_s=5.5, end_s=6.5), tmp_path / "cut.mp4")
    flashes_s = [f.pts_s for f in read(tmp_path / "cut.mp4") if f.pixels.mean() > 127]
    assert clip.span.start_s + flashes_s[-1] == pytest.approx(6.0, abs=0.05)
