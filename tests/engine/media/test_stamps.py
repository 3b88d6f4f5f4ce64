"""A clock that is set anew costs no picture, a wrap is no such step, and sound follows."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engine.media.audio import RATE_HZ, AudioReader
from engine.media.clip import cut
from engine.media.frame import Frame
from engine.media.sample import FrameReader, SamplingConfig, frame_at, probe
from engine.media.source import MediaLimits
from engine.records import TimeSpan
from tests.support.synthetic import (
    CLAP_EVERY_S,
    clapped_video,
    encoded_video,
    read_index,
    spelled,
)

LIMITS = MediaLimits()
EVERY = SamplingConfig(fps=1000.0, thin_static=False)
WRAP_S = 2**33 / 90_000
N = 200
ENCODERS = {"libx264": {"bf": "2", "sc_threshold": "0"}, "mpeg2video": {"bf": "2", "b": "2M"}}


def read(path: Path, after_s: float | None = None) -> list[Frame]:
    with FrameReader(str(path), EVERY, limits=LIMITS, after_s=after_s) as reader:
        return list(reader)


def recording(path: Path, start_s: float, *, n: int = N) -> Path:
    """Groups of 50 pictures with reordered ones, spelling their numbers."""
    return encoded_video(
        path,
        n,
        gop_frames=50,
        options=ENCODERS["libx264"],
        times_s=[start_s + index / 25 for index in range(n)],
        noise=False,
    )


def stepping(folder: Path, step_s: float) -> Path:
    """A transport stream whose clock steps after 43 % of its bytes, inside a group of pictures."""
    before = recording(folder / "before.ts", 100_000.0 / 1.3).read_bytes()
    after = recording(folder / "after.ts", 100_000.0 / 1.3 + step_s).read_bytes()
    assert len(before) == len(after), "the same packets but for their time stamps"
    at = int(len(before) / 188 * 0.43) * 188
    path = folder / "stepping.ts"
    path.write_bytes(before[:at] + after[at:])
    return path


@pytest.mark.parametrize("step_s", [-0.5, -3.0, -600.0, -36_000.0, -70_000.0, 60.0, 18_000.0])
def test_clock_that_steps_inside_a_group_goes_on_by_duration(tmp_path: Path, step_s: float) -> None:
    path = stepping(tmp_path, step_s)
    with FrameReader(str(path), EVERY, limits=MediaLimits(max_duration_s=60.0)) as reader:
        assert reader.info.duration_s == pytest.approx(N / 25, abs=0.1)
        frames = list(reader)
        assert reader.stats.gaps == 1
        assert reader.info.duration_s == pytest.approx(N / 25, abs=0.1)
        assert reader.info.warnings == ()
    assert [read_index(frame.pixels) for frame in frames] == list(range(N))
    assert [frame.pts_s for frame in frames] == pytest.approx(np.arange(N) / 25, abs=0.1)


@pytest.mark.parametrize("step_s", [5.0, 9.0])
def test_short_hole_in_the_clock_of_a_transport_stream_stays(tmp_path: Path, step_s: float) -> None:
    times_s = [frame.pts_s for frame in read(stepping(tmp_path, step_s))]
    assert times_s[-1] == pytest.approx((N - 1) / 25 + step_s, abs=0.1)


def test_steps_do_not_change_what_a_resumed_reader_gives(tmp_path: Path) -> None:
    path = stepping(tmp_path, -3.0)
    whole = read(path)
    for k in (40, 86, 120):
        rest = read(path, after_s=whole[k].pts_s)
        assert [frame.pts_s for frame in rest] == [frame.pts_s for frame in whole[k + 1 :]]
        assert all(
            np.array_equal(frame.pixels, expected.pixels)
            for frame, expected in zip(rest, whole[k + 1 :], strict=True)
        )


@pytest.mark.parametrize("step_s", [-3.0, -36_000.0, 18_000.0])
def test_still_and_clip_behind_a_step_show_the_moment_that_was_read(
    tmp_path: Path, step_s: float
) -> None:
    path = stepping(tmp_path, step_s)
    for frame in read(path)[::30]:
        assert read_index(frame_at(str(path), frame.pts_s).pixels) == read_index(frame.pixels)
    clip = cut(str(path), TimeSpan(start_s=6.5, end_s=7.5), tmp_path / "clip.mp4")
    indices = [read_index(frame.pixels) for frame in read(tmp_path / "clip.mp4")]
    assert clip.span.start_s == pytest.approx(6.0, abs=0.1)
    assert indices[:37] == list(range(150, 187))


def starting_at(plain: Path, path: Path, start_s: float) -> Path:
    """Copy the packets of a video to another container with time stamps that start later."""
    with av.open(plain) as source, av.open(path, "w") as out:
        video = source.streams.video[0]
        copied = out.add_stream_from_template(video)
        for packet in source.demux(video):
            if packet.dts is not None and packet.pts is not None:
                shift = round(start_s / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = copied
                out.mux(packet)
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [("wrap.ts", "libx264"), ("wrap_mpeg2.ts", "mpeg2video"), ("wrap.mpg", "mpeg2video")],
)
def test_clock_that_wraps_goes_on(tmp_path: Path, name: str, codec: str) -> None:
    encoded_video(
        tmp_path / "plain.ts", N, codec=codec, gop_frames=50, options=ENCODERS[codec], noise=False
    )
    path = starting_at(tmp_path / "plain.ts", tmp_path / name, WRAP_S - 3.0)
    with FrameReader(str(path), EVERY, limits=LIMITS) as reader:
        assert reader.info.duration_s == pytest.approx(N / 25, abs=0.1)
        frames = list(reader)
        assert reader.stats.gaps == 0
    assert [read_index(frame.pixels) for frame in frames] == list(range(N))
    assert [frame.pts_s for frame in frames] == pytest.approx(np.arange(N) / 25, abs=1e-3)
    clip = cut(str(path), TimeSpan(start_s=4.5, end_s=5.5), tmp_path / "clip.mp4")
    assert clip.span.start_s == pytest.approx(4.0, abs=0.1)
    indices = [read_index(frame.pixels) for frame in read(tmp_path / "clip.mp4")]
    first = round(clip.span.start_s * 25)
    assert indices[: 138 - first] == list(range(first, 138))


def test_recordings_joined_one_after_the_other_are_all_read(tmp_path: Path) -> None:
    starts_s = [36_000.0, 10.0, WRAP_S - 1.0, 80_000.0]
    parts = [
        recording(tmp_path / f"{k}.ts", start_s, n=50).read_bytes()
        for k, start_s in enumerate(starts_s)
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    with FrameReader(str(path), EVERY, limits=LIMITS) as reader:
        frames = list(reader)
        assert reader.stats.gaps == 3
    assert [read_index(frame.pixels) for frame in frames] == 4 * list(range(50))
    assert [frame.pts_s for frame in frames] == pytest.approx(np.arange(200) / 25, abs=0.1)


@pytest.mark.parametrize("fps", [15, 25])
@pytest.mark.parametrize("n_reordered", [0, 2, 3])
@pytest.mark.parametrize("noise_px", [0, 6, 12, 20])
def test_pictures_that_share_a_packet_of_a_program_stream_keep_their_times(
    tmp_path: Path, fps: int, n_reordered: int, noise_px: int
) -> None:
    """Only the first of them is stamped; noise changes how many share one."""
    path, n = tmp_path / "recorder.mpg", fps * 12
    noise = np.random.default_rng(0)
    options = {"bf": str(n_reordered), "g": "50", "sc_threshold": "0", "crf": "20"}
    with av.open(path, "w", format="vob") as out:
        stream = out.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for index in range(n):
            pixels = spelled(index).copy()
            side = int(noise_px * (1 + np.sin(index / 7)))
            # Between the two rows that are read.
            pixels[26 : 26 + side, :side] = noise.integers(0, 255, (side, side, 3))
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with FrameReader(
        str(path), SamplingConfig(fps=float(fps), thin_static=False), limits=LIMITS
    ) as reader:
        frames = list(reader)
        warnings = reader.info.warnings
    assert len(frames) >= n - 1
    assert [frame.pts_s for frame in frames] == pytest.approx(
        [read_index(frame.pixels) / fps for frame in frames], abs=0.5 / fps
    )
    assert not warnings


def test_flash_video_whose_clock_starts_anew_goes_on(tmp_path: Path) -> None:
    first = recording(tmp_path / "first.flv", 60.0, n=50).read_bytes()
    second = recording(tmp_path / "second.flv", 5.0, n=50).read_bytes()
    path = tmp_path / "joined.flv"
    path.write_bytes(first + second[13:])
    frames = read(path)
    assert [read_index(frame.pixels) for frame in frames] == 2 * list(range(50))
    assert [frame.pts_s for frame in frames] == pytest.approx(np.arange(100) / 25, abs=0.1)


@pytest.fixture
def joined_claps(tmp_path: Path) -> Path:
    """Two recordings of 6 s, the second with an earlier clock; claps are seen and heard."""
    path = tmp_path / "claps.ts"
    parts = [
        clapped_video(
            tmp_path / f"{picture_from_s}.ts",
            6,
            video_codec="mpeg2video",
            audio_codec="mp2",
            picture_from_s=picture_from_s,
        ).read_bytes()
        for picture_from_s in (700.0, 20.0)
    ]
    path.write_bytes(b"".join(parts))
    return path


def test_sound_is_heard_with_its_picture_behind_a_step(joined_claps: Path) -> None:
    seen_s = [frame.pts_s for frame in read(joined_claps) if frame.pixels.mean() > 127]
    assert seen_s == pytest.approx([2.0, 4.0, 8.0, 10.0], abs=0.1)
    with AudioReader(str(joined_claps), limits=LIMITS) as reader:
        for moment_s in [*seen_s, *reversed(seen_s)]:
            assert _first_noise_s(reader, moment_s) == pytest.approx(moment_s, abs=0.06)


def test_window_of_sound_behind_a_step_is_the_same_in_any_order(joined_claps: Path) -> None:
    span = TimeSpan(start_s=7.0, end_s=9.0)
    with AudioReader(str(joined_claps), limits=LIMITS) as reader:
        alone = reader.window(span, afresh=True)
        reader.window(TimeSpan(start_s=0.0, end_s=11.0))
        again = reader.window(span, afresh=True)
    assert alone is not None
    assert again is not None
    assert np.array_equal(alone, again)


def _first_noise_s(reader: AudioReader, around_s: float) -> float:
    start_s = around_s - CLAP_EVERY_S / 4
    window = reader.window(TimeSpan(start_s=start_s, end_s=around_s + CLAP_EVERY_S / 4))
    assert window is not None
    noise = np.flatnonzero(np.abs(window[0]) > 0.2)
    assert noise.size, f"nothing is heard around {around_s} s"
    return start_s + float(noise[0]) / RATE_HZ


def test_probe_of_a_step_says_the_true_length(tmp_path: Path) -> None:
    assert probe(str(stepping(tmp_path, -600.0)), LIMITS).duration_s == pytest.approx(8.0, abs=0.1)


def test_reading_from_the_start_for_a_late_moment_gives_signs_of_life(joined_claps: Path) -> None:
    signs: list[str] = []
    frame_at(str(joined_claps), 10.0, on_packet=lambda: signs.append("picture"))
    with AudioReader(
        str(joined_claps), limits=LIMITS, on_packet=lambda: signs.append("sound")
    ) as reader:
        reader.window(TimeSpan(start_s=10.0, end_s=10.5))
    assert signs.count("picture") > 200
    assert signs.count("sound") > 200
