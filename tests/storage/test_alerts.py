"""Rules, alerts raised once, and an outbox that loses nothing and marks what it repeats."""

import threading
from dataclasses import replace

import pytest

from engine.errors import InputRefusedError, NotFoundError
from engine.records import TimeSpan, VideoId
from storage.alert_records import AlertRow, AlertRuleRow, AlertWatchRow, DestinationRow, NewAlert
from storage.catalog import Catalog
from tests.storage.conftest import Clock
from tests.storage.samples import add_ingesting
from tests.support.observations import track

PERSON = replace(track("person", 3, 7), boxes=(), track=None, n_seen=1, n_looked=1)
"""As it is kept: boxes stay with the row."""
SOON_S = 60
"""Longest wait for what is promised; a machine may be busy."""
START = AlertWatchRow(until_s=0.0, state={})


@pytest.fixture
def video(catalog: Catalog) -> VideoId:
    return add_ingesting(catalog)


@pytest.fixture
def rule(catalog: Catalog) -> AlertRuleRow:
    return catalog.alert_rules.add("door", {"what": "object"}, is_enabled=True)


@pytest.fixture
def phone(catalog: Catalog) -> DestinationRow:
    return catalog.destinations.add("phone", "webhook", "https://example.org/***", {})


def new_alert(video: VideoId, start_s: float = 3.0, *, is_dismissed: bool = False) -> NewAlert:
    return NewAlert(
        video=video,
        span=TimeSpan(start_s=start_s, end_s=start_s + 4),
        peak_s=start_s + 1,
        at=None,
        score=0.8,
        reason="a person",
        judged_by="observations",
        evidence=(PERSON,),
        is_dismissed=is_dismissed,
        picture=b"jpeg",
    )


def looked(until_s: float) -> AlertWatchRow:
    return AlertWatchRow(until_s=until_s, state={"end_s": until_s})


def raise_alert(
    catalog: Catalog, rule: AlertRuleRow, video: VideoId, place: DestinationRow
) -> AlertRow:
    (alert,) = catalog.alerts.advance(
        rule, video, START, looked(10), [new_alert(video)], destinations=[place.id]
    )
    return alert


def test_event_that_two_workers_found_is_raised_once(
    catalog: Catalog, rule: AlertRuleRow, video: VideoId, phone: DestinationRow
) -> None:
    raise_alert(catalog, rule, video, phone)
    again = catalog.alerts.advance(rule, video, START, looked(20), [new_alert(video)])
    assert again == ()
    assert catalog.alert_rules.watch(rule.id, video) == looked(10)
    assert len(catalog.alerts.list()) == len(catalog.deliveries.list()) == 1


def test_rule_that_was_changed_meanwhile_raises_nothing(
    catalog: Catalog, rule: AlertRuleRow, video: VideoId
) -> None:
    catalog.alert_rules.change(
        "door", new_name="door", definition={"what": "motion"}, is_enabled=True
    )
    assert catalog.alerts.advance(rule, video, START, looked(10), [new_alert(video)]) == ()


def test_event_that_goes_on_is_extended(
    catalog: Catalog, rule: AlertRuleRow, video: VideoId, phone: DestinationRow
) -> None:
    alert = raise_alert(catalog, rule, video, phone)
    longer = TimeSpan(start_s=3.0, end_s=18.0)
    catalog.alerts.advance(rule, video, looked(10), looked(20), extended=longer)
    assert catalog.alerts.get(alert.id).span == longer


def test_dismissed_alert_is_kept_and_never_sent(
    catalog: Catalog, rule: AlertRuleRow, video: VideoId, phone: DestinationRow
) -> None:
    dismissed = new_alert(video, is_dismissed=True)
    catalog.alerts.advance(rule, video, START, looked(9), [dismissed], destinations=[phone.id])
    assert [alert.state for alert in catalog.alerts.list()] == ["dismissed"]
    assert catalog.deliveries.list() == ()
    assert catalog.alerts.latest(rule.id, [video]) is None


def test_picture_is_read_only_where_it_is_wanted(
    catalog: Catalog, rule: AlertRuleRow, video: VideoId, phone: DestinationRow
) -> None:
    alert = raise_alert(catalog, rule, video, phone)
    assert catalog.alerts.picture(alert.id) == b"jpeg"


def test_evidence_is_kept_as_it_was(
    catalog: Catalog, rule: AlertRuleRow, video: VideoId, phone: DestinationRow
) -> None:
    alert = raise_alert(catalog, rule, video, phone)
    assert alert.evidence == (replace(PERSON, video=video),)


def test_answers_are_counted_as_precision(
    catalog: Catalog, rule: AlertRuleRow, video: VideoId
) -> None:
    assert catalog.alert_rules.counts() == {}
    alerts = [new_alert(video, start_s) for start_s in (1.0, 11.0, 21.0, 31.0)]
    rows = catalog.alerts.advance(rule, video, START, looked(40), alerts)
    for row, state in zip(rows, ("acknowledged", "acknowledged", "false_alarm"), strict=False):
        catalog.alerts.decide(row.id, state, "ada")  # type: ignore[arg-type]
    counts = catalog.alert_rules.counts()[rule.id]
    assert (counts.n_decided, counts.open) == (3, 1)
    assert counts.precision == pytest.approx(2 / 3)


def test_alerts_are_listed_for_those_who_may_see_them(
    catalog: Catalog, rule: AlertRuleRow, video: VideoId, phone: DestinationRow
) -> None:
    raise_alert(catalog, rule, video, phone)
    other = add_ingesting(catalog, "yard")
    assert catalog.alerts.count(among=[other]) == 0
    assert catalog.alerts.list(among=[other]) == ()
    assert catalog.alerts.count(among=[video], states=["open"]) == 1


def test_alerts_leave_with_their_video_and_not_with_their_rule(
    catalog: Catalog, rule: AlertRuleRow, video: VideoId, phone: DestinationRow
) -> None:
    alert = raise_alert(catalog, rule, video, phone)
    catalog.alert_rules.remove("door")
    assert catalog.alerts.get(alert.id).rule == "door"
    catalog.videos.remove(video)
    with pytest.raises(NotFoundError):
        catalog.alerts.get(alert.id)
    assert catalog.deliveries.list() == ()


def test_name_that_is_taken_or_missing_says_so(catalog: Catalog, rule: AlertRuleRow) -> None:
    with pytest.raises(InputRefusedError, match="'door' already"):
        catalog.alert_rules.add("door", {}, is_enabled=True)
    with pytest.raises(NotFoundError, match="no alert rule 'window'") as error:
        catalog.alert_rules.find("window")
    assert error.value.hint == "there are 'door'"


def test_what_is_due_is_told_and_when_the_next_is(
    catalog: Catalog,
    clock: Clock,
    rule: AlertRuleRow,
    video: VideoId,
    phone: DestinationRow,
) -> None:
    told = threading.Event()
    with catalog.deliveries.hearing(told.set):
        if catalog.is_shared:
            assert catalog.notifications.wait_until_live(SOON_S)
            # What was said before anybody listened.
            assert told.wait(SOON_S)
            told.clear()
        assert catalog.deliveries.due_in_s() is None
        raise_alert(catalog, rule, video, phone)
        assert told.wait(SOON_S)
        assert catalog.deliveries.due_in_s() == 0
        delivery = catalog.deliveries.claim("a", lease_s=30)
        assert delivery is not None
        assert catalog.deliveries.due_in_s() is None, "another sends it"
        catalog.deliveries.settle(delivery, error="status 503", retry_in_s=5)
        clock.advance(2)
        assert catalog.deliveries.due_in_s() == 3
        clock.advance(3)
        assert catalog.deliveries.due_in_s() == 0
        delivery = catalog.deliveries.claim("a", lease_s=30)
        assert delivery is not None
        catalog.deliveries.settle(delivery, error="status 410")
        assert catalog.deliveries.due_in_s() is None
        told.clear()
        catalog.deliveries.retry(delivery.id)
        assert told.wait(SOON_S)
        assert catalog.deliveries.due_in_s() == 0


def test_delivery_of_a_dead_sender_is_repeated_with_a_mark(
    catalog: Catalog, rule: AlertRuleRow, video: VideoId, phone: DestinationRow, clock: Clock
) -> None:
    raise_alert(catalog, rule, video, phone)
    first = catalog.deliveries.claim("a", lease_s=30)
    assert first is not None
    assert not first.is_repeat
    assert catalog.deliveries.claim("b", lease_s=30) is None
    clock.advance(31)
    second = catalog.deliveries.claim("b", lease_s=30)
    assert second is not None
    assert (second.key, second.is_repeat, second.attempts) == (first.key, True, 2)
    assert not catalog.deliveries.settle(first), "the first sender came too late"
    assert catalog.deliveries.settle(second)
    assert catalog.deliveries.claim("b", lease_s=30) is None


def test_sender_that_is_known_to_be_dead_is_not_waited_for(
    catalog: Catalog, rule: AlertRuleRow, video: VideoId, phone: DestinationRow
) -> None:
    raise_alert(catalog, rule, video, phone)
    catalog.deliveries.claim("a", lease_s=30)
    assert catalog.deliveries.abandon(lambda lease: (lease or "").startswith("b#")) == 0
    assert catalog.deliveries.abandon(lambda lease: (lease or "").startswith("a#")) == 1
    again = catalog.deliveries.claim("b", lease_s=30)
    assert again is not None
    assert again.is_repeat


def test_refused_delivery_waits_then_lies_with_the_dead_until_it_is_retried(
    catalog: Catalog, rule: AlertRuleRow, video: VideoId, phone: DestinationRow, clock: Clock
) -> None:
    raise_alert(catalog, rule, video, phone)
    delivery = catalog.deliveries.claim("a", lease_s=30)
    assert delivery is not None
    catalog.deliveries.settle(delivery, error="status 503", retry_in_s=5)
    assert catalog.deliveries.claim("a", lease_s=30) is None
    clock.advance(5)
    delivery = catalog.deliveries.claim("a", lease_s=30)
    assert delivery is not None
    assert not delivery.is_repeat, "it was refused, so it has not arrived"
    catalog.deliveries.settle(delivery, error="status 410")
    (dead,) = catalog.deliveries.list(states=["dead"])
    assert (dead.error, dead.attempts) == ("status 410", 2)
    assert catalog.deliveries.retry(dead.id).state == "queued"
    assert catalog.deliveries.claim("a", lease_s=30) is not None


def test_one_destination_gets_alerts_in_their_order(
    catalog: Catalog, rule: AlertRuleRow, video: VideoId, phone: DestinationRow
) -> None:
    alerts = [new_alert(video, 1.0), new_alert(video, 20.0)]
    rows = catalog.alerts.advance(rule, video, START, looked(30), alerts, destinations=[phone.id])
    first = catalog.deliveries.claim("a", lease_s=30)
    assert first is not None
    assert first.alert == rows[0].id
    assert catalog.deliveries.claim("b", lease_s=30) is None
    catalog.deliveries.settle(first)
    second = catalog.deliveries.claim("b", lease_s=30)
    assert second is not None
    assert second.alert == rows[1].id


def test_copy_of_an_outbox_marks_what_the_other_may_have_sent(
    catalog: Catalog, rule: AlertRuleRow, video: VideoId, phone: DestinationRow
) -> None:
    raise_alert(catalog, rule, video, phone)
    catalog.deliveries.mark_repeats()
    again = catalog.deliveries.claim("a", lease_s=30)
    assert again is not None
    assert again.is_repeat
