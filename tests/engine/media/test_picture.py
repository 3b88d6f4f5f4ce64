"""Pictures come out as a viewer sees them: turned, mirrored, of one moment, in standard range."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc
from jaxtyping import UInt8, UInt16

from engine.media.clip import cut
from engine.media.encode import write_video
from engine.media.frame import Frame
from engine.media.sample import FrameReader, SamplingConfig
from engine.media.source import MediaLimits
from engine.records import TimeSpan

EVERY = SamplingConfig(fps=1000.0, thin_static=False)
HEIGHT, WIDTH = 96, 160
RED, BLUE, GREEN, BLACK = (200, 0, 0), (0, 0, 200), (0, 160, 0), (0, 0, 0)
COLOURS = np.array([RED, BLUE, GREEN, BLACK])
NAMES = "RBGk"
# Top left, top right, bottom left, bottom right as stored: R B G k. Matrix a b c d, then as shown.
ORIENTATIONS = {
    "upright": ((1, 0, 0, 1), "RBGk", 0),
    "turned left": ((0, -1, 1, 0), "BkRG", 90),
    "upside down": ((-1, 0, 0, -1), "kGBR", 180),
    "turned right": ((0, 1, -1, 0), "GRkB", 270),
    "mirrored": ((-1, 0, 0, 1), "BRkG", 180),
    "mirrored upside down": ((1, 0, 0, -1), "GkRB", 0),
    "transposed": ((0, 1, 1, 0), "RGBk", 270),
    "transposed the other way": ((0, -1, -1, 0), "kBGR", 90),
}


def read(path: Path) -> list[Frame]:
    with FrameReader(str(path), EVERY, limits=MediaLimits()) as reader:
        return list(reader)


def corners(pixels: UInt8[np.ndarray, "h w 3"]) -> str:
    height, width = pixels.shape[:2]
    places = [(y, x) for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)]
    seen = np.array([pixels[place] for place in places]).astype(int)
    return "".join(NAMES[np.abs(COLOURS - colour).sum(axis=1).argmin()] for colour in seen)


def quarters(path: Path) -> Path:
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[: HEIGHT // 2, : WIDTH // 2], pixels[: HEIGHT // 2, WIDTH // 2 :] = RED, BLUE
    pixels[HEIGHT // 2 :, : WIDTH // 2] = GREEN
    write_video(path, [pixels] * 25, 25.0)
    return path


def set_display_matrix(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write a matrix into the header of the one track of an MP4 file."""
    data = bytearray(path.read_bytes())
    assert data.count(b"tkhd") == 1
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_picture_is_turned_and_mirrored_as_its_matrix_says(tmp_path: Path, name: str) -> None:
    matrix, shown, rotation_deg = ORIENTATIONS[name]
    path = quarters(tmp_path / "quarters.mp4")
    set_display_matrix(path, matrix)
    with FrameReader(str(path), EVERY, limits=MediaLimits()) as reader:
        frame = next(reader)
        info = reader.info
    assert corners(frame.pixels) == shown
    assert (info.height_px, info.width_px) == frame.pixels.shape[:2]
    assert frame.pixels.shape[:2] == ((WIDTH, HEIGHT) if matrix[0] == 0 else (HEIGHT, WIDTH))
    assert info.rotation_deg == rotation_deg
    assert info.warnings == ()


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_clip_is_turned_and_mirrored_as_its_video(tmp_path: Path, name: str) -> None:
    path = quarters(tmp_path / "quarters.mp4")
    set_display_matrix(path, ORIENTATIONS[name][0])
    cut(str(path), TimeSpan(start_s=0.0, end_s=0.5), tmp_path / "clip.mp4")
    assert corners(read(tmp_path / "clip.mp4")[0].pixels) == ORIENTATIONS[name][1]


def pq_code(nits: float) -> float:
    """Code in [0, 1] of a light, by ITU-R BT.2100."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    light = (nits / 10_000) ** m1
    return float(((c1 + c2 * light) / (1 + c3 * light)) ** m2)


def grey_steps(
    path: Path, codes: list[float], curve: ColorTrc, primaries: ColorPrimaries
) -> list[int]:
    """Write stripes of grey on a curve, ten bits deep; return what is read of each."""
    lines: UInt16[np.ndarray, "rows w"] = np.full((96, 64 * len(codes)), 512, dtype=np.uint16)
    for index, code in enumerate(codes):
        lines[:64, 64 * index : 64 * (index + 1)] = round(64 + 876 * code)
    with av.open(path, "w") as out:
        stream = out.add_stream("libx265", rate=10, options={"x265-params": "log-level=none"})
        stream.height, stream.width, stream.pix_fmt = 64, 64 * len(codes), "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries = curve, primaries
        context.colorspace, context.color_range = 9, ColorRange.MPEG
        for index in range(5):
            frame = av.VideoFrame.from_ndarray(lines, format="yuv420p10le")
            frame.color_trc, frame.color_primaries = curve, primaries
            frame.colorspace, frame.color_range = 9, ColorRange.MPEG
            frame.pts, frame.time_base = index, Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    pixels = read(path)[0].pixels
    centres = pixels[32, 32::64].astype(int)
    assert np.abs(centres - centres[:, :1]).max() <= 2, "grey stays grey"
    return [int(level) for level in centres[:, 0]]


def test_high_range_of_pq_is_mapped_to_the_standard_range(tmp_path: Path) -> None:
    nits = [0.01, 5.0, 26.0, 100.0, 203.0, 500.0, 1000.0, 4000.0]
    codes = [pq_code(light) for light in nits]
    levels = grey_steps(tmp_path / "pq.mp4", codes, ColorTrc.SMPTE2084, ColorPrimaries.BT2020)
    assert levels == sorted(levels)
    assert levels[0] < 10
    assert levels[2] == pytest.approx(255 * (26 / 203) ** (1 / 2.4), abs=4)
    assert levels[4] == pytest.approx(239, abs=4), "diffuse white"
    assert levels[4] < levels[5] < levels[6]
    assert levels[6:] == [255, 255]


def test_high_range_of_hlg_is_mapped_to_the_standard_range(tmp_path: Path) -> None:
    levels = grey_steps(
        tmp_path / "hlg.mp4", [0.0, 0.38, 0.75, 1.0], ColorTrc.ARIB_STD_B67, ColorPrimaries.BT2020
    )
    assert levels[0] < 5
    # BT.2408: 38 % of HLG is a grey card, 26 nits; 75 % is diffuse white, 203 nits.
    assert levels[1] == pytest.approx(255 * (26 / 203) ** (1 / 2.4), abs=6)
    assert levels[2] == pytest.approx(239, abs=4)
    assert levels[3] == 255


def test_standard_range_of_ten_bits_is_left_as_it_is(tmp_path: Path) -> None:
    levels = grey_steps(
        tmp_path / "plain.mp4", [0.1, 0.5, 0.9], ColorTrc.BT709, ColorPrimaries.BT709
    )
    assert levels == pytest.approx([26, 128, 230], abs=3)


@pytest.mark.parametrize("first_field", ["tff", "bff"])
def test_interlaced_picture_has_no_combs(tmp_path: Path, first_field: str) -> None:
    height, width, speed_px = 288, 352, 12
    still = np.zeros((height, width), dtype=np.uint8)
    still[20:40, ::2] = 255

    def moment(field: int) -> UInt8[np.ndarray, "h w"]:
        picture = still.copy()
        picture[100:200, 10 + field * speed_px : 60 + field * speed_px] = 255
        return picture

    path = tmp_path / "interlaced.mp4"
    with av.open(path, "w") as out:
        options = {"x264-params": f"{first_field}=1", "crf": "10"}
        stream = out.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        marks = av.filter.Graph()
        plain = av.VideoFormat("yuv420p")
        source = marks.add_buffer(
            width=width, height=height, format=plain, time_base=Fraction(1, 25)
        )
        marks.link_nodes(source, marks.add("setfield", first_field), marks.add("buffersink"))
        marks.configure()
        for index in range(10):
            early, late = moment(2 * index), moment(2 * index + 1)
            top, bottom = (early, late) if first_field == "tff" else (late, early)
            woven = np.empty_like(top)
            woven[::2], woven[1::2] = top[::2], bottom[1::2]
            rgb = np.repeat(woven[..., None], 3, axis=2)
            coded = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
            coded.pts, coded.time_base = index, Fraction(1, 25)
            # The encoder believes the frames, not its options.
            marks.vpush(coded)
            out.mux(stream.encode(marks.vpull()))
        out.mux(stream.encode(None))
    frames = read(path)
    assert len(frames) == 10
    for index, frame in enumerate(frames):
        grey = frame.pixels.astype(float).mean(axis=2)
        combs = np.abs(grey[1:-1] - (grey[:-2] + grey[2:]) / 2) > 60
        assert combs[105:195].sum() < 60, f"picture {index}"
        first_px = 10 + 2 * index * speed_px
        assert grey[150, first_px + 4 : first_px + 46].min() > 200, "of the first field's moment"
        assert grey[150, first_px + 54 :].max() < 55
        assert grey[30, 2::2][:150].min() > 180, "what stands still keeps its detail"
