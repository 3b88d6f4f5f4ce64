"""Time stamps of live feeds: continuous whatever the camera's clock does, and true to arrival."""

from collections.abc import Iterable
from fractions import Fraction

import av
import pytest

from engine.media.feed_stamps import FeedStamps

TICKS_S = 90_000
FPS = 5


class Arrival:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def arrival() -> Arrival:
    return Arrival()


def stamps_of(arrival: Arrival, container: str = "rtsp") -> FeedStamps:
    out = av.open("/dev/null", "w", format="mpegts")
    stream = out.add_stream("libx264", rate=FPS)
    stream.time_base = Fraction(1, TICKS_S)
    return FeedStamps(stream, container, now=arrival)


def corrected(
    stamps: FeedStamps, arrival: Arrival, feed: Iterable[tuple[float, float | None]]
) -> list[float]:
    """The times at which packets are shown that arrive at given moments with given stamps."""
    times = []
    for at_s, stamp_s in feed:
        packet = av.Packet(b"x")
        packet.pts = packet.dts = None if stamp_s is None else round(stamp_s * TICKS_S)
        arrival.now_s = 1000.0 + at_s
        stamps.correct(packet)
        assert packet.pts is not None
        times.append(packet.pts / TICKS_S)
    return times


def test_stamps_that_fit_their_arrival_stay(arrival: Arrival) -> None:
    stamps = stamps_of(arrival)
    # Late and early, by what a network does; then a pause of the camera itself.
    feed = [(0.1, 7.0), (0.9, 7.2), (0.91, 7.4), (0.92, 7.6), (30.0, 36.7)]
    assert corrected(stamps, arrival, feed) == pytest.approx([7.0, 7.2, 7.4, 7.6, 36.7])
    # The packet that was the least late tells when 0 was.
    assert stamps.zero_at_s == pytest.approx(1000 + 30.0 - 36.7)


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, 10.0, -(2**32) / TICKS_S])
def test_clock_that_is_set_leaves_no_hole(arrival: Arrival, step_s: float) -> None:
    stamps = stamps_of(arrival)
    feed = [(n / FPS, n / FPS + (step_s if n >= 10 else 0.0)) for n in range(20)]
    times = corrected(stamps, arrival, feed)
    assert times == pytest.approx([n / FPS for n in range(20)], abs=1e-4)


def test_clock_that_stands_still_is_given_up(arrival: Arrival) -> None:
    stamps = stamps_of(arrival)
    feed = [(n / FPS, min(n / FPS, 30.0)) for n in range(60 * FPS)]
    times = corrected(stamps, arrival, feed)
    assert times[-1] > 50, "the hour goes on though the camera's does not"
    assert times == sorted(times)


@pytest.mark.parametrize("container", ["mpjpeg", "h264"])
def test_where_stamps_are_assumed_arrival_counts(arrival: Arrival, container: str) -> None:
    stamps = stamps_of(arrival, container)
    feed = [(at_s, n / 25) for n, at_s in enumerate([0.0, 1.0, 2.5, 2.6])]
    assert corrected(stamps, arrival, feed) == pytest.approx([0.0, 1.0, 2.5, 2.6], abs=1e-4)
    unstamped = stamps_of(arrival)
    assert corrected(unstamped, arrival, [(5.0, None), (5.5, None)]) == pytest.approx([0.0, 0.5])


def test_pictures_that_a_demuxer_holds_back_are_not_late(arrival: Arrival) -> None:
    stamps = stamps_of(arrival, "mpegts")
    # Each is handed out when the second one behind it has begun; the last ones at once, at the end.
    feed = [((n + 2) / FPS, n / FPS) for n in range(20)]
    corrected(stamps, arrival, [*feed, (21.5 / FPS, 20 / FPS), (21.5 / FPS, 21 / FPS)])
    assert stamps.zero_at_s == pytest.approx(1000.0, abs=0.01)
