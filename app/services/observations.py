"""Observations as people see them: rows of a video, by kind, label or words, and their reach."""

from collections.abc import Sequence
from typing import Final, cast, get_args

from app.config.settings import Settings
from app.errors import hint_for
from app.schemas.observations import (
    LabelCount,
    ObservationsResponse,
    ObservedItem,
    describe_observation,
)
from app.services.access import FULL_ACCESS, Access, find_video
from app.services.context import ServiceContext
from app.timefmt import format_offset
from engine.errors import InputRefusedError, LongwatchError
from engine.records import ALL_TIME, ObservationKind, VideoId
from storage.records import VideoRow

KINDS: Final[tuple[ObservationKind, ...]] = get_args(ObservationKind)
MAX_LISTED: Final = 10_000
"""Most rows of an answer: a day of a busy street has some thousand."""
_MAX_LABELS: Final = 20


def list_observations(
    context: ServiceContext,
    video: str,
    *,
    kinds: Sequence[str] = (),
    labels: Sequence[str] = (),
    find: str | None = None,
    limit: int = MAX_LISTED,
    access: Access = FULL_ACCESS,
) -> ObservationsResponse:
    """Return observations of a video in time order, or those that hold words, best first.

    Args:
        kinds: Only these; every kind when empty.
        labels: Only these; every label when empty.
        find: Words that a row holds, by their stems.
        limit: Most rows to return.
    Raises:
        NotFoundError: No such video.
        InputRefusedError: A kind that there is not.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise InputRefusedError(
            f"there are no observations of kind {unknown[0]!r}",
            hint=f"there are {', '.join(KINDS)}",
        )
    row = find_video(context, video, access)
    wanted = [cast(ObservationKind, kind) for kind in kinds] or None
    names = {label.casefold() for label in labels} or None
    names_of, scope = context.labels(), [(row.id, ALL_TIME)]
    store = context.catalog.observations
    if find is None:
        items = [
            describe_observation(observation, names_of)
            for observation in store.list(scope, kinds=wanted, labels=names)
        ]
    else:
        items = [
            describe_observation(match.observation, names_of, share=match.share)
            for match in store.matching(find, scope, kinds=wanted)
            if names is None or match.observation.label in names
        ]
    return ObservationsResponse(
        video_id=row.id,
        video=row.name,
        observed=describe_observed(context, row),
        observations=items[:limit],
    )


def describe_observed(context: ServiceContext, video: VideoRow) -> list[ObservedItem]:
    """Return what was observed in a video, kind by kind, and which parts are missing."""
    # Late: OpenCV, which a list of videos does without.
    from engine.sight.observer import kind_of, observer_names

    reach = {row.kind: row for row in context.catalog.observations.reach(video.id)}
    missing = missing_parts(context.settings)
    items = []
    for name in _in_order(context.settings, observer_names()):
        kind = kind_of(name)
        observed = reach.get(kind)
        if observed is None and name not in context.settings.sight.observers:
            continue
        reach_s = 0.0 if observed is None else observed.span.end_s
        labels = _label_counts(context, video.id, kind)
        items.append(
            ObservedItem(
                observer=name,
                kind=kind,
                model="" if observed is None else observed.model,
                reach_s=reach_s,
                reach=format_offset(reach_s),
                count=sum(label.count for label in labels),
                labels=[label for label in labels if label.label][:_MAX_LABELS],
                missing=missing.get(name),
            )
        )
    return items


def missing_parts(settings: Settings) -> dict[str, str]:
    """Return what this machine lacks for the observers of the settings, each with what brings it.

    Packages are looked for, not loaded; a damaged file shows when it is read.
    """
    # Late: OpenCV, which a list of videos does without.
    from engine.sight.observer import require_parts

    missing = {}
    for name in settings.sight.observers:
        try:
            require_parts(name)
        except LongwatchError as error:
            hint = hint_for(error)
            missing[name] = error.message if hint is None else f"{error.message} ({hint})"
    return missing


def _in_order(settings: Settings, known: Sequence[str]) -> list[str]:
    """Return observers as the settings order them, the others behind."""
    chosen = settings.sight.observers
    return [*chosen, *(name for name in known if name not in chosen)]


def _label_counts(
    context: ServiceContext, video: VideoId, kind: ObservationKind
) -> list[LabelCount]:
    return [
        LabelCount(label=row.label, count=row.n, seconds=row.seconds)
        for row in context.catalog.observations.tally(video)
        if row.kind == kind
    ]
