"""Times as people write them."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.timefmt import (
    format_clock,
    format_duration,
    format_offset,
    parse_time,
    parse_zone,
    to_utc,
    wall_clock,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("95", 95), ("1:35", 95), ("1:02:03.5", 3723.5), ("90m", 5400), ("1h30m", 5400), ("7s", 7)],
)
def test_offsets_in_every_notation(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (3.241, "0:03"), (599.9, "9:59"), (7325, "2:02:05")]
)
def test_clock_is_what_people_read(seconds: float, text: str) -> None:
    assert format_clock(seconds) == text


def test_iso_moment_becomes_utc() -> None:
    assert parse_time("2026-03-01T22:00+02:00") == datetime(2026, 3, 1, 20, tzinfo=UTC)


def test_iso_moment_without_a_zone_is_of_a_local_clock() -> None:
    assert parse_time("2026-07-01T22:00") == datetime(2026, 7, 1, 22)
    berlin = ZoneInfo("Europe/Berlin")
    assert to_utc(datetime(2026, 7, 1, 22), berlin) == datetime(2026, 7, 1, 20, tzinfo=UTC)
    assert to_utc(datetime(1, 1, 1), berlin) == datetime(1, 1, 1, tzinfo=UTC)


def test_zones_are_names_or_offsets() -> None:
    assert parse_zone("Europe/Berlin") == ZoneInfo("Europe/Berlin")
    assert parse_zone("+05:30") == timezone(timedelta(hours=5, minutes=30))
    assert parse_zone("-8") == timezone(timedelta(hours=-8))


@pytest.mark.parametrize("name", ["", "Mars/Base", "../etc/passwd", "+25:00", "12", "a" * 300])
def test_zone_that_there_is_not_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no time zone"):
        parse_zone(name)


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
    assert wall_clock(start_at, 0.0, ZoneInfo("Asia/Tokyo")) == "2026-03-01T09:00:00.000+09:00"


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(1, "1 second"), (8, "8 seconds"), (90, "1.5 minutes"), (3600, "1 hour"), (7380, "2 hours")],
)
def test_durations_in_words(duration_s: float, text: str) -> None:
    assert format_duration(duration_s).startswith(text.split()[0].split(".")[0])
    assert format_duration(duration_s).split()[1] == text.split()[1]


@pytest.mark.parametrize("hours", [-14, 0, 14])
def test_moment_past_the_calendar_is_its_last(hours: int) -> None:
    start = datetime(9999, 12, 31, 23, 59, 50, tzinfo=UTC)
    text = wall_clock(start, 60.0, timezone(timedelta(hours=hours)))
    assert text is not None
    assert text.startswith("9999-12-31T")
