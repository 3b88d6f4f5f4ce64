"""MPEG-TS that is sent to this machine: read as it comes, with what is lost on the way counted."""

from contextlib import suppress
from pathlib import Path

import pytest

from engine.errors import MediaRefusedError, UnreachableError
from engine.media.address import is_live_uri, redact
from engine.media.frame import Frame
from engine.media.sample import FrameReader, SamplingConfig, probe
from engine.media.source import MediaLimits
from tests.support.synthetic import encoded_video, read_index
from tests.support.udp_camera import open_udp_camera

N, FPS = 150, 25
EVERY = SamplingConfig(fps=1000.0, thin_static=False)
LIMITS = MediaLimits(open_timeout_s=20.0, read_timeout_s=3.0, reconnect_attempts=0)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    # Every picture by itself: one that is lost takes no other with it.
    path: Path = tmp_path_factory.mktemp("udp") / "feed.ts"
    return encoded_video(path, N, fps=FPS, gop_frames=1, noise=False).read_bytes()


def read(address: str) -> tuple[list[Frame], int]:
    frames: list[Frame] = []
    with FrameReader(address, EVERY, limits=LIMITS) as reader:
        assert reader.info.is_live
        with pytest.raises(UnreachableError, match="did not come back"):
            frames.extend(reader)
        return frames, reader.stats.packets_damaged


def check_times(frames: list[Frame]) -> list[int]:
    """Hold the time of every frame against the number that it shows; return the numbers.

    One that is smeared shows none.
    """
    shown = []
    for frame in frames:
        with suppress(ValueError):
            shown.append((frame.pts_s, read_index(frame.pixels)))
    first_s, first = shown[0]
    for pts_s, index in shown:
        assert pts_s - first_s == pytest.approx((index - first) / FPS, abs=1e-3)
    return [index for _, index in shown]


def test_stream_that_is_sent_here_is_read_from_where_it_was_met(stream: bytes) -> None:
    with open_udp_camera(stream, N / FPS) as address:
        frames, n_damaged = read(address)
    indices = check_times(frames)
    assert indices == [*range(indices[0], N)]
    assert len(indices) > N / 2
    assert n_damaged == 0


def test_lost_packets_are_counted_and_move_no_time(stream: bytes) -> None:
    with open_udp_camera(stream, N / FPS, loses_every=12) as address:
        frames, n_damaged = read(address)
    indices = check_times(frames)
    assert len(indices) < indices[-1] - indices[0] + 1, "some pictures are lost"
    assert len(indices) > N / 4, "and the others are read on"
    assert n_damaged > 0


@pytest.mark.parametrize(
    "address",
    [
        "udp://127.0.0.1",
        "udp://camera.local:5000",
        "udp://0.0.0.0:5000/x",
        "udp://0.0.0.0:5000?localport=22",
        "udp://0.0.0.0:5000?source=10.0.0.7&pkt_size=9",
        "udp://0.0.0.0:5000?source=camera",
        "udp://ada@0.0.0.0:5000",
    ],
)
def test_only_a_port_of_this_machine_is_listened_at(address: str) -> None:
    assert is_live_uri(address)
    with pytest.raises(MediaRefusedError, match="no address"):
        probe(address, LIMITS)


def test_sender_is_shown_and_others_are_not_heard(stream: bytes) -> None:
    assert redact("udp://0.0.0.0:5000?source=10.0.0.7") == "udp://0.0.0.0:5000?source=10.0.0.7"
    limits = MediaLimits(open_timeout_s=2.0)
    with (
        open_udp_camera(stream, N / FPS) as address,
        pytest.raises(UnreachableError, match="no MPEG-TS comes in there"),
    ):
        probe(f"{address}?source=10.0.0.7", limits)
