"""Feeds that are read as single videos."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.services.context import ServiceContext
from app.services.feeds import elapsed_s
from engine.pipeline.resume import ResumePoint
from storage.records import StartClock

BEGAN = datetime(2026, 3, 1, 22, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("source", "since", "expected_s"),
    [("live", 600.0, 600.0), ("live", -5.0, 24.0), ("user", 600.0, 24.0)],
    ids=["wall clock", "clock that was set back", "clock that somebody set"],
)
def test_feed_goes_on_by_the_clock_of_its_reading(
    context: ServiceContext, source: str, since: float, expected_s: float
) -> None:
    row = context.catalog.videos.add(
        name="gate",
        uri="rtsp://10.0.0.7/live",
        clock=replace(StartClock(at=BEGAN, source="live"), source=source),
    )
    point = ResumePoint(ordinal=3, after_s=24.0, frames_sampled=24)
    behind_s = elapsed_s(row, point, BEGAN + timedelta(seconds=since))
    assert behind_s == pytest.approx(expected_s, abs=0.01)
    assert behind_s > 24.0
