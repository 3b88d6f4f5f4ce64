"""Days as the clocks of the videos have them."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.services.context import ServiceContext
from app.services.days import JOIN_S, compare_days, day_view, list_days
from app.services.wall_clock import ClockChange, change_clock
from app.worker.foreground import ingest_now
from engine.errors import InputRefusedError, NotFoundError
from engine.records import Observed, TimeSpan, VideoId
from storage.records import CameraId
from tests.app.services.conftest import DURATION_S, open_library
from tests.support.observations import COCO, track
from tests.support.site import draw_clip

DAY = "2026-03-01"


class OneVideo:
    """Access of a viewer who was granted one video."""

    def __init__(self, video: VideoId) -> None:
        self.granted: frozenset[VideoId] | None = frozenset({video})

    def may_see(self, video: VideoId) -> bool:
        """Tell whether it is the one."""
        return self.granted is not None and video in self.granted

    def may_see_camera(self, camera: CameraId) -> bool:
        """Tell that no camera was granted."""
        return False


@pytest.fixture
def library(tmp_path: Path, checkpoint: Path, clip: Path) -> Iterator[ServiceContext]:
    """One recording from 08:00 in Berlin, in which a person came twice."""
    opened = open_library(tmp_path / "home", checkpoint, sight__observers=[])
    ingest_now(opened, [str(clip)], name="door", observes=False)
    set_clock(opened, datetime(2026, 3, 1, 7, 0, 0, tzinfo=UTC))
    video = opened.catalog.videos.resolve("door").id
    rows = [
        track("person", 2, 4, video=video),
        track("person", 5, 6, number=2, confidence=0.9, video=video),
    ]
    whole = TimeSpan(start_s=0.0, end_s=float(DURATION_S))
    reach = Observed(video=video, kind="object", model="by hand", labels=COCO, span=whole)
    opened.catalog.observations.replace(video, "object", rows, reach)
    yield opened
    opened.close()


def set_clock(context: ServiceContext, at: datetime, zone: str = "Europe/Berlin") -> None:
    """Say when the recording begins."""
    change_clock(
        context,
        context.catalog.videos.resolve("door"),
        ClockChange(start_at=at, timezone=zone),
    )


def test_day_has_its_footage_and_events_in_local_time(library: ServiceContext) -> None:
    day = day_view(library, DAY)
    (lane,) = day.lanes
    (stretch,) = lane.stretches
    assert (lane.name, stretch.clock_s, stretch.start_s) == ("door", 8 * 3600, 0)
    assert stretch.start_at == "2026-03-01T08:00:00.000+01:00"
    assert day.filmed_s == pytest.approx(DURATION_S, abs=1)
    (event,) = lane.events
    # Two tracks that follow each other closely are one event, shown by the surer one.
    assert JOIN_S > 1
    assert (event.label, event.count, event.clock_s) == ("person", 2, 8 * 3600 + 2)
    assert event.peak_s >= 5


def test_other_days_and_videos_without_a_clock_hold_nothing(library: ServiceContext) -> None:
    assert day_view(library, "2026-03-02").lanes == []
    change_clock(library, library.catalog.videos.resolve("door"), ClockChange(removes_start=True))
    assert day_view(library, DAY).lanes == []
    assert list_days(library).days == []


def test_recording_over_midnight_is_on_both_days(library: ServiceContext) -> None:
    set_clock(library, datetime(2026, 3, 1, 22, 59, 50, tzinfo=UTC))
    first, second = (day_view(library, day).lanes[0] for day in (DAY, "2026-03-02"))
    assert first.stretches[0].end_s == second.stretches[0].start_s == pytest.approx(10)
    assert second.stretches[0].clock_s == 0
    # What was seen before midnight is not told again.
    assert [event.label for event in first.events] == ["person"]
    assert second.events == []
    assert [(day.date, day.videos) for day in list_days(library, "2026-03").days] == [
        (DAY, 1),
        ("2026-03-02", 1),
    ]
    assert list_days(library, "2026-04").days == []


def test_clock_at_the_end_of_the_calendar_is_a_day_without_an_end(library: ServiceContext) -> None:
    # No command sets it; a library of before, or one that was edited by hand, may hold it.
    with sqlite3.connect(library.settings.home / "longwatch.db") as database:
        database.execute("UPDATE videos SET start_at = '9999-12-31 23:59:58'")
    (day,) = list_days(library).days
    assert (day.date, day.filmed_s) == ("9999-12-31", pytest.approx(DURATION_S, abs=1))
    assert day_view(library, day.date).lanes[0].stretches[0].clock_s == 24 * 3600 - 2


def test_what_one_camera_filmed_is_one_lane(library: ServiceContext, tmp_path: Path) -> None:
    ingest_now(library, [str(draw_clip(tmp_path / "later.mp4", seed=9))], observes=False)
    later = library.catalog.videos.resolve("later")
    at = datetime(2026, 3, 1, 9, 0, 0, tzinfo=UTC)
    change_clock(library, later, ClockChange(start_at=at, timezone="Europe/Berlin"))
    assert [lane.name for lane in day_view(library, DAY).lanes] == ["door", "later"]
    camera = library.catalog.cameras.add(name="Front door", address="rtsp://10.0.0.7/live")
    for name in ("door", "later"):
        video = library.catalog.videos.resolve(name).id
        library.catalog.videos.set_camera(video, camera.id)
    (lane,) = day_view(library, DAY).lanes
    assert (lane.name, lane.key) == ("Front door", f"camera {camera.id}")
    assert [stretch.clock_s for stretch in lane.stretches] == [8 * 3600, 10 * 3600]
    assert [event.label for event in lane.events] == ["person"]
    # Who may see a part, but not the camera, is not told its name.
    (alone,) = day_view(library, DAY, access=OneVideo(later.id)).lanes
    assert alone.name == "later"


def test_viewer_sees_days_of_their_own_videos_alone(library: ServiceContext) -> None:
    other = OneVideo(VideoId("another"))
    assert day_view(library, DAY, access=other).lanes == []
    assert list_days(library, access=other).days == []
    with pytest.raises(NotFoundError):
        day_view(library, DAY, videos=["door"], access=other)


@pytest.mark.parametrize("day", ["today", "2026-13-01", "2026-3-1", "20260301", ""])
def test_what_is_no_day_is_refused(library: ServiceContext, day: str) -> None:
    with pytest.raises(InputRefusedError, match="is no day"):
        day_view(library, day)


def test_what_is_no_month_is_refused(library: ServiceContext) -> None:
    with pytest.raises(InputRefusedError, match="is no month"):
        list_days(library, "March")


def test_two_days_are_compared_source_by_source(library: ServiceContext) -> None:
    compared = compare_days(day_view(library, DAY), day_view(library, "2026-03-02"))
    assert compared.dates == [DAY, "2026-03-02"]
    (door,) = compared.sources
    assert (door.name, door.filmed_s) == ("door", [float(DURATION_S), 0.0])
    assert [(row.what, row.counts) for row in door.seen] == [("person", [1, 0])]
    assert compare_days(day_view(library, "2026-03-02"), day_view(library, DAY)).sources == [
        door.model_copy(
            update={
                "filmed_s": door.filmed_s[::-1],
                "seen": [row.model_copy(update={"counts": row.counts[::-1]}) for row in door.seen],
            }
        )
    ]


def test_night_goes_from_noon_to_noon_and_belongs_to_its_evening(library: ServiceContext) -> None:
    # Twelve seconds before midnight in Berlin: half on either day, and all in one night.
    set_clock(library, datetime(2026, 3, 1, 22, 59, 48, tzinfo=UTC))
    assert [day.date for day in list_days(library).days] == [DAY, "2026-03-02"]
    assert [day.date for day in list_days(library, night=True).days] == [DAY]
    night = day_view(library, DAY, night=True)
    assert (night.is_night, night.filmed_s) == (True, float(DURATION_S))
    (stretch,) = night.lanes[0].stretches
    assert stretch.clock_s == 12 * 3600 - 12.0
    # The morning belongs to the evening before.
    set_clock(library, datetime(2026, 3, 2, 4, 0, 0, tzinfo=UTC))
    (stretch,) = day_view(library, DAY, night=True).lanes[0].stretches
    assert stretch.clock_s == 17 * 3600
    assert day_view(library, "2026-03-02", night=True).lanes == []
