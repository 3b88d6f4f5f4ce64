"""Times as people write them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.timefmt import format_duration, format_offset, parse_time, wall_clock


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("95", 95), ("1:35", 95), ("1:02:03.5", 3723.5), ("90m", 5400), ("1h30m", 5400), ("7s", 7)],
)
def test_offsets_in_every_notation(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


def test_iso_moment_becomes_utc() -> None:
    assert parse_time("2026-03-01T22:00+02:00") == datetime(2026, 3, 1, 20, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "soon", "1:2:3:4", "-5", "h"])
def test_nonsense_is_refused_with_what_is_understood(text: str) -> None:
    with pytest.raises(ValueError, match="ISO 8601"):
        parse_time(text)


@given(st.floats(min_value=0, max_value=1e6))
def test_formatted_offset_reads_back(time_s: float) -> None:
    assert parse_time(format_offset(time_s)) == pytest.approx(time_s, abs=0.001)


def test_wall_clock_of_a_video_without_one_is_none() -> None:
    assert wall_clock(None, 5.0) is None
    start_at = datetime(2026, 3, 1, tzinfo=UTC)
    assert wall_clock(start_at, 1.5) == "2026-03-01T00:00:01.500+00:00"


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(1, "1 second"), (8, "8 seconds"), (90, "1.5 minutes"), (3600, "1 hour"), (7380, "2 hours")],
)
def test_durations_in_words(duration_s: float, text: str) -> None:
    assert format_duration(duration_s).startswith(text.split()[0].split(".")[0])
    assert format_duration(duration_s).split()[1] == text.split()[1]
