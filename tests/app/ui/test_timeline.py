"""Timeline, heat map and calendar as markup: values are drawn, and text in them stays text."""

import re
from typing import Any

from app.schemas.days import DayEvent, DayItem, DayLane, DayResponse, DayStretch
from app.ui.components.heat import HeatCell, HeatData, HeatMap, HeatTable
from app.ui.components.table import Table
from app.ui.components.timeline import (
    MOST_DRAWN,
    ActivityBar,
    LaneSpan,
    Timeline,
    TimelineLane,
    TimelineState,
)
from app.ui.day import DAY_S, draw_calendar, draw_comparison, draw_day

TRAP = '<img src=x onerror=alert(1)> ${1+1} "{{x}}"'


def drawn(state: TimelineState) -> str:
    """The markup of a timeline."""
    return Timeline().postprocess(state)


def lane(*spans: LaneSpan, name: str = "person") -> TimelineLane:
    return TimelineLane(name=name, kind="object", spans=spans)


def test_names_and_labels_stay_text() -> None:
    span = LaneSpan(start_s=1.0, end_s=2.0, label=TRAP)
    markup = drawn(TimelineState(duration_s=10.0, lanes=(lane(span, name=TRAP),), names=TRAP))
    assert "<img src=x" not in markup
    # A lane has its name once more where that is cut.
    assert markup.count("&lt;img src=x") == 4


def test_span_of_a_day_names_its_video_and_second() -> None:
    span = LaneSpan(start_s=32_400.0, end_s=32_410.0, video_id="gate", from_s=5.0)
    markup = drawn(TimelineState(duration_s=DAY_S, lanes=(lane(span),)))
    assert 'x="32400.000" y="1" width="10.000"' in markup
    assert 'data-video="gate" data-from="5.000"' in markup
    # An axis of no video has no activity.
    assert "tl-quiet" not in markup


def test_thousands_of_spans_flow_into_what_can_be_seen() -> None:
    spans = [LaneSpan(start_s=second, end_s=second + 0.9) for second in range(5_000)]
    markup = drawn(TimelineState(duration_s=5_000.0, lanes=(lane(*spans),)))
    assert markup.count("<rect") < MOST_DRAWN
    widths = [float(width) for width in re.findall(r'width="([\d.]+)" height="8"', markup)]
    assert sum(widths) >= 4_999


def test_what_is_not_read_yet_is_named() -> None:
    bars = (ActivityBar(start_s=0.0, end_s=10.0, level=1.0, similarity=0.8),)
    state = TimelineState(video_id="gate", duration_s=60.0, read_s=10.0, activity=bars)
    markup = drawn(state)
    assert 'class="tl-unread" x="10.000" y="0" width="50.000"' in markup
    assert "not read yet" in markup
    assert "similar to the question" in markup
    assert "not read yet" not in drawn(TimelineState(video_id="gate", duration_s=60.0))


def test_day_is_shown_near_enough_to_see_its_footage() -> None:
    filmed: dict[str, Any] = {
        "video_id": "gate",
        "video": "gate",
        "start_s": 0.0,
        "end_s": 60.0,
        "start": "0:00:00.000",
        "end": "0:01:00.000",
        "clock_s": 43_200.0,
    }
    seen = {**filmed, "kind": "speech", "label": "", "text": TRAP, "count": 2, "peak_s": 3.0}
    row = DayLane(
        key="gate",
        name="gate",
        stretches=[DayStretch(**filmed)],
        events=[DayEvent(**seen)],
    )
    state = draw_day(DayResponse(date="2026-03-01", filmed_s=60.0, lanes=[row]))
    assert [lane.name for lane in state.lanes] == ["gate", "speech"]
    assert state.view is not None
    start_s, end_s = state.view
    assert start_s < 43_200 < 43_260 < end_s
    assert end_s - start_s < 3_600
    assert "<img src=x" not in drawn(state)


def day_of(date: str, name: str, *events: tuple[str, str, int]) -> DayResponse:
    """A day with a minute of one source, in which events of a kind and label happened."""
    at: dict[str, Any] = {"video_id": name, "video": name, "start": "", "end": ""}
    at |= {"start_s": 0.0, "end_s": 60.0, "clock_s": 43_200.0}
    seen = [
        DayEvent(**at, kind=kind, label=label, text="", count=1, peak_s=0.0)
        for kind, label, number in events
        for _ in range(number)
    ]
    lane = DayLane(key=name, name=name, stretches=[DayStretch(**at)], events=seen)
    return DayResponse(date=date, filmed_s=60.0, lanes=[lane])


def test_days_are_compared_source_by_source() -> None:
    day = day_of("2026-03-01", "gate", ("object", "person", 3), ("motion", "", 1))
    other = day_of("2026-03-02", "gate", ("object", "person", 1), ("object", TRAP, 2))
    table = draw_comparison(day, other)
    assert table.columns == ("Source", "What", "Sun 1 Mar", "Mon 2 Mar")
    assert [row.cells[1:] for row in table.rows] == [
        ("filmed", "1 minute", "1 minute"),
        ("person", "3", "1"),
        (TRAP, "0", "2"),
        ("movement", "1", "0"),
    ]
    assert "<img src=x" not in Table().postprocess(table)
    elsewhere = draw_comparison(day, day_of("2026-03-02", "yard"))
    assert [row.cells for row in elsewhere.rows if row.cells[1] == "filmed"] == [
        ("gate", "filmed", "1 minute", "nothing"),
        ("yard", "filmed", "nothing", "1 minute"),
    ]


def test_days_that_are_compared_show_the_same_hours() -> None:
    day, other = day_of("2026-03-01", "gate"), day_of("2026-03-02", "gate")
    other.lanes[0].stretches[0].clock_s = 3_600.0
    view = draw_day(day, other).view
    assert view == draw_day(other, day).view
    assert view is not None
    assert view[0] < 3_600 < 43_260 < view[1]


def test_calendar_offers_days_with_footage_and_turns_the_year() -> None:
    days = {"2026-12-05": DayItem(date="2026-12-05", videos=1, filmed_s=90.0)}
    markup = draw_calendar("2026-12", days, "2026-12-05")
    assert re.findall(r'data-action="day" data-key="([\d-]+)"', markup) == ["2026-12-05"]
    assert re.findall(r'data-action="month" data-key="([\d-]+)"', markup) == ["2026-11", "2027-01"]
    assert 'aria-pressed="true"' in markup


def test_cells_of_a_heat_map_say_what_they_show() -> None:
    table = HeatTable(
        title="Answers right",
        corner="depth",
        rows=("0 %", "50 %"),
        columns=(("64 frames", "1:04"),),
        cells=(HeatCell(key="0", row="0 %", column="64 frames", part=3, whole=4, before=0.5),),
    )
    markup = HeatMap().postprocess(HeatData(tables=(table,), chosen="0"))
    assert markup.count("<button") == 1
    # The words that are seen begin the name: whoever speaks to the page says those.
    assert 'aria-label="0.75 +0.25: Answers right, 64 frames, 0 %, 3 of 4' in markup
    assert 'aria-pressed="true"' in markup
    assert "not measured yet" in markup
