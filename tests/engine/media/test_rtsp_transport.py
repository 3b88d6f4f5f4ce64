"""RTSP over UDP: where a camera does nothing else, or where it was chosen."""

import socket
from pathlib import Path

import pytest

from engine.errors import MediaRefusedError, UnreachableError
from engine.media.feed import RtspTransport
from engine.media.frame import Frame
from engine.media.sample import FrameReader, SamplingConfig, probe
from engine.media.source import MediaLimits
from tests.support.camera import NAME, Scheme
from tests.support.rtsp_camera import open_rtsp_camera
from tests.support.synthetic import encoded_video, read_index

N, FPS = 100, 25
EVERY = SamplingConfig(fps=1000.0, thin_static=False)


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path: Path = tmp_path_factory.mktemp("part") / "part.ts"
    # Every picture by itself: one that is lost takes no other with it.
    return encoded_video(path, N, fps=FPS, gop_frames=1, noise=False).read_bytes()


def limits(transport: RtspTransport) -> MediaLimits:
    return MediaLimits(
        rtsp_transport=transport, reconnect_attempts=0, open_timeout_s=3.0, read_timeout_s=3.0
    )


def read(address: str, transport: RtspTransport) -> tuple[list[Frame], int]:
    frames: list[Frame] = []
    with FrameReader(address, EVERY, limits=limits(transport)) as reader:
        with pytest.raises(UnreachableError, match="did not come back"):
            frames.extend(reader)
        return frames, reader.stats.packets_damaged


def check_times(frames: list[Frame], *, within_s: float = 0.0) -> list[int]:
    """Hold the time of every frame against the number that it shows; return the numbers."""
    indices = [read_index(frame.pixels) for frame in frames]
    for frame, index in zip(frames, indices, strict=True):
        shown_s = (index - indices[0]) / FPS
        assert frame.pts_s - frames[0].pts_s == pytest.approx(shown_s, abs=within_s + 1e-3)
    return indices


@pytest.mark.parametrize("scheme", ["none", "basic", "digest"])
def test_camera_that_sends_datagrams_alone_is_read(part: bytes, scheme: Scheme) -> None:
    with open_rtsp_camera([part], scheme, by_datagrams=True) as camera:
        frames, _ = read(camera.address(), "auto")
    assert check_times(frames) == [*range(N)]
    assert 461 in camera.answers, "TCP is asked for first"


def test_chosen_transport_is_asked_for_and_no_other(part: bytes) -> None:
    with open_rtsp_camera([part], by_datagrams=True) as camera:
        frames, _ = read(camera.address(), "udp")
        assert check_times(frames) == [*range(N)]
        assert 461 not in camera.answers
    with (
        open_rtsp_camera([part], by_datagrams=True) as camera,
        pytest.raises(UnreachableError, match="does not send over TCP") as caught,
    ):
        probe(camera.address(), limits("tcp"))
    assert NAME not in str(caught.value)


def test_datagrams_that_overtake_each_other_are_put_in_order(part: bytes) -> None:
    def swapped(packets: list[bytes]) -> list[bytes]:
        for at in range(10, len(packets) - 10, 7):
            packets[at], packets[at + 1] = packets[at + 1], packets[at]
        return packets

    with open_rtsp_camera([part], by_datagrams=True, disturb=swapped) as camera:
        frames, _ = read(camera.address(), "udp")
    assert check_times(frames) == [*range(N)]


def test_lost_datagrams_move_no_time(part: bytes) -> None:
    def lossy(packets: list[bytes]) -> list[bytes]:
        return [packet for at, packet in enumerate(packets) if at < 20 or at % 23]

    with open_rtsp_camera([part], by_datagrams=True, disturb=lossy) as camera:
        frames, _ = read(camera.address(), "udp")
    # A picture that has lost its end may be shown at the time of its neighbour.
    indices = check_times(frames, within_s=1 / FPS)
    assert N / 2 < len(indices) < N
    assert indices[-1] > N - 5


def test_datagrams_of_others_are_not_heard(part: bytes) -> None:
    def forged(packets: list[bytes]) -> list[bytes]:
        # From another address of this machine, to every port that may be open.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.2", 0))
            for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
                port = int(line.split()[1].partition(":")[2], 16)
                other.sendto(b"\x80\xe0" + bytes(40), ("127.0.0.1", port))
        return packets

    with open_rtsp_camera([part], by_datagrams=True, disturb=forged) as camera:
        frames, _ = read(camera.address(), "udp")
    assert check_times(frames) == [*range(N)]


def test_encrypted_cameras_are_not_asked_for_plain_datagrams() -> None:
    with pytest.raises(MediaRefusedError, match="nothing of it would be encrypted"):
        probe("rtsps://127.0.0.1:1/live", limits("udp"))
