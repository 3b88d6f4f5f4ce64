"""Live feeds: signed in to, at the address that was checked, and without their secrets shown."""

import socket
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import MediaRefusedError, UnreachableError
from engine.media.address import is_live_uri, redact
from engine.media.frame import Frame
from engine.media.sample import FrameReader, SamplingConfig, probe
from engine.media.source import MediaLimits
from tests.support.camera import NAME, PASSWORD, QUOTED_PASSWORD, Scheme, open_camera
from tests.support.synthetic import encoded_video, read_index

EVERY = SamplingConfig(fps=1000.0, thin_static=False)
LIMITS = MediaLimits(allow_http=True, reconnect_attempts=2, reconnect_wait_s=0.05)


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("part") / "part.ts"
    return encoded_video(path, 90, gop_frames=15, noise=False).read_bytes()


@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_camera_with_a_password_is_read_and_connected_to_again(part: bytes, scheme: Scheme) -> None:
    frames: list[Frame] = []
    with open_camera([part, part], scheme) as camera:
        with FrameReader(camera.address(), EVERY, limits=LIMITS) as reader:
            with pytest.raises(UnreachableError, match="did not come back") as caught:
                frames.extend(reader)
            assert QUOTED_PASSWORD not in reader.info.uri
        assert camera.answers.count(200) == 2
    assert [read_index(frame.pixels) for frame in frames] == [*range(90), *range(90)]
    assert NAME not in str(caught.value)


def test_refused_password_is_said_to_be_wrong(part: bytes) -> None:
    with open_camera([part], "digest") as camera:
        for sign_in, phrase in (("viewer:no@", "refuses this name"), ("", "wants a name")):
            with pytest.raises(UnreachableError, match=phrase):
                probe(camera.address(sign_in), LIMITS)


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://admin:pa#ss0rd@127.0.0.1:1/x",
        "rtsp://admin:pa/ss0rd@127.0.0.1:1/x",
        "rtsp://admin:pa?ss0rd@127.0.0.1:1/x",
        "rtsp://admin:pa@ss0rd@127.0.0.1:1/x",
        "rtsp://admin:pa:ss0rd@127.0.0.1:1/x",
        "rtsp://admin:pa[ss0rd@127.0.0.1:1/x",
        "rtsp://admin:pa ss0rd@127.0.0.1:1/x",
        "rtsp://admin:12/ss0rd@127.0.0.1:1/x",
        " RTSP://admin:pass0rd@127.0.0.1:1/x",
        "rtsp://ss0rd@127.0.0.1:1/x",
        "rtsp://127.0.0.1:1/user=admin&password=pass0rd&channel=1&stream=0.sdp",
        "rtsp://127.0.0.1:1/user=admin_password=pass0rd_channel=1_stream=0.sdp",
        "rtsp://127.0.0.1:1/live?token=pass0rd",
        "rtsp://127.0.0.1:1/live?unheard_of=pass0rd",
        "rtsp://127.0.0.1:1/live;pwd=pass0rd/1",
        "rtsp://127.0.0.1:1/live?a%3Dss0rd",
        "rtsp://127.0.0.1:1/live#ss0rd",
        "rtsps://127.0.0.1:1/VPfTYMss0rdMwkHI?enableSrtp",
        "rtsp:/admin:pass0rd@127.0.0.1:1/x",
        "rtmp://admin:pass0rd@127.0.0.1:1/x",
    ],
)
def test_no_secret_of_an_address_is_shown(address: str) -> None:
    shown = redact(address)
    assert "ss0rd" not in shown
    assert "127.0.0.1" in shown
    assert redact(shown) == shown
    with pytest.raises((UnreachableError, MediaRefusedError)) as caught:
        probe(address, MediaLimits(open_timeout_s=0.5))
    if is_live_uri(address):
        assert "ss0rd" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://10.0.0.7/cam/realmonitor?channel=1&subtype=0",
        "rtsp://10.0.0.7/Streaming/Channels/101",
        "rtsp://10.0.0.7/h264Preview_01_main",
        "rtsp://10.0.0.7/axis-media/media.amp?videocodec=h264&resolution=640x480",
    ],
)
def test_plain_address_is_shown_whole(address: str) -> None:
    assert redact(address) == address


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::a9fe:a9fe]",
        "[::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "0.0.0.0",
        "[::]",
        "[::ffff:0.0.0.0]",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
def test_addresses_no_camera_has_are_refused(host: str) -> None:
    for scheme in ("rtsp", "http"):
        with pytest.raises(MediaRefusedError, match="is not opened"):
            probe(f"{scheme}://{host}/latest/meta-data", LIMITS)


def test_redirect_is_not_followed(part: bytes) -> None:
    with open_camera([part]) as inner, open_camera([], redirect=inner.address("")) as outer:
        with pytest.raises(UnreachableError, match="sends no video"):
            probe(outer.address(""), LIMITS)
        assert set(outer.answers) == {302}
        assert inner.answers == []


def test_server_is_told_the_name_though_its_address_is_connected_to(part: bytes) -> None:
    with open_camera([part]) as camera:
        assert probe(camera.address("", "localhost"), LIMITS).height_px > 0
        assert set(camera.hosts) == {f"localhost:{camera.port}"}


def test_paths_are_no_addresses(tmp_path: Path) -> None:
    assert redact("/videos/a@b.mp4") == "/videos/a@b.mp4"
    assert not is_live_uri(str(tmp_path / "http:" / "x"))
    assert PASSWORD not in redact(f"http://x:{PASSWORD}@h/")


@pytest.mark.parametrize(
    ("answer", "phrase"),
    [
        ("HTTP/1.1 404 Not Found\r\n\r\n", "has nothing at that path"),
        ("HTTP/1.1 503 Busy\r\n\r\n", "an error of its own"),
        ("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n", "sends no video"),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + "<p>Sign in" * 99,
            "sends no video",
        ),
        ("", "in time"),
        (None, "nothing listens at that port"),
    ],
)
@pytest.mark.parametrize("path", ["live.ts", "live.m3u8"])
def test_why_there_is_no_video_is_said(answer: str | None, phrase: str, path: str) -> None:
    limits = replace(LIMITS, open_timeout_s=2.0, read_timeout_s=1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/{path}"
        if answer is None:
            server.close()
        else:
            threading.Thread(
                target=_answer_all, args=(server, answer.encode()), daemon=True
            ).start()
        if path == "live.m3u8" and phrase == "sends no video":
            # The answer is read here, not by FFmpeg, and a redirect is a status like any other.
            phrase = "playlist|nobody answers there with video"
        with pytest.raises((UnreachableError, MediaRefusedError), match=phrase):
            probe(address, limits)


def _answer_all(server: socket.socket, answer: bytes) -> None:
    """Answer whoever asks; without an answer, keep the connection."""
    kept = []
    with suppress(OSError):
        while True:
            connection, _ = server.accept()
            kept.append(connection)
            connection.recv(4096)
            if answer:
                connection.sendall(answer)
                connection.close()
