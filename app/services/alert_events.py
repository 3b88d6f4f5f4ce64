"""Events of a rule in a stretch of footage: the one way that live footage and dry runs share.

    rows, vectors, chunks -> sightings, in the hours of the rule, sure enough -> events -> verdict

The gate is cheap: rows that are written and vectors that are made. The verdict is dear, so that
only an event that would be raised is judged: of things, print and speech their rows are it; what is
described in a phrase is asked of whoever answers questions here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.schemas.alerts import AlertCondition
from app.services.alert_conditions import (
    OBSERVED,
    OF_CAMERAS,
    place_of,
    read_object,
    schedule_spans,
    seconds_text,
)
from app.services.alert_reach import silence_end_s
from app.services.answers import answer_stream
from app.services.context import ServiceContext
from app.services.search import find_moments
from engine.errors import NotFoundError
from engine.pipeline.alerts.events import JOIN_S, AlertEvent, EventState, Folded, fold
from engine.pipeline.alerts.sightings import (
    Sighting,
    moment_sightings,
    motion_sightings,
    quiet_sightings,
    thing_sightings,
    within,
    word_sightings,
)
from engine.pipeline.fusion import Moment
from engine.protocols import Sampling
from engine.records import Answer, TimeSpan, VideoId, moment_after
from storage.alert_records import AlertJudge
from storage.records import VideoRow

_MOST_MOMENTS: Final = 200
"""Moments of a phrase in one stretch: a minute of a camera has a few."""
_AROUND_S: Final = 5.0
"""Footage on either side of an event that is asked about with it."""
_VERDICT_TOKENS: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertVerdict:
    """The outcome of a second look at an event."""

    judged_by: AlertJudge
    reason: str
    is_dismissed: bool = False


def find_events(
    context: ServiceContext,
    condition: AlertCondition,
    video: VideoRow,
    state: EventState,
    until_s: float,
) -> Folded:
    """Return the events that a stretch adds to those that were found before it.

    Args:
        state: After the stretch before.
        until_s: The end of the stretch, which the eyes have reached.
    """
    looked = TimeSpan(start_s=max(0.0, state.until_s - _lookback_s(condition)), end_s=until_s)
    sightings = within(
        _sightings(context, condition, video, looked),
        schedule_spans(context, condition, video, looked),
    )
    return fold(
        state,
        [sighting for sighting in sightings if sighting.score >= condition.sure],
        until_s,
        least_s=_least_s(condition),
    )


def judge(
    context: ServiceContext, condition: AlertCondition, video: VideoRow, event: AlertEvent
) -> AlertVerdict:
    """Return the verdict on an event, with its reason in words."""
    if condition.kind in OF_CAMERAS:
        return AlertVerdict(judged_by="clock", reason=_reason(condition, event))
    if condition.kind != "phrase":
        return AlertVerdict(judged_by="observations", reason=_reason(condition, event))
    around = TimeSpan(
        start_s=max(0.0, event.span.start_s - _AROUND_S), end_s=event.span.end_s + _AROUND_S
    )
    answer = _ask(context, f"Is there {condition.words}?", video.id, around)
    says = "" if answer is None else answer.text.strip()
    word = says.split(maxsplit=1)[0].strip(".,:;!").lower() if says else ""
    if answer is None or answer.answered_by == "nothing" or word not in {"yes", "no"}:
        reason = f"{_reason(condition, event)}; nothing here confirms or denies it"
        return AlertVerdict(judged_by="vectors", reason=reason)
    return AlertVerdict(
        judged_by=answer.answered_by,
        reason=says if answer.answered_by == "observations" else f"{answer.model_name}: {says}",
        is_dismissed=word == "no",
    )


def moment_at(video: VideoRow, time_s: float) -> datetime | None:
    """Return when something was filmed; `None` of a video without a wall clock."""
    return None if video.start_at is None else moment_after(video.start_at, time_s)


def is_within_cooldown(
    condition: AlertCondition,
    begun: tuple[datetime | None, float],
    before: tuple[datetime | None, float] | None,
) -> bool:
    """Return whether an event comes too soon behind the alert before it.

    Args:
        begun: On the wall clock, and in media time where there is none.
        before: Likewise, of the alert before it of the same camera.
    """
    if before is None:
        return False
    if begun[0] is not None and before[0] is not None:
        pause_s = (begun[0] - before[0]).total_seconds()
    else:
        pause_s = begun[1] - before[1]
    return 0 <= pause_s < condition.cooldown_s


def _sightings(
    context: ServiceContext, condition: AlertCondition, video: VideoRow, looked: TimeSpan
) -> tuple[Sighting, ...]:
    """Return what satisfies a condition in a stretch, as the eyes have stated it."""
    store, scope, place = context.catalog.observations, [(video.id, looked)], place_of(condition)
    if condition.kind == "object":
        wanted = read_object(condition.words)
        return thing_sightings(
            wanted, store.list(scope, kinds=["object"], labels=wanted.labels), place
        )
    if condition.kind == "motion":
        return motion_sightings(store.list(scope, kinds=["motion"]), place)
    if condition.kind == "no_motion":
        busy = [row.span for row in store.list(scope, kinds=["motion"])]
        return quiet_sightings(busy, looked, condition.too_long_s)
    if condition.kind == "no_picture":
        return quiet_sightings(_filmed(context, video), looked, condition.too_long_s)
    if condition.kind == "no_recording":
        return quiet_sightings(_recorded(context, video), looked, condition.too_long_s)
    if condition.kind == "phrase":
        return moment_sightings(_moments(context, condition, video, looked))
    kind = OBSERVED[condition.kind]
    matches = store.matching(condition.words, scope, kinds=[kind])
    return word_sightings((match.observation, match.share) for match in matches)


def _moments(
    context: ServiceContext, condition: AlertCondition, video: VideoRow, looked: TimeSpan
) -> Sequence[Moment]:
    scope = [(video.id, looked)]
    try:
        moments, _ = find_moments(context, condition.words, scope, _MOST_MOMENTS)
    except NotFoundError:
        # Nothing of it is indexed yet.
        return ()
    return moments


def _lookback_s(condition: AlertCondition) -> float:
    """Return how much of what came before a stretch has a say in it."""
    if condition.kind in {"no_motion", *OF_CAMERAS}:
        return condition.too_long_s + JOIN_S
    return max(JOIN_S, condition.least_s) + JOIN_S


def _least_s(condition: AlertCondition) -> float:
    # What crosses a line does so in a moment.
    return 0.0 if condition.line is not None else condition.least_s


def _filmed(context: ServiceContext, video: VideoRow) -> list[TimeSpan]:
    """Return when pictures came: of a part of a camera's timeline, which is unbroken, all along."""
    if video.camera is None:
        if video.fingerprint is None:
            return []
        chunks = context.catalog.chunks.list(video.id, video.fingerprint)
        return [chunk.ref.span for chunk in chunks]
    end_s = video.ingested_s
    last_at = context.catalog.cameras.get(video.camera).last_frame_at
    is_latest = silence_end_s(context, video) == video.ingested_s
    if is_latest and last_at is not None and video.start_at is not None:
        # Those too that wait to be looked at.
        end_s = max(end_s, (last_at - video.start_at).total_seconds())
    return [TimeSpan(start_s=0.0, end_s=end_s)]


def _recorded(context: ServiceContext, video: VideoRow) -> list[TimeSpan]:
    """Return when something was recorded of a part; what has left by age or size since was too."""
    segments = context.catalog.segments.of_video(video.id)
    if not segments and video.status == "ready":
        return [TimeSpan(start_s=0.0, end_s=video.ingested_s)]
    spans = [TimeSpan(start_s=row.start_s, end_s=row.end_s) for row in segments]
    return [TimeSpan(start_s=0.0, end_s=spans[0].start_s), *spans] if spans else []


def _ask(context: ServiceContext, question: str, video: VideoId, span: TimeSpan) -> Answer | None:
    sampling = Sampling(max_tokens=_VERDICT_TOKENS)
    try:
        for step in answer_stream(context, question, [(video, span)], sampling=sampling):
            if isinstance(step, Answer):
                return step
    except NotFoundError:
        return None
    return None


def _reason(condition: AlertCondition, event: AlertEvent) -> str:
    """Return in words why an event counts."""
    what = event.what
    if condition.kind in {"text", "speech"}:
        verb = "reads" if condition.kind == "text" else "is said"
        return f"{what!r} {verb}" if condition.kind == "speech" else f"print {verb} {what!r}"
    if condition.kind == "no_motion":
        return f"nothing moved for {seconds_text(condition.too_long_s)}"
    if condition.kind == "no_picture":
        return f"no picture came for {seconds_text(condition.too_long_s)}"
    if condition.kind == "no_recording":
        return f"nothing was recorded for {seconds_text(condition.too_long_s)}"
    if condition.kind == "phrase":
        return f"it looks like {condition.words!r}"
    place = " in its zone" if condition.zone else ""
    if condition.line is not None:
        way = "" if condition.line.direction == "any" else f" going {condition.line.direction}"
        place = f" crossed its line{way}"
    return f"{what or 'movement'}{place}, seen {event.score:.0%} sure"
