"""Which media can be read, and how many frames of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import InputRefusedError
from engine.training.data.media import iterate_frames, read_frames, spread, without_unreadable
from engine.training.data.samples import Sample, SampleFile
from tests.support.synthetic import spelled_video


def test_unreadable_media_make_bad_samples(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "good.png")
    spelled_video(tmp_path / "good.mp4", 8, fps=4.0, height=48, width=64)
    whole = (tmp_path / "good.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "empty.png").write_bytes(b"")
    names = ("good.png", "good.mp4", "cut.mp4", "noise.mp4", "empty.png")
    samples = tuple(Sample(location=name, media=(tmp_path / name,), turns=()) for name in names)
    read = without_unreadable(SampleFile(samples=samples, bad=()))
    assert [sample.location for sample in read.samples] == ["good.png", "good.mp4"]
    assert [bad.location for bad in read.bad] == ["cut.mp4", "noise.mp4", "empty.png"]
    assert all(bad.reason.startswith(bad.location) for bad in read.bad)


def test_a_long_video_is_thinned_evenly(tmp_path: Path) -> None:
    spelled_video(tmp_path / "a.mp4", 40, fps=2.0, height=48, width=64)
    times = [frame.pts_s for frame in iterate_frames(tmp_path / "a.mp4", fps=1.0, max_frames=5)]
    assert times == pytest.approx([0, 4, 8, 12, 16])
    every = list(iterate_frames(tmp_path / "a.mp4", fps=1.0, max_frames=128))
    assert len(every) == 20


def test_a_picture_is_one_frame(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 6, 3), 7, np.uint8)).save(tmp_path / "a.png")
    (frame,) = iterate_frames(tmp_path / "a.png", fps=1.0, max_frames=9)
    assert frame.pixels.shape == (8, 6, 3)
    assert len(read_frames(tmp_path / "a.png", fps=1.0)) == 1
    (tmp_path / "b.png").write_bytes(b"no")
    with pytest.raises(InputRefusedError, match=r"b\.png: not a picture"):
        list(iterate_frames(tmp_path / "b.png", fps=1.0, max_frames=9))


def test_the_middles_of_equal_stretches_are_kept() -> None:
    assert spread(range(10), 20) == range(10)
    assert list(spread(range(10), 5)) == [1, 3, 5, 7, 9]
