"""Decoding only what is needed gives what decoding everything gives, for every kind of stream."""

import struct
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from jaxtyping import UInt8

from engine.errors import LimitExceededError
from engine.media.encode import write_video
from engine.media.frame import Frame, FrameConverter
from engine.media.sample import FrameReader, SamplingConfig, frame_at, on_grid
from engine.media.source import MediaLimits
from tests.support.synthetic import (
    encoded_video,
    read_index,
    set_matroska_duration,
    spelled_video,
)

LIMITS = MediaLimits()
EVERY = SamplingConfig(fps=1000.0, thin_static=False)
OPEN_X264 = {"bf": "3", "x264-params": "open-gop=1:keyint=40:min-keyint=40:scenecut=0"}
OPEN_X265 = {"x265-params": "open-gop=1:keyint=40:min-keyint=40:scenecut=0:log-level=none"}
REFRESH = {"x264-params": "intra-refresh=1:keyint=50"}

STREAMS = {
    "closed.mp4": ("libx264", 130, {"bf": "3"}, 50),
    "closed.mkv": ("libx264", 130, {"bf": "2"}, 30),
    "open.mp4": ("libx264", 130, OPEN_X264, None),
    "open.ts": ("libx264", 130, OPEN_X264, None),
    "refresh.ts": ("libx264", 130, REFRESH, None),
    "refresh.mp4": ("libx264", 130, REFRESH, None),
    "long_group.mp4": ("libx264", 640, {"preset": "ultrafast", "bf": "2"}, 5000),
    "intra.mp4": ("libx264", 100, {}, 1),
    "short_group.flv": ("libx264", 130, {"bf": "2"}, 5),
    "open_hevc.mp4": ("libx265", 120, OPEN_X265, None),
    "mpeg2.mpg": ("mpeg2video", 120, {"bf": "2", "b": "2M"}, 15),
    "mpeg4.mp4": ("mpeg4", 120, {"bf": "2", "b": "2M"}, 15),
    "vp8_hidden.webm": ("libvpx", 120, {"auto-alt-ref": "1", "lag-in-frames": "16"}, 60),
    "vp9_hidden.webm": ("libvpx-vp9", 120, {"cpu-used": "8", "lag-in-frames": "16"}, 60),
    "av1.mkv": ("libsvtav1", 80, {"preset": "12"}, 40),
    "no_clock.h264": ("libx264", 100, {"bf": "2"}, 30),
}


@pytest.fixture(scope="module", params=STREAMS)
def stream(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    codec, n, options, gop_frames = STREAMS[request.param]
    path = tmp_path_factory.mktemp("streams") / request.param
    return encoded_video(path, n, codec=codec, options=options, gop_frames=gop_frames)


def slowly(path: Path, config: SamplingConfig) -> list[tuple[float, UInt8[np.ndarray, "h w 3"]]]:
    """The oracle: decode every frame on one thread, then apply the sampling rule to each."""
    with av.open(path) as container:
        video = container.streams.video[0]
        video.thread_type = "NONE"
        frames = list(container.decode(video))
        upright = FrameConverter(frames[0], video, max_side_px=config.max_side_px)
        tick_s = video.time_base
        assert tick_s is not None
        nominal = round(1 / (Fraction(video.average_rate or 25) * tick_s))
        stamps = [
            nominal * index if frame.pts is None else frame.pts
            for index, frame in enumerate(frames)
        ]
        starts = [stamp - stamps[0] for stamp in stamps]
        ends = [*starts[1:], starts[-1] + (frames[-1].duration or nominal)]
        per_tick = Fraction(config.fps).limit_denominator(1_000_000) * tick_s
        return [
            (float(start * tick_s), upright.rgb(frame))
            for frame, start, end in zip(frames, starts, ends, strict=True)
            if on_grid(start, end, per_tick, is_last=end == ends[-1])
        ]


def read(path: Path, config: SamplingConfig, after_s: float | None = None) -> list[Frame]:
    with FrameReader(str(path), config, limits=LIMITS, after_s=after_s) as reader:
        return list(reader)


def assert_same(
    frames: Sequence[Frame], expected: Sequence[tuple[float, UInt8[np.ndarray, "h w 3"]]]
) -> None:
    assert [frame.pts_s for frame in frames] == [pts_s for pts_s, _ in expected]
    for frame, (pts_s, pixels) in zip(frames, expected, strict=True):
        assert frame.pixels.tobytes() == pixels.tobytes(), f"the frame at {pts_s} s differs"


@pytest.mark.parametrize("fps", [1000.0, 7.3, 1.0])
def test_planned_decoding_equals_decoding_everything(stream: Path, fps: float) -> None:
    config = SamplingConfig(fps=fps, thin_static=False)
    assert_same(read(stream, config), slowly(stream, config))


def group_ends(frames: Sequence[Frame], group_frames: int) -> list[int]:
    """Places of the frames that end a group, but for the last group."""
    ends, n_in_group = [], 0
    for place, frame in enumerate(frames):
        if n_in_group == group_frames or (n_in_group and frame.starts_chunk):
            ends.append(place - 1)
            n_in_group = 0
        n_in_group += 1
    return ends


def test_resumed_reader_gives_the_same_bytes(stream: Path) -> None:
    config = SamplingConfig(fps=6.0, static_threshold=0.05, heartbeat_s=2.0, group_frames=4)
    whole = read(stream, config)
    groups = group_ends(whole, config.group_frames)
    for k in groups[:: max(1, len(groups) // 4)]:
        rest = read(stream, config, after_s=whole[k].pts_s)
        assert_same(rest, [(frame.pts_s, frame.pixels) for frame in whole[k + 1 :]])


def test_frame_at_equals_reading_up_to_it(stream: Path) -> None:
    every = slowly(stream, EVERY)
    for pts_s, pixels in [*every[:: len(every) // 5], every[-1]]:
        assert_same([frame_at(str(stream), pts_s)], [(pts_s, pixels)])
    assert frame_at(str(stream), 1e6).pts_s == every[-1][0]
    assert frame_at(str(stream), -1.0).pts_s == 0


def test_only_what_is_needed_is_decoded(tmp_path: Path) -> None:
    options = {"sc_threshold": "0"}
    path = encoded_video(tmp_path / "clip.mp4", 500, gop_frames=25, options=options, noise=False)
    with FrameReader(str(path), SamplingConfig(thin_static=False), limits=LIMITS) as reader:
        assert [read_index(frame.pixels) for frame in reader] == list(range(0, 500, 25))
        assert reader.stats.frames_decoded == 20, "keyframes are where the samples are"


@pytest.fixture
def timed(tmp_path: Path) -> Callable[[Sequence[float]], Path]:
    def write(times_s: Sequence[float]) -> Path:
        return encoded_video(
            tmp_path / "timed.mkv", len(times_s), gop_frames=10, times_s=times_s, noise=False
        )

    return write


def test_variable_rate_follows_the_real_time_stamps(
    timed: Callable[[Sequence[float]], Path],
) -> None:
    times = [0.0, 0.04, 0.08, 0.5, 0.9, 1.7, 1.74, 3.2, 3.21, 4.0]
    path = timed(times)
    assert [frame.pts_s for frame in read(path, EVERY)] == times
    sampled = read(path, SamplingConfig(fps=1.0, thin_static=False))
    assert [frame.pts_s for frame in sampled] == [0.0, 0.9, 1.74, 4.0]


def test_hole_in_the_clock_invents_nothing(timed: Callable[[Sequence[float]], Path]) -> None:
    times = [index / 10 for index in range(20)] + [7200 + index / 10 for index in range(20)]
    path = timed(times)
    with FrameReader(str(path), SamplingConfig(thin_static=False), limits=LIMITS) as reader:
        assert [frame.pts_s for frame in reader] == [0.0, 1.0, 1.9, 7200.0, 7201.0]
        assert reader.stats.gaps == 1


def test_clock_that_starts_anew_goes_on(tmp_path: Path) -> None:
    parts = [
        encoded_video(tmp_path / f"{name}.ts", 50, gop_frames=25, noise=False) for name in "ab"
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with FrameReader(str(path), EVERY, limits=LIMITS) as reader:
        frames = list(reader)
        assert [read_index(frame.pixels) for frame in frames] == [*range(50), *range(50)]
        assert np.allclose([frame.pts_s for frame in frames], np.arange(100) / 25, atol=1e-6)
        assert reader.stats.gaps == 1


BARE_STREAMS = {
    "bare.h264": ("libx264", {"bf": "2"}, (10, 15, 50)),
    "bare.hevc": ("libx265", {"x265-params": "log-level=none"}, (10, 15, 50)),
    "bare.m2v": ("mpeg2video", {"bf": "2", "b": "2M"}, (30, 50)),
}


@pytest.mark.parametrize(
    ("name", "fps"), [(name, fps) for name in BARE_STREAMS for fps in BARE_STREAMS[name][2]]
)
def test_bare_stream_runs_at_the_rate_that_it_states(tmp_path: Path, name: str, fps: int) -> None:
    codec, options, _ = BARE_STREAMS[name]
    path = encoded_video(
        tmp_path / name, 60, codec=codec, options=options, gop_frames=20, fps=fps, noise=False
    )
    with FrameReader(str(path), EVERY, limits=LIMITS) as reader:
        frames = list(reader)
        assert reader.info.fps == fps
    assert [read_index(frame.pixels) for frame in frames] == list(range(60))
    assert [frame.pts_s for frame in frames] == pytest.approx(np.arange(60) / fps, abs=1e-5)


def test_longer_file_than_allowed_is_refused_on_opening(
    timed: Callable[[Sequence[float]], Path],
) -> None:
    path = timed([0.0, 0.1, 0.2, 50.0])
    with pytest.raises(LimitExceededError, match="duration") as caught:
        FrameReader(str(path), EVERY, limits=MediaLimits(max_duration_s=10.0))
    assert caught.value.field == "max_duration_s"


def test_duration_limit_holds_while_reading(timed: Callable[[Sequence[float]], Path]) -> None:
    path = timed([0.0, 0.1, 0.2, 50.0])
    set_matroska_duration(path, 1.0)
    with FrameReader(str(path), EVERY, limits=MediaLimits(max_duration_s=10.0)) as reader:
        assert reader.info.duration_s == pytest.approx(1.0), "the header says little"
        with pytest.raises(LimitExceededError, match="duration"):
            list(reader)


def test_duration_limit_holds_while_reading_without_time_stamps(tmp_path: Path) -> None:
    path = encoded_video(tmp_path / "clip.h264", 100, noise=False)
    with FrameReader(str(path), EVERY, limits=MediaLimits(max_duration_s=2.0)) as reader:
        frames: list[Frame] = []
        with pytest.raises(LimitExceededError, match="duration"):
            frames.extend(reader)
        assert reader.info.duration_s is None


def test_pictures_hidden_by_an_edit_list_are_left_out(tmp_path: Path) -> None:
    path = encoded_video(
        tmp_path / "clip.mp4", 100, gop_frames=20, options={"bf": "2"}, noise=False
    )
    _edit(path, start_s=0.6, duration_s=2.0)
    frames = read(path, EVERY)
    assert [read_index(frame.pixels) for frame in frames] == list(range(15, 65))
    assert [frame.pts_s for frame in frames] == pytest.approx([n / 25 for n in range(50)])


def _edit(path: Path, *, start_s: float, duration_s: float) -> None:
    """Shorten the one entry of the edit list of an MP4 file; its pictures all stay in the file."""
    data = bytearray(path.read_bytes())
    assert data.count(b"elst") == 1
    entry = data.index(b"elst") + 12
    with av.open(path) as container:
        ticks_per_s = 1 / Fraction(container.streams.video[0].time_base or 0)
    (_, media_start) = struct.unpack_from(">Ii", data, entry)
    # The length counts in the ticks of the movie, which are milliseconds, the start in the track's.
    struct.pack_into(
        ">Ii", data, entry, round(duration_s * 1000), media_start + round(start_s * ticks_per_s)
    )
    path.write_bytes(data)


def test_rotated_video_comes_out_upright(tmp_path: Path) -> None:
    plain = spelled_video(tmp_path / "plain.mp4", 10, height=96, width=160)
    for degrees in (0, 90, 180, -90):
        rotated = tmp_path / f"rotated{degrees}.mp4"
        _with_rotation(plain, rotated, degrees)
        with FrameReader(str(rotated), EVERY, limits=LIMITS) as reader:
            frames = list(reader)
            info = reader.info
        stored = [np.rot90(frame.pixels, k=-degrees // 90) for frame in frames]
        assert [read_index(pixels) for pixels in stored] == list(range(10))
        assert (info.height_px, info.width_px) == frames[0].pixels.shape[:2]


def _with_rotation(plain: Path, rotated: Path, degrees: int) -> None:
    with av.open(plain) as source, av.open(rotated, "w") as out:
        video = out.add_stream_from_template(source.streams.video[0])
        video.set_display_rotation(degrees)
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = video
                out.mux(packet)


def test_size_that_changes_midway_keeps_the_first(tmp_path: Path) -> None:
    small = encoded_video(tmp_path / "a.ts", 30, gop_frames=10, noise=False)
    large = encoded_video(tmp_path / "b.ts", 30, gop_frames=10, noise=False, size_px=(192, 320))
    path = tmp_path / "joined.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    frames = read(path, EVERY)
    assert {frame.pixels.shape for frame in frames} == {(96, 160, 3)}
    assert [read_index(frame.pixels) for frame in frames] == [*range(30), *range(30)]


def test_large_picture_is_scaled_down_as_asked(tmp_path: Path) -> None:
    path = spelled_video(tmp_path / "clip.mp4", 5, height=180, width=320)
    config = SamplingConfig(fps=1000.0, thin_static=False, max_side_px=160)
    frames = read(path, config)
    assert [read_index(frame.pixels) for frame in frames] == list(range(5))
    assert frames[0].pixels.shape == (90, 160, 3)


def test_damage_costs_only_the_frames_it_hits(tmp_path: Path) -> None:
    path = spelled_video(tmp_path / "clip.mp4", 200, gop_frames=20)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(data)
    with FrameReader(str(path), EVERY, limits=LIMITS) as reader:
        frames = list(reader)
        assert reader.stats.packets_damaged > 0
        assert any("damaged" in warning for warning in reader.info.warnings)
    assert len(frames) > 170
    for frame in [*frames[:20], *frames[-20:]]:
        assert read_index(frame.pixels) == round(frame.pts_s * 25)


def _grey(levels: Sequence[int]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    return (np.full((64, 64, 3), level, dtype=np.uint8) for level in levels)


@pytest.fixture
def corridor(tmp_path: Path) -> Path:
    """Dark for 100 s, with light from second 40 to 42, then light to its end at 130 s."""
    path = tmp_path / "corridor.mp4"
    write_video(path, _grey([40] * 40 + [200] * 2 + [40] * 58 + [200] * 30), 1.0)
    return path


def test_static_footage_is_thinned_to_a_heartbeat_between_whole_groups(corridor: Path) -> None:
    config = SamplingConfig(heartbeat_s=15.0, group_frames=4)
    with FrameReader(str(corridor), config, limits=LIMITS) as reader:
        frames = list(reader)
        stats = reader.stats
    assert [frame.pts_s for frame in frames] == [
        *(0, 1, 2, 3),  # The first group is whole: nothing is known of what was before.
        *(18, 33),  # Heartbeats; the light ends their group early.
        *(40, 41, 42, 43),  # A change: a whole group, with the still frame at its end.
        *(58, 73, 88),
        *(100, 101, 102, 103),
        118,
    ]
    assert [frame.pts_s for frame in frames if frame.starts_chunk] == [40, 100]
    assert (stats.frames_sampled, stats.frames_skipped_static) == (18, 112)


def test_what_is_filmed_closes_each_group_of_changes_with_the_frame_behind_it(
    corridor: Path,
) -> None:
    config = SamplingConfig(heartbeat_s=15.0, group_frames=4)
    with FrameReader(str(corridor), config, limits=LIMITS, films=True) as reader:
        frames = list(reader)
    assert [frame.pts_s for frame in frames] == [
        *(0, 1, 2, 3),
        *(4, 19, 34),
        *(40, 41, 42, 43),
        *(44, 59, 74, 89),
        *(100, 101, 102, 103),
        *(104, 119),
    ]
    assert [frame.pts_s for frame in frames if frame.starts_chunk] == [40]


def test_a_thinned_reader_resumes_behind_any_group(corridor: Path) -> None:
    config = SamplingConfig(heartbeat_s=15.0, group_frames=4)
    whole = read(corridor, config)
    ends = group_ends(whole, config.group_frames)
    assert [whole[k].pts_s for k in ends] == [3, 33, 43, 88, 103]
    for k in ends:
        rest = read(corridor, config, after_s=whole[k].pts_s)
        assert [frame.pts_s for frame in rest] == [frame.pts_s for frame in whole[k + 1 :]]


def test_a_still_camera_costs_one_frame_a_heartbeat(tmp_path: Path) -> None:
    path = tmp_path / "still.mp4"
    write_video(path, _grey([40] * 600), 1.0)
    frames = read(path, SamplingConfig(heartbeat_s=30.0, group_frames=8))
    assert [frame.pts_s for frame in frames] == [*range(8), *range(37, 600, 30)]
    assert not any(frame.starts_chunk for frame in frames), "heartbeats share their chunks"


def test_without_thinning_no_group_ends_early(corridor: Path) -> None:
    frames = read(corridor, SamplingConfig(thin_static=False, group_frames=4))
    assert [frame.pts_s for frame in frames] == list(range(130))
    assert not any(frame.starts_chunk for frame in frames)
