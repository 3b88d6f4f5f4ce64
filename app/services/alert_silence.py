"""Cameras that send nothing, or are not recorded: an hour without them is not one without events.

Decision: a camera that was never seen gets an empty part, which begins when it was added and holds
nothing. Because an alert belongs to a moment of a part, and so it is listed, granted, sent and
answered as any other; what lies behind the empty part is a gap of the timeline, which is the truth.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from app.schemas.alerts import AlertCondition
from app.services.alert_conditions import is_about
from app.services.alert_rules import enabled_rules
from app.services.alert_watch import apply_rule
from app.services.context import ServiceContext
from app.services.recordings import in_filmed_order
from app.services.wall_clock import kept_zone
from engine.records import VideoId
from storage.alert_records import AlertRow, AlertRuleRow
from storage.camera_records import CameraRow
from storage.records import StartClock, VideoRow


def watch_silence(context: ServiceContext, now: datetime) -> tuple[AlertRow, ...]:
    """Raise what rules about missing pictures and recordings come to, of every camera."""
    all_rules = enabled_rules(context)
    rules = [rule for rule in all_rules if rule[1].kind == "no_picture"]
    return (
        *_raised_silence(context, rules, now),
        *_raised_gaps(context, [rule for rule in all_rules if rule[1].kind == "no_recording"]),
    )


def _raised_silence(
    context: ServiceContext, rules: Sequence[tuple[AlertRuleRow, AlertCondition]], now: datetime
) -> tuple[AlertRow, ...]:
    if not rules:
        return ()
    videos = context.catalog.videos.list()
    raised: list[AlertRow] = []
    for camera in context.catalog.cameras.list():
        parts = in_filmed_order(row for row in videos if row.camera == camera.id)
        if not camera.enabled:
            continue
        if not parts:
            unseen = _unseen_part(context, camera, [condition for _, condition in rules], now)
            if unseen is None:
                continue
            videos = context.catalog.videos.list()
            parts = (unseen,)
        if parts[-1].start_at is None:
            continue
        # The clock of a camera runs on, whether a picture comes or not.
        until_s = max(parts[-1].ingested_s, (now - parts[-1].start_at).total_seconds())
        for rule, condition in rules:
            if is_about(condition, parts[-1], videos):
                raised += apply_rule(context, rule, condition, parts[-1], videos, until_s=until_s)
    return tuple(raised)


def _raised_gaps(
    context: ServiceContext, rules: Sequence[tuple[AlertRuleRow, AlertCondition]]
) -> tuple[AlertRow, ...]:
    """Raise what rules about missing recordings come to, of every camera that sends pictures."""
    if not rules:
        return ()
    videos = context.catalog.videos.list()
    raised: list[AlertRow] = []
    for camera in context.catalog.cameras.list():
        parts = in_filmed_order(row for row in videos if row.camera == camera.id)
        if not camera.records or not parts or camera.last_frame_at is None:
            continue
        part = parts[-1]
        if part.status != "ingesting" or part.start_at is None:
            continue
        until_s = max(part.ingested_s, (camera.last_frame_at - part.start_at).total_seconds())
        for rule, condition in rules:
            if is_about(condition, part, videos):
                raised += apply_rule(context, rule, condition, part, videos, until_s=until_s)
    return tuple(raised)


def _unseen_part(
    context: ServiceContext,
    camera: CameraRow,
    conditions: Sequence[AlertCondition],
    now: datetime,
) -> VideoRow | None:
    """Return an empty part of a camera that was never seen; `None` while no rule waits for it."""
    silent_s = (now - camera.created_at).total_seconds()
    if not any(
        silent_s >= condition.too_long_s
        and (camera.id in condition.cameras or not (condition.cameras or condition.videos))
        for condition in conditions
    ):
        return None
    # The same for every process that comes to it: there is one.
    part = VideoId(hashlib.sha256(f"unseen {camera.id}".encode()).hexdigest()[:12])
    clock = StartClock(at=camera.created_at, source="live")
    context.catalog.videos.add(
        id=part,
        name=f"{camera.name}, not seen yet",
        uri=camera.address,
        clock=clock,
        timezone=kept_zone(context.settings, clock, camera.timezone),
        camera=camera.id,
    )
    return context.catalog.videos.end_ingest(part, "ready", wall_s=0.0)
