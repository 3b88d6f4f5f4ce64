"""Pixels: colours survive the way in and out, and arrays are the reader's to keep."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engine.media.encode import write_video
from engine.media.sample import FrameReader, SamplingConfig
from engine.media.source import MediaLimits

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "skin": (200, 150, 120),
    "white": (255, 255, 255),
}
# Eight bits of luma and chroma and a weak quantiser leave this much.
TOLERANCE = 4


def first_pixels(path: Path) -> list[int]:
    with FrameReader(str(path), SamplingConfig(), limits=MediaLimits()) as reader:
        return [int(value) for value in next(reader).pixels[30, 30]]


@pytest.mark.parametrize("name", COLOURS)
def test_written_colour_is_read_back(tmp_path: Path, name: str) -> None:
    picture = np.full((64, 64, 3), COLOURS[name], dtype=np.uint8)
    write_video(tmp_path / "colour.mp4", [picture], 1.0, crf=5)
    assert first_pixels(tmp_path / "colour.mp4") == pytest.approx(COLOURS[name], abs=TOLERANCE)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("name", COLOURS)
def test_colour_matrix_of_the_file_is_used(tmp_path: Path, name: str, full_range: bool) -> None:
    bt709, levels = 1, 2 if full_range else 1
    with av.open(tmp_path / "hd.mp4", "w") as out:
        stream = out.add_stream("libx264", rate=Fraction(1), options={"crf": "5"})
        stream.height = stream.width = 64
        stream.pix_fmt = "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = bt709, levels
        plain = av.VideoFrame.from_ndarray(
            np.full((64, 64, 3), COLOURS[name], dtype=np.uint8), format="rgb24"
        )
        frame = plain.reformat(
            format="yuv420p",
            dst_colorspace="ITU709",
            dst_color_range="JPEG" if full_range else "MPEG",
        )
        frame.colorspace, frame.pts = bt709, 0
        out.mux([*stream.encode(frame), *stream.encode(None)])
    assert first_pixels(tmp_path / "hd.mp4") == pytest.approx(COLOURS[name], abs=TOLERANCE)


def test_frames_are_writable_and_keep_their_pixels(tmp_path: Path) -> None:
    pictures = [np.full((64, 64, 3), 20 * index, dtype=np.uint8) for index in range(10)]
    write_video(tmp_path / "steps.mp4", pictures, 1.0, crf=5)
    config = SamplingConfig(thin_static=False)
    with FrameReader(str(tmp_path / "steps.mp4"), config, limits=MediaLimits()) as reader:
        frames = list(reader)
    assert all(frame.pixels.flags.writeable for frame in frames)
    assert all(frame.pixels.flags.c_contiguous for frame in frames)
    means = [float(frame.pixels.mean()) for frame in frames]
    assert means == pytest.approx([20.0 * index for index in range(10)], abs=TOLERANCE)
