"""What old cameras, recorders, phones and edits write is read; a photo is no video."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from engine.errors import LimitExceededError, MediaRefusedError
from engine.media.clip import cut
from engine.media.frame import Frame
from engine.media.sample import FrameReader, SamplingConfig, frame_at, probe
from engine.media.source import MediaLimits
from engine.records import TimeSpan
from tests.support.synthetic import encoded_video, read_index, spelled

EVERY = SamplingConfig(fps=1000.0, thin_static=False)
N = 50
WRITTEN = {
    "camera_v1.wmv": "wmv1",
    "camera_v2.wmv": "wmv2",
    "recorder_v2.avi": "msmpeg4v2",
    "recorder_v3.avi": "msmpeg4",
    "motion.avi": "mjpeg",
    "edit.mov": "prores_ks",
    "archive.mkv": "ffv1",
    "capture.avi": "huffyuv",
    "lossless.avi": "utvideo",
    "film.mov": "svq1",
    "screen.mov": "qtrle",
    "drawn.mov": "png",
    "old.avi": "cinepak",
    "studio.mxf": "mpeg2video",
    "cinema.mxf": "jpeg2000",
    "test.ivf": "libvpx",
}


def read(path: Path) -> list[Frame]:
    with FrameReader(str(path), EVERY, limits=MediaLimits()) as reader:
        return list(reader)


def written(path: Path, codec: str, *, n: int = N, fps: int = 25) -> Path:
    """Write spelled pictures in the first pixel format that an encoder takes."""
    formats = av.Codec(codec, "w").video_formats
    with av.open(path, "w") as out:
        # Their finest steps overflow on the hardest edges.
        is_coarse = codec.startswith("msmpeg4")
        stream = out.add_stream(
            codec, rate=fps, options={"qmin": "6", "qmax": "12"} if is_coarse else {}
        )
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = 96, 160
        stream.pix_fmt = formats[0].name if formats else "yuv420p"
        stream.bit_rate = 4_000_000
        for index in range(n):
            frame = av.VideoFrame.from_ndarray(spelled(index, height=96), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", WRITTEN)
def test_every_picture_of_an_old_or_odd_format_is_read(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, WRITTEN[name])
    frames = read(path)
    assert [read_index(frame.pixels) for frame in frames] == list(range(N))
    assert [frame.pts_s for frame in frames] == pytest.approx(np.arange(N) / 25, abs=2e-3)
    clip = cut(str(path), TimeSpan(start_s=1.0, end_s=1.5), tmp_path / "clip.mp4")
    first = round(clip.span.start_s * 25)
    indices = [read_index(frame.pixels) for frame in read(tmp_path / "clip.mp4")]
    assert first <= 25
    assert indices[: 37 - first] == list(range(first, 37)), "the clip holds what it says"


def test_dump_of_jpeg_pictures_is_a_video_and_a_photo_is_none(tmp_path: Path) -> None:
    path = written(tmp_path / "dump.mjpeg", "mjpeg")
    assert [read_index(frame.pixels) for frame in read(path)] == list(range(N))
    photo = written(tmp_path / "photo.mjpeg", "mjpeg", n=1)
    with pytest.raises(MediaRefusedError, match="single picture"):
        probe(str(photo), MediaLimits())


def dahua_export(path: Path, n: int, *, fps: int = 25) -> Path:
    """Wrap H.264 as Dahua's recorders do: each picture with the clock of the recorder."""
    plain = encoded_video(
        path.with_suffix(".h264"), n, gop_frames=25, options={"bf": "0"}, noise=False
    )
    data = bytearray()
    with av.open(plain) as container:
        for index, packet in enumerate(p for p in container.demux(video=0) if p.size):
            seconds, ms = divmod(index * 1000 // fps, 1000)
            date = seconds | 18 << 12 | 20 << 17 | 11 << 22 | 26 << 26
            extra = bytes([0x81, 0, 2, fps, 0x82, 0, 0, 0]) + struct.pack("<HH", 160, 96)
            total = 24 + len(extra) + packet.size + 8
            kind = 0xFD if packet.is_keyframe else 0xFC
            head = b"DHAV" + bytes([kind, 0, 0, 0]) + struct.pack("<III", index, total, date)
            head += struct.pack("<H", (1000 * seconds + ms) % 65536) + bytes([len(extra)])
            head += bytes([sum(head) & 255])
            data += head + extra + bytes(packet) + b"dhav" + struct.pack("<I", total)
    path.write_bytes(data)
    return path


def test_export_of_a_dahua_recorder_is_read(tmp_path: Path) -> None:
    frames = read(dahua_export(tmp_path / "export.dav", N))
    assert [read_index(frame.pixels) for frame in frames] == list(range(N))
    assert frames[-1].pts_s == pytest.approx((N - 1) / 25, abs=0.05)


def test_header_of_a_hikvision_recorder_before_a_program_stream_is_passed_over(
    tmp_path: Path,
) -> None:
    plain = written(tmp_path / "plain.mpg", "mpeg2video")
    path = tmp_path / "recorder.mp4"
    path.write_bytes(b"IMKH\x01\x01\0\0\x02\0\0\x01" + bytes(28) + plain.read_bytes())
    frames = read(path)
    assert [read_index(frame.pixels) for frame in frames] == list(range(N))


def test_slow_motion_beyond_the_limit_is_sampled(tmp_path: Path) -> None:
    path = written(tmp_path / "slow.mp4", "libx264", n=240, fps=480)
    limits = MediaLimits(max_fps=240.0)
    with FrameReader(str(path), EVERY, limits=limits) as reader:
        frames = list(reader)
        assert reader.info.fps == 480
    assert [read_index(frame.pixels) for frame in frames] == list(range(0, 240, 2))
    assert frames[-1].pts_s == pytest.approx(238 / 480)
    assert read_index(frame_at(str(path), 0.25).pixels) == 120


def test_picture_behind_many_sound_tracks_is_found_or_their_number_named(tmp_path: Path) -> None:
    path = tmp_path / "many.mkv"
    with av.open(path, "w") as out:
        sounds = [out.add_stream("mp2", rate=48_000, layout="mono") for _ in range(18)]
        video = out.add_stream("libx264", rate=25)
        video.height, video.width, video.pix_fmt = 96, 160, "yuv420p"
        for index in range(N):
            frame = av.VideoFrame.from_ndarray(spelled(index, height=96), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for sound in sounds:
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 48_000), dtype=np.int16), format="s16", layout="mono"
            )
            silence.rate, silence.pts, silence.time_base = 48_000, 0, Fraction(1, 48_000)
            out.mux(sound.encode(silence))
            out.mux(sound.encode(None))
    assert [read_index(frame.pixels) for frame in read(path)] == list(range(N))
    with pytest.raises(LimitExceededError, match="streams") as caught:
        probe(str(path), MediaLimits(max_streams=16))
    assert (caught.value.field, caught.value.value) == ("max_streams", 19)
