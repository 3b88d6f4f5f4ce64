"""Rules over what observers state: once per event, in their hours and places, live as tried."""

from datetime import UTC, datetime, timedelta

import pytest

from app.schemas.alerts import (
    AlertCondition,
    AlertLine,
    CreateAlertRuleRequest,
    UpdateAlertRuleRequest,
)
from app.services.access import Access
from app.services.alert_rules import add_rule, change_rule, list_rules, remove_rule, show_rule
from app.services.alert_silence import watch_silence
from app.services.alerts import decide_alert, list_alerts, show_alert, try_alert_rule
from app.services.camera_registry import list_cameras
from app.services.context import ServiceContext
from app.services.library import list_videos
from app.services.timelines import gaps_in_scope
from engine.errors import InputRefusedError, NotFoundError
from engine.records import ALL_TIME, VideoId
from storage.alert_records import AlertRow
from storage.records import CameraId
from tests.support.observations import track, words
from tests.support.watched import add_camera, add_rules, add_video, look, observe

NIGHT = datetime(2026, 1, 15, 22, 30, tzinfo=UTC)
"""A Thursday; 23:30 in Berlin."""


class Viewer:
    """Somebody who may see some videos."""

    def __init__(self, *granted: VideoId) -> None:
        self.granted = frozenset(granted)

    def may_see(self, video: VideoId) -> bool:
        return video in self.granted

    def may_see_camera(self, camera: CameraId) -> bool:
        return False


def person(**changes: object) -> AlertCondition:
    return AlertCondition(kind="object", words="a person", **{"cooldown_s": 0, **changes})  # type: ignore[arg-type]


def starts(alerts: tuple[AlertRow, ...]) -> list[float]:
    return [alert.span.start_s for alert in alerts]


def test_track_that_goes_on_is_one_alert(context: ServiceContext) -> None:
    add_rules(context, door=person())
    video = add_video(context)
    assert starts(look(context, video, 10.0, [track("person", 4, 10)])) == [4.0]
    assert look(context, video, 20.0, [track("person", 4, 20)]) == ()
    (alert,) = list_alerts(context).alerts
    assert (alert.start_s, alert.end_s, alert.state) == (4.0, 20.0, "open")
    assert alert.judged_by == "observations"
    assert [row.label for row in alert.evidence] == ["person"]
    assert starts(look(context, video, 40.0, [track("person", 30, 35, number=2)])) == [30.0]


def test_rule_without_its_thing_stays_silent(context: ServiceContext) -> None:
    add_rules(context, door=person())
    video = add_video(context)
    rows = [track("car", 1, 9), track("person", 2, 6, number=2, confidence=0.3)]
    assert look(context, video, 10.0, rows) == ()


def test_what_was_seen_before_the_rule_is_for_a_dry_run(context: ServiceContext) -> None:
    video = add_video(context)
    observe(context, video, 60.0, [track("person", 4, 10)])
    add_rules(context, door=person())
    assert look(context, video, 70.0, [track("person", 64, 66, number=2)])[0].span.start_s == 64.0
    tried = try_alert_rule(context, "door")
    assert [alert.start_s for alert in tried.alerts] == [4.0, 64.0]
    assert (tried.events, tried.searched_s) == (2, 70.0)


def test_rule_that_is_off_raises_nothing_and_begins_anew_when_it_is_on(
    context: ServiceContext,
) -> None:
    add_rules(context, door=person())
    video = add_video(context)
    change_rule(context, "door", UpdateAlertRuleRequest(enabled=False))
    assert look(context, video, 20.0, [track("person", 4, 10)]) == ()
    change_rule(context, "door", UpdateAlertRuleRequest(enabled=True))
    assert look(context, video, 40.0, [track("person", 25, 30, number=2)]) != ()
    assert starts(tuple(context.catalog.alerts.list())) == [25.0]


def test_rule_at_night_keeps_local_hours(context: ServiceContext) -> None:
    add_rules(context, night=person(hours="23:45-06:00", days=["thu"]))
    video = add_video(context, start_at=NIGHT, timezone="Europe/Berlin")
    # 23:30 is too early; 23:50 is not; 00:10 belongs to Thursday's night.
    rows = [
        track("person", 10, 20),
        track("person", 1200, 1210, number=2),
        track("person", 2400, 2410, number=3),
    ]
    assert starts(look(context, video, 3000.0, rows)) == [1200.0, 2400.0]
    (early, _) = list_alerts(context).alerts[::-1]
    assert early.start_at == "2026-01-15T23:50:00.000+01:00"


def test_somebody_who_stays_into_the_hours_is_noticed_when_they_begin(
    context: ServiceContext,
) -> None:
    add_rules(context, night=person(hours="23:45-06:00"))
    video = add_video(context, start_at=NIGHT, timezone="Europe/Berlin")
    assert look(context, video, 600.0, [track("person", 500, 600)]) == ()
    assert starts(look(context, video, 1000.0, [track("person", 500, 1000)])) == [900.0]


def test_video_without_a_clock_has_no_hours_and_the_rule_says_so(context: ServiceContext) -> None:
    add_rules(context, night=person(hours="00:00-23:59"))
    video = add_video(context)
    assert look(context, video, 20.0, [track("person", 4, 10)]) == ()
    notes = show_rule(context, "night").notes
    assert any("1 video has no wall clock" in note for note in notes)


def test_cool_down_holds_back_and_is_counted_when_tried(context: ServiceContext) -> None:
    add_rules(context, door=person(cooldown_s=60))
    video = add_video(context)
    rows = [track("person", at, at + 5, number=at) for at in (10, 40, 80)]
    assert starts(look(context, video, 100.0, rows)) == [10.0, 80.0]
    tried = try_alert_rule(context, "door")
    assert [alert.start_s for alert in tried.alerts] == [10.0, 80.0]
    assert (tried.events, tried.within_cooldown) == (3, 1)


def test_cool_down_reaches_over_a_restart_of_the_camera(context: ServiceContext) -> None:
    add_rules(context, door=person(cooldown_s=600))
    address = "rtsp://10.0.0.5/gate"
    first = add_video(context, "gate", start_at=NIGHT, uri=address)
    look(context, first, 20.0, [track("person", 4, 10)])
    later = add_video(context, "gate again", start_at=NIGHT.replace(minute=35), uri=address)
    assert look(context, later, 20.0, [track("person", 4, 10)]) == ()
    other = add_video(context, "yard", start_at=NIGHT.replace(minute=35), uri="rtsp://10.0.0.6/y")
    assert look(context, other, 20.0, [track("person", 4, 10)]) != ()


def test_rule_about_a_camera_holds_when_it_is_opened_anew(context: ServiceContext) -> None:
    address = "rtsp://10.0.0.5/gate"
    first = add_video(context, "gate", uri=address)
    add_rules(context, gate=person(videos=[first.id]))
    later = add_video(context, "gate again", uri=address)
    yard = add_video(context, "yard", uri="rtsp://10.0.0.6/yard")
    assert look(context, yard, 20.0, [track("person", 4, 10)]) == ()
    assert look(context, later, 20.0, [track("person", 4, 10)]) != ()


def test_rule_about_a_camera_is_about_every_part_of_its_timeline(
    context: ServiceContext,
) -> None:
    gate = add_camera(context, "Gate")
    add_rules(context, gate=person(cameras=["gate"], cooldown_s=600))
    first = add_video(context, "part 1", start_at=NIGHT, camera=gate)
    second = add_video(context, "part 2", start_at=NIGHT.replace(minute=35), camera=gate)
    other = add_video(context, "elsewhere", start_at=NIGHT)
    assert look(context, other, 20.0, [track("person", 4, 10)]) == ()
    assert look(context, first, 20.0, [track("person", 4, 10)]) != ()
    # Five minutes later, after a restart: within the cool-down of the same camera.
    assert look(context, second, 20.0, [track("person", 4, 10)]) == ()
    assert look(context, second, 900.0, [track("person", 800, 810, number=2)]) != ()
    assert {alert.camera for alert in list_alerts(context).alerts} == {"Gate"}


def test_camera_without_a_picture_is_noticed_once_and_again_when_it_came_back(
    context: ServiceContext,
) -> None:
    gate = add_camera(context, "Gate")
    add_rules(context, silent=AlertCondition(kind="no_picture", too_long_s=60, cooldown_s=0))
    add_video(context, "part 1", start_at=NIGHT, camera=gate)

    def frame_at(seconds: float) -> None:
        at = NIGHT + timedelta(seconds=seconds)
        context.catalog.cameras.count(gate, last_frame_at=at)

    def look_at(seconds: float) -> list[float]:
        return starts(watch_silence(context, NIGHT + timedelta(seconds=seconds)))

    frame_at(100)
    assert look_at(130) == []
    assert look_at(170) == [100.0]
    assert look_at(300) == []
    (alert,) = list_alerts(context).alerts
    assert (alert.end_s, alert.judged_by) == (300.0, "clock")
    assert alert.reason == "no picture came for 1 min"
    add_video(context, "part 2", start_at=NIGHT + timedelta(seconds=400), camera=gate)
    frame_at(410)
    assert look_at(420) == []
    assert look_at(480) == [10.0]
    context.catalog.cameras.change(gate, enabled=False)
    assert look_at(900) == []


def test_camera_that_was_never_seen_is_noticed_once(context: ServiceContext) -> None:
    gate = add_camera(context, "Gate")
    add_camera(context, "Yard")
    added_at = context.catalog.cameras.get(gate).created_at
    silent = AlertCondition(kind="no_picture", too_long_s=60, cooldown_s=0, cameras=[gate])
    add_rules(context, silent=silent)

    def look_at(seconds: float) -> list[float]:
        return starts(watch_silence(context, added_at + timedelta(seconds=seconds)))

    assert look_at(50) == []
    assert list_videos(context).videos == []
    assert look_at(70) == [0.0]
    assert look_at(300) == []
    (alert,) = list_alerts(context).alerts
    assert (alert.camera, alert.end_s, alert.judged_by) == ("Gate", 300.0, "clock")
    assert alert.reason == "no picture came for 1 min"
    assert [item.name for item in list_videos(context).videos] == ["Gate, not seen yet"]
    seen, _ = sorted(list_cameras(context).cameras, key=lambda item: item.name)
    assert (seen.filmed_s, seen.timeline) == (0, [])
    # It comes at last, and what lies before is a gap.
    video = add_video(context, "part 1", start_at=added_at + timedelta(seconds=400), camera=gate)
    context.catalog.cameras.count(gate, last_frame_at=added_at + timedelta(seconds=405))
    assert look_at(410) == []
    assert look_at(470) == [5.0]
    scope = [(row.id, ALL_TIME) for row in context.catalog.videos.list() if row.camera == gate]
    assert len(scope) == 2
    assert gaps_in_scope(context, scope)[0].camera == "Gate"
    assert context.catalog.videos.get(video.id).camera == gate


def test_zone_line_and_stay(context: ServiceContext) -> None:
    right = [(0.6, 0.0), (1.0, 0.0), (1.0, 1.0), (0.6, 1.0)]
    line = AlertLine(start=(0.5, 0.0), end=(0.5, 1.0), direction="left")
    add_rules(
        context,
        zone=person(zone=right),
        lingers=person(zone=right, least_s=5),
        leaves=person(line=line),
    )
    video = add_video(context)
    walk = track("person", 0, 8, x=(0.1, 0.9))
    assert [alert.rule for alert in look(context, video, 12.0, [walk])] == ["zone"]
    back = track("person", 20, 36, x=(0.9, 0.1), number=2)
    alerts = {alert.rule: alert for alert in look(context, video, 50.0, [back])}
    assert set(alerts) == {"zone", "lingers", "leaves"}
    assert alerts["leaves"].span.start_s == pytest.approx(28.0)
    assert "crossed its line going left" in alerts["leaves"].reason


def test_words_read_and_said(context: ServiceContext) -> None:
    add_rules(
        context,
        sign=AlertCondition(kind="text", words="keep out"),
        cry=AlertCondition(kind="speech", words="help"),
    )
    video = add_video(context)
    read = [words("text", 3, 9, "PLEASE KEEP OUT"), words("text", 20, 22, "KEEP LEFT")]
    assert [a.reason for a in look(context, video, 30.0, read, kind="text")] == [
        "print reads 'PLEASE KEEP OUT'"
    ]
    spoken = [words("speech", 5, 7, "Can somebody help me?")]
    (cry,) = look(context, video, 30.0, spoken, kind="speech")
    assert (cry.rule, cry.reason) == ("cry", "'Can somebody help me?' is said")


def test_quiet_for_too_long_is_raised_once(context: ServiceContext) -> None:
    add_rules(context, still=AlertCondition(kind="no_motion", too_long_s=30, cooldown_s=0))
    video = add_video(context)
    moved = track("movement", 2, 8, kind="motion")
    assert look(context, video, 30.0, [moved], kind="motion") == ()
    (alert,) = look(context, video, 60.0, kind="motion")
    assert (alert.span.start_s, alert.reason) == (8.0, "nothing moved for 30 s")
    assert look(context, video, 90.0, kind="motion") == ()
    assert list_alerts(context).alerts[0].end_s == 90.0
    again = track("movement", 91, 95, kind="motion", number=2)
    look(context, video, 100.0, [again], kind="motion")
    assert starts(look(context, video, 140.0, kind="motion")) == [95.0]


def test_live_raises_what_a_dry_run_says(context: ServiceContext) -> None:
    add_rules(context, door=person(cooldown_s=20))
    video = add_video(context)
    visits = [(3, 9), (10, 14), (31, 55), (60, 61), (90, 130)]
    for until in range(10, 150, 10):
        rows = [
            track("person", start, min(end, until), number=number)
            for number, (start, end) in enumerate(visits, start=1)
            if start < until
        ]
        look(context, video, float(until), rows)
    tried = try_alert_rule(context, "door")
    live = list_alerts(context).alerts[::-1]
    assert [(a.start_s, a.end_s) for a in live] == [(a.start_s, a.end_s) for a in tried.alerts]
    assert [a.start_s for a in live] == [3.0, 31.0, 60.0, 90.0]


def test_dry_run_of_a_stretch_and_of_a_rule_that_is_not_kept(context: ServiceContext) -> None:
    video = add_video(context, start_at=NIGHT)
    observe(context, video, 100.0, [track("person", 4, 10), track("car", 50, 60, number=2)])
    tried = try_alert_rule(
        context, condition=AlertCondition(kind="object", words="a car", sure=0.1)
    )
    assert [alert.start_s for alert in tried.alerts] == [50.0]
    assert list_alerts(context).alerts == []
    with pytest.raises(NotFoundError, match="no alert rule 'nothing'"):
        try_alert_rule(context, "nothing")


def test_viewer_sees_the_alerts_of_their_videos_alone(context: ServiceContext) -> None:
    add_rules(context, door=person())
    gate, yard = add_video(context, "gate"), add_video(context, "yard")
    look(context, gate, 10.0, [track("person", 1, 5)])
    (of_yard,) = look(context, yard, 10.0, [track("person", 2, 6)])
    vera: Access = Viewer(gate.id)
    seen = list_alerts(context, vera)
    assert [alert.video for alert in seen.alerts] == ["gate"]
    assert seen.open == 1
    with pytest.raises(NotFoundError, match="no alert 2"):
        show_alert(context, of_yard.id, vera)
    with pytest.raises(NotFoundError):
        decide_alert(context, of_yard.id, "acknowledged", "vera", vera)
    with pytest.raises(NotFoundError):
        list_alerts(context, vera, video=yard.id)


def test_answers_make_the_precision_of_a_rule(context: ServiceContext) -> None:
    add_rules(context, door=person())
    video = add_video(context)
    rows = [track("person", at, at + 5, number=at) for at in (10, 30, 50)]
    first, second, _ = look(context, video, 100.0, rows)
    assert show_rule(context, "door").alerts.precision is None
    decide_alert(context, first.id, "acknowledged", "ada")
    decided = decide_alert(context, second.id, "false_alarm", "ada")
    assert (decided.state, decided.decided_by) == ("false_alarm", "ada")
    counts = list_rules(context).rules[0].alerts
    assert (counts.precision, counts.n, counts.open) == (0.5, 2, 1)


def test_alerts_outlive_their_rule(context: ServiceContext) -> None:
    add_rules(context, door=person())
    look(context, add_video(context), 10.0, [track("person", 1, 5)])
    remove_rule(context, "door")
    assert [alert.rule for alert in list_alerts(context).alerts] == ["door"]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (AlertCondition(kind="object"), "needs words"),
        (AlertCondition(kind="motion", words="a car"), "takes no words"),
        (AlertCondition(kind="object", words="a grievance"), "recognises 'a grievance'"),
        (AlertCondition(kind="object", words="a policeman"), "from any other person"),
        (AlertCondition(kind="object", words="a person with a dog"), "more than one thing"),
        (AlertCondition(kind="object", words="two persons"), "more than one thing"),
        (AlertCondition(kind="text", words="the"), "no words to look for"),
        (AlertCondition(kind="motion", hours="late"), "'late' are no hours"),
        (AlertCondition(kind="motion", zone=[(0, 0), (1, 1)]), "3 to 32 corners"),
        (
            AlertCondition(kind="motion", line=AlertLine(start=(0.5, 0.5), end=(0.5, 0.5))),
            "ends of a line",
        ),
        (
            AlertCondition(kind="speech", words="help", zone=[(0, 0), (1, 0), (1, 1)]),
            "no place on the picture",
        ),
    ],
)
def test_condition_that_can_never_hold_is_refused(
    context: ServiceContext, condition: AlertCondition, message: str
) -> None:
    with pytest.raises(InputRefusedError, match=message):
        add_rule(context, CreateAlertRuleRequest(name="door", condition=condition))


def test_rule_about_what_is_not_there_is_refused(context: ServiceContext) -> None:
    with pytest.raises(NotFoundError, match="no destination 'phone'"):
        add_rules(context, door=person(destinations=["phone"]))
    with pytest.raises(NotFoundError):
        add_rules(context, door=person(videos=["nowhere"]))
