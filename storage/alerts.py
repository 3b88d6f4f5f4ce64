"""Alerts: raised with their deliveries in one transaction, listed, answered.

A rule moves on over a video by compare-and-set: of two workers that looked at the same stretch one
writes, and an event is raised once however often anybody is killed.
"""

import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import cast

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.orm import Session, undefer

from engine.errors import NotFoundError
from engine.records import TimeSpan, VideoId
from storage.alert_records import (
    AlertId,
    AlertJudge,
    AlertRow,
    AlertRuleId,
    AlertRuleRow,
    AlertState,
    AlertWatchRow,
    DestinationId,
    NewAlert,
)
from storage.alert_tables import AlertRuleTable, AlertTable, AlertWatchTable, DeliveryTable
from storage.database import Database
from storage.deliveries import DELIVERIES
from storage.kept_observations import keep_observation, kept_observation
from storage.notifications import Notifications


class Alerts:
    """The alerts of one database."""

    def __init__(
        self, database: Database, now: Callable[[], datetime], notifications: Notifications
    ) -> None:
        self._database = database
        self._now = now
        self._notifications = notifications

    def advance(
        self,
        rule: AlertRuleRow,
        video: VideoId,
        before: AlertWatchRow,
        after: AlertWatchRow,
        alerts: Sequence[NewAlert] = (),
        *,
        destinations: Collection[DestinationId] = (),
        extended: TimeSpan | None = None,
    ) -> tuple[AlertRow, ...]:
        """Raise what a rule has found in a stretch of a video, and move it on, as one change.

        Args:
            before: From where the stretch was looked at; where the rule stands elsewhere now,
                another process was faster and nothing changes.
            destinations: Where every alert is to be sent, but for those that were dismissed.
            extended: An event that was raised before, with its end now.
        Raises:
            NotFoundError: The video was removed meanwhile.
        """
        now = self._now()
        with self._database.writing() as session:
            if not _moves_on(session, rule, video, before, after):
                return ()
            if extended is not None:
                session.execute(
                    update(AlertTable)
                    .where(
                        AlertTable.rule_id == rule.id,
                        AlertTable.video_id == video,
                        AlertTable.start_s == extended.start_s,
                    )
                    .values(end_s=extended.end_s)
                )
            rows = [_new_row(rule, alert, now) for alert in alerts]
            session.add_all(rows)
            session.flush()
            sent = [row for row in rows if row.state == "open"] if destinations else []
            for row in sent:
                session.add_all(_delivery(row.id, place, now) for place in destinations)
            if sent:
                self._notifications.publish_with(session, DELIVERIES)
            return tuple(map(_alert, rows))

    def list(
        self,
        *,
        among: Collection[VideoId] | None = None,
        states: Collection[AlertState] = (),
        rule: AlertRuleId | None = None,
        rule_name: str | None = None,
        videos: Collection[VideoId] = (),
        before: AlertId | None = None,
        limit: int | None = None,
    ) -> tuple[AlertRow, ...]:
        """Return alerts, the latest first.

        Args:
            among: Videos that may be seen; every one when `None`.
            states: Only these; every state when empty.
            rule_name: Only those that a rule of this name raised.
            videos: Only these; every one when empty.
            before: Only those that were raised before this one.
        """
        query = _wanted(among, states, rule, videos).order_by(AlertTable.id.desc()).limit(limit)
        if rule_name is not None:
            query = query.where(AlertTable.rule == rule_name)
        if before is not None:
            query = query.where(AlertTable.id < before)
        with self._database.reading() as session:
            return tuple(map(_alert, session.scalars(query)))

    def count(
        self, *, among: Collection[VideoId] | None = None, states: Collection[AlertState] = ()
    ) -> int:
        """Return how many alerts there are, as `list` takes them."""
        query = select(func.count()).select_from(_wanted(among, states, None, ()).subquery())
        with self._database.reading() as session:
            return session.scalar(query) or 0

    def get(self, alert: AlertId) -> AlertRow:
        """Return the alert of an id.

        Raises:
            NotFoundError: There is none.
        """
        with self._database.reading() as session:
            return _alert(_row(session, alert))

    def picture(self, alert: AlertId) -> bytes | None:
        """Return the still that was kept with an alert, as JPEG; `None` where there was none.

        Raises:
            NotFoundError: There is no such alert.
        """
        query = (
            select(AlertTable).where(AlertTable.id == alert).options(undefer(AlertTable.picture))
        )
        with self._database.reading() as session:
            row = session.scalar(query)
            if row is None:
                raise _no_alert(alert)
            return row.picture

    def latest(self, rule: AlertRuleId, videos: Collection[VideoId]) -> AlertRow | None:
        """Return the alert of a rule that began last in some videos; dismissed ones do not count.

        By wall clock where there is one, else by media time.
        """
        query = (
            select(AlertTable)
            .where(
                AlertTable.rule_id == rule,
                AlertTable.video_id.in_(videos),
                AlertTable.state != "dismissed",
            )
            .order_by(AlertTable.at.desc().nulls_last(), AlertTable.start_s.desc())
            .limit(1)
        )
        with self._database.reading() as session:
            row = session.scalar(query)
            return None if row is None else _alert(row)

    def decide(self, alert: AlertId, state: AlertState, by: str) -> AlertRow:
        """Write down what somebody said of an alert; the last word holds.

        Raises:
            NotFoundError: There is no such alert.
        """
        with self._database.writing() as session:
            row = _row(session, alert)
            row.state, row.decided_at, row.decided_by = state, self._now(), by
            session.flush()
            return _alert(row)


def _moves_on(
    session: Session,
    rule: AlertRuleRow,
    video: VideoId,
    before: AlertWatchRow,
    after: AlertWatchRow,
) -> bool:
    """Move a rule on over a video, if both are as they were when the stretch was looked at."""
    kept = session.get(AlertRuleTable, rule.id, with_for_update=True)
    if kept is None or kept.revision != rule.revision or not kept.is_enabled:
        return False
    watch = session.get(AlertWatchTable, (rule.id, video), with_for_update=True)
    if watch is None:
        if before.until_s > 0:
            return False
        watch = AlertWatchTable(rule_id=rule.id, video_id=video)
        session.add(watch)
    elif watch.until_s != before.until_s or watch.state != dict(before.state):
        return False
    watch.until_s, watch.state = after.until_s, dict(after.state)
    return True


def _new_row(rule: AlertRuleRow, alert: NewAlert, now: datetime) -> AlertTable:
    return AlertTable(
        rule_id=rule.id,
        rule=rule.name,
        revision=rule.revision,
        video_id=alert.video,
        start_s=alert.span.start_s,
        end_s=alert.span.end_s,
        peak_s=alert.peak_s,
        at=alert.at,
        score=alert.score,
        reason=alert.reason,
        judged_by=alert.judged_by,
        evidence=[keep_observation(row) for row in alert.evidence],
        state="dismissed" if alert.is_dismissed else "open",
        raised_at=now,
        picture=alert.picture,
        has_picture=alert.picture is not None,
    )


def _delivery(alert: int, destination: DestinationId, now: datetime) -> DeliveryTable:
    return DeliveryTable(
        alert_id=alert,
        destination_id=destination,
        key=f"msg_{secrets.token_hex(12)}",
        state="queued",
        attempts=0,
        run_at=now,
        is_repeat=False,
        created_at=now,
    )


def _wanted(
    among: Collection[VideoId] | None,
    states: Collection[AlertState],
    rule: AlertRuleId | None,
    videos: Collection[VideoId],
) -> Select[AlertTable]:
    conditions: list[ColumnElement[bool]] = []
    if among is not None:
        conditions.append(AlertTable.video_id.in_(among))
    if states:
        conditions.append(AlertTable.state.in_(states))
    if rule is not None:
        conditions.append(AlertTable.rule_id == rule)
    if videos:
        conditions.append(AlertTable.video_id.in_(videos))
    return select(AlertTable).where(*conditions)


def _row(session: Session, alert: AlertId) -> AlertTable:
    row = session.get(AlertTable, alert)
    if row is None:
        raise _no_alert(alert)
    return row


def _no_alert(alert: AlertId) -> NotFoundError:
    return NotFoundError(f"no alert {alert}")


def _alert(row: AlertTable) -> AlertRow:
    return AlertRow(
        id=AlertId(row.id),
        rule_id=None if row.rule_id is None else AlertRuleId(row.rule_id),
        rule=row.rule,
        revision=row.revision,
        video=VideoId(row.video_id),
        span=TimeSpan(start_s=row.start_s, end_s=max(row.start_s, row.end_s)),
        peak_s=row.peak_s,
        at=row.at,
        score=row.score,
        reason=row.reason,
        judged_by=cast(AlertJudge, row.judged_by),
        evidence=tuple(kept_observation(VideoId(row.video_id), kept) for kept in row.evidence),
        state=cast(AlertState, row.state),
        decided_at=row.decided_at,
        decided_by=row.decided_by,
        raised_at=row.raised_at,
        has_picture=row.has_picture,
    )
