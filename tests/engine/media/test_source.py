"""Opening: by content and allowlists, within limits, and live feeds that come back."""

import http.server
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition

from engine.errors import LimitExceededError, MediaRefusedError, UnreachableError
from engine.media.address import redact
from engine.media.frame import Frame
from engine.media.packets import starts_gradual_refresh
from engine.media.sample import FrameReader, SamplingConfig, probe
from engine.media.sniff import sniff
from engine.media.source import MediaLimits
from tests.support.synthetic import (
    encoded_video,
    read_index,
    set_matroska_duration,
    spelled,
    spelled_video,
)

EVERY = SamplingConfig(fps=1000.0, thin_static=False)


@pytest.mark.parametrize(
    ("head", "phrase"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \n#EXTM3U\n", "playlist"),
        (b"ffconcat version 1.0\n", "concat script"),
        (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1", "SDP"),
        (b"<?xml version='1.0'?><MPD/>", "XML"),
        (b"<SVG xmlns=''>", "SVG"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"dear diary", "text"),
        (bytes(range(128, 200)) + b"\0\1\2", "no video format"),
    ],
)
def test_first_bytes_give_a_file_away(head: bytes, phrase: str) -> None:
    reason = sniff(head)
    assert reason is not None
    assert phrase in reason


def test_first_bytes_of_videos_pass() -> None:
    heads = [
        b"\0\0\0\x18ftypisom",
        b"\x1a\x45\xdf\xa3",
        b"RIFF....AVI LIST",
        b"OggS\0",
        (b"\x47" + bytes(187)) * 4,
        b"\0" * 4 + (b"\x47" + bytes(191)) * 4,
        b"\0\0\x01\xba",
        b"\0\0\0\x01\x67",
    ]
    assert [sniff(head) for head in heads] == [None] * len(heads)


def test_name_says_nothing_about_content(tmp_path: Path) -> None:
    path = spelled_video(tmp_path / "clip.mp4", 5)
    odd = path.rename(tmp_path / "concat:-i %2e%2e.m3u8")
    assert probe(str(odd), MediaLimits()).container.startswith("mov")


def test_passwords_of_cameras_are_not_shown() -> None:
    assert redact("rtsp://user:secret@10.0.0.7:554/ch1") == "rtsp://10.0.0.7:554/ch1"
    assert redact("/videos/a@b.mp4") == "/videos/a@b.mp4"
    with pytest.raises(UnreachableError) as caught:
        probe("rtsp://user:secret@127.0.0.1:9/ch1", MediaLimits(open_timeout_s=0.5))
    assert "secret" not in str(caught.value)


def test_web_addresses_are_not_opened_unasked() -> None:
    with pytest.raises(MediaRefusedError, match="web"):
        probe("http://127.0.0.1:9/video.mp4", MediaLimits())


def test_folder_and_limits_are_named(tmp_path: Path) -> None:
    with pytest.raises(MediaRefusedError, match="not a file"):
        probe(str(tmp_path), MediaLimits())
    sparse = tmp_path / "huge.mp4"
    with sparse.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(LimitExceededError) as caught:
        probe(str(sparse), MediaLimits())
    assert caught.value.field == "max_bytes"


@pytest.mark.parametrize("start_s", [0, 20, 3600, 1_700_000_000])
@pytest.mark.parametrize("is_length", [False, True], ids=["header_says_end", "header_says_length"])
def test_matroska_that_starts_late_is_as_long_as_its_picture(
    tmp_path: Path, start_s: int, is_length: bool
) -> None:
    times_s = [start_s + n / 25 for n in range(250)]
    path = encoded_video(tmp_path / "late.mkv", 250, times_s=times_s, gop_frames=25, noise=False)
    if is_length:
        set_matroska_duration(path, 10.0)
    limits = MediaLimits(max_duration_s=60.0)
    with FrameReader(str(path), EVERY, limits=limits) as reader:
        assert reader.info.duration_s == pytest.approx(10.0, abs=0.05)
        frames = list(reader)
        assert reader.info.warnings == ()
    assert [read_index(frame.pixels) for frame in frames] == list(range(250))
    assert frames[-1].pts_s == pytest.approx(249 / 25, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "n_small", "small_px", "default"),
    [
        ("both_marked.mkv", 25, 48, "both"),
        ("both_marked.mp4", 25, 48, "both"),
        ("small_marked.mkv", 25, 48, "small"),
        ("preview.mp4", 1, 192, "small"),
    ],
)
def test_main_picture_is_read_and_not_a_small_or_still_one_before_it(
    tmp_path: Path, name: str, n_small: int, small_px: int, default: str
) -> None:
    path = tmp_path / name
    with av.open(path, "w") as out:
        other, main = (out.add_stream("libx264", rate=25) for _ in range(2))
        for stream, height in ((other, small_px), (main, 96)):
            stream.height, stream.width, stream.pix_fmt = height, 160, "yuv420p"
        other.disposition = Disposition.default
        main.disposition = Disposition.default if default == "both" else Disposition(0)
        for index in range(25):
            for stream in (other, main) if index < n_small else (main,):
                pixels = spelled(index, height=stream.height)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                out.mux(stream.encode(frame))
        for stream in (other, main):
            out.mux(stream.encode(None))
    with FrameReader(str(path), EVERY, limits=MediaLimits()) as reader:
        assert (reader.info.height_px, reader.info.width_px) == (96, 160)
        assert [read_index(frame.pixels) for frame in reader] == list(range(25))
        unread = f"stream 1 (160x96) is read, not stream 0 (160x{small_px})"
        assert unread in reader.info.warnings[0]


def test_gradual_refresh_is_told_from_a_whole_picture() -> None:
    start, slice_header = b"\0\0\x01", b"\0\0\x01\x41\x9a"
    gradual = start + b"\x06\x06\x02\x07\x80\x80"
    whole = start + b"\x06\x06\x01\xc4\x80"
    assert starts_gradual_refresh(gradual + slice_header, length_prefixed=False)
    assert not starts_gradual_refresh(whole + slice_header, length_prefixed=False)
    assert not starts_gradual_refresh(slice_header, length_prefixed=False)


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[Callable[[int], str]]:
    """A feed over HTTP that breaks off at the end of each of `n` parts, then stays away."""
    part = encoded_video(tmp_path / "part.ts", 90, gop_frames=15, noise=False).read_bytes()
    served: list[http.server.HTTPServer] = []

    def serve(n_parts: int) -> str:
        left = [part] * n_parts

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not left:
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.end_headers()
                self.wfile.write(left.pop())

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        served.append(server)
        threading.Thread(target=server.serve_forever).start()
        return f"http://user:secret@127.0.0.1:{server.server_address[1]}/live"

    yield serve
    for server in served:
        server.shutdown()
        server.server_close()


def test_feed_that_breaks_off_is_opened_again_and_its_clock_goes_on(
    camera: Callable[[int], str],
) -> None:
    limits = MediaLimits(allow_http=True, reconnect_attempts=2, reconnect_wait_s=0.05)
    frames: list[Frame] = []
    with FrameReader(camera(2), EVERY, limits=limits) as reader:
        assert reader.info.is_live
        assert reader.info.duration_s is None
        with pytest.raises(UnreachableError, match="did not come back") as caught:
            frames.extend(reader)
        assert reader.stats.gaps == 1
    assert "secret" not in str(caught.value)
    times = [frame.pts_s for frame in frames]
    assert [read_index(frame.pixels) for frame in frames] == [*range(90), *range(90)]
    assert times == sorted(set(times))
    assert times[90] - times[89] < 2.0, "the break lasts as long as it lasted"
