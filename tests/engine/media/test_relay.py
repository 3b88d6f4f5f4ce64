"""The relay before RTSP cameras: what they send passes, and leads FFmpeg nowhere else."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from engine.errors import MediaRefusedError, UnreachableError
from engine.media.frame import Frame
from engine.media.relay import AnswerFilter, RtspError, RtspRedirect
from engine.media.sample import FrameReader, SamplingConfig, probe
from engine.media.source import MediaLimits
from tests.support.camera import NAME, PASSWORD, QUOTED_PASSWORD, Scheme
from tests.support.rtsp_camera import open_rtsp_camera
from tests.support.synthetic import encoded_video, read_index

EVERY = SamplingConfig(fps=1000.0, thin_static=False)
LIMITS = MediaLimits(reconnect_attempts=2, reconnect_wait_s=0.05, open_timeout_s=3.0)
PACKET = b"$\0\0\x10" + bytes(range(16))


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("part") / "part.ts"
    return encoded_video(path, 90, gop_frames=15, noise=False).read_bytes()


@pytest.mark.parametrize("scheme", ["none", "basic", "digest"])
def test_rtsp_camera_with_a_password_is_read_and_connected_to_again(
    part: bytes, scheme: Scheme
) -> None:
    frames: list[Frame] = []
    with open_rtsp_camera([part, part], scheme) as camera:
        with FrameReader(camera.address(), EVERY, limits=LIMITS) as reader:
            with pytest.raises(UnreachableError, match="did not come back") as caught:
                frames.extend(reader)
            shown = f"{reader.info} {caught.value}"
        assert camera.n_played == 2
        assert (401 in camera.answers) == (scheme != "none")
    assert [read_index(frame.pixels) for frame in frames] == [*range(90), *range(90)]
    assert not any(secret in shown for secret in (NAME, PASSWORD, QUOTED_PASSWORD))


@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_refused_password_of_an_rtsp_camera_is_said_to_be_wrong(
    part: bytes, scheme: Scheme
) -> None:
    with open_rtsp_camera([part], scheme) as camera:
        for sign_in, phrase in (("viewer:no@", "refuses this name"), ("", "wants a name")):
            with pytest.raises(UnreachableError, match=phrase):
                probe(camera.address(sign_in), LIMITS)


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])
def test_redirect_of_an_rtsp_camera_is_not_followed(part: bytes, method: str) -> None:
    with open_rtsp_camera([part]) as inner:
        target = inner.address("")
        with (
            open_rtsp_camera([part], redirect=target, redirect_at=method) as outer,
            pytest.raises(MediaRefusedError, match="sends to another address"),
        ):
            probe(outer.address(""), LIMITS)
        assert inner.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        "RTSP/1.0  302 Found\r\nCSeq: 2\r\nLocation: {target}\r\n\r\n",
        "RTSP/1.0 302\nCSeq: 2\nLocation: {target}\n\n",
        "\r\nRTSP/1.0 302 Found\r\r\nCSeq: 2\r\nlocation:{target}\r\n\r\n",
        "RTSP/1.0 +302 Found\r\nCSeq: 2\r\nLocation: {target}\r\n\r\n",
        "RTSP/1.0\t302 Found\r\nCSeq: 2\r\nLocation: {target}\r\n\r\n",
        "R\rTSP/1.0 302 Found\r\nCSeq: 2\r\nLocation: {target}\r\n\r\n",
        "RTSP/ 302 Found\r\nCSeq: 2\r\nLocation: {target}\r\n\r\n",
        "$\0\0\x04abcdRTSP/1.0 302 Found\r\nCSeq: 2\r\nLocation: {target}\r\n\r\n",
        "RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"
        "RTSP/1.0 302 Found\r\nLocation: {target}\r\n\r\n",
        "RTSP/1.0 500 X\r\nContent-Length: 9\r\nContent-Length: 0\r\n\r\n"
        "RTSP/1.0 302 Found\r\nLocation: {target}\r\n\r\n",
    ],
)
def test_no_spelling_of_a_redirect_is_followed(part: bytes, answer: str) -> None:
    with open_rtsp_camera([part]) as inner:
        raw = answer.format(target=inner.address("")).encode()
        with (
            open_rtsp_camera([part], redirect="x", raw_redirect=raw) as outer,
            pytest.raises((MediaRefusedError, UnreachableError)),
        ):
            probe(outer.address(""), MediaLimits(open_timeout_s=1.0, read_timeout_s=1.0))
        assert inner.requests == []


def test_camera_that_has_to_wake_first_is_waited_for(part: bytes) -> None:
    limits = MediaLimits(reconnect_attempts=0)
    with (
        open_rtsp_camera([part], wakes_after_s=8.0) as camera,
        FrameReader(camera.address(), EVERY, limits=limits) as reader,
    ):
        assert read_index(next(reader).pixels) == 0


def test_camera_behind_tls_is_read(part: bytes, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl writes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=camera"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*made, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with (
        open_rtsp_camera([part], "digest", tls=context) as camera,
        FrameReader(camera.address(), EVERY, limits=LIMITS) as reader,
    ):
        assert [read_index(next(reader).pixels) for _ in range(60)] == [*range(60)]


def test_packets_pass_untouched_in_pieces_of_any_size() -> None:
    head = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nSession: 7\r\n\r\n"
    described = b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: 6\r\n\r\n$\n\r\n\r\n"
    asked = b"OPTIONS rtsp://camera/ RTSP/1.0\r\nCSeq: 1\r\n\r\n"
    stream = head + described + PACKET * 3 + asked + PACKET
    for size in (1, 2, 3, 7, len(stream)):
        answers = AnswerFilter()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert b"".join(map(answers.filter, pieces)) == stream


def test_answer_is_written_anew_without_what_could_lead_elsewhere() -> None:
    answers = AnswerFilter()
    head = b"RTSP/1.1 200\nContent-length: 2\r\nLocation: rtsp://x/\nX: a\0b\rc\r\n\nabnote\n\n"
    expected = b"RTSP/1.0 200 -\r\nX: a?bc\r\nContent-Length: 2\r\n\r\nab"
    assert answers.filter(head + PACKET) == expected + PACKET
    # FFmpeg would read the bytes of so short a packet as text.
    assert answers.filter(b"$\0\0\x04RTSP" + PACKET) == PACKET


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"RTSP/1.0 301 Moved\r\n\r\n", RtspRedirect),
        (b"x" * 70_000, RtspError),
        (b"x: y\r\n" * 20_000, RtspError),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n", RtspError),
    ],
)
def test_stream_that_leads_elsewhere_or_never_ends_is_cut(
    stream: bytes, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        AnswerFilter().filter(stream)
