"""The gate in front of rules: which observers look at a chunk at once, and not a minute later.

Nothing is lost here: what the gate lets pass is looked at with everything else.
"""

from typing import Final

from app.config.settings import Settings
from app.services.alert_conditions import OBSERVED, is_about, read_condition, schedule_spans
from app.services.context import ServiceContext
from engine.media.sample import SamplingConfig
from engine.records import ChunkCommitted
from engine.sight.observer import kind_of
from storage.records import VideoRow

LEAST_ACTIVITY: Final = 0.002
"""Least mean change between the frames of a chunk, as a share of the grey scale, that counts as
something happening: half a step of an 8-bit picture. In six recorded visits to a table the stillest
chunk had 0.008; a person in a dark room, or far away, changes less than that."""
VECTORS: Final = "vectors"
"""The stage of observing in which encoders look at stills."""


def urgent_observers(
    context: ServiceContext, video: VideoRow, committed: ChunkCommitted
) -> tuple[str, ...]:
    """Return the observers that must look at a chunk at once for some rule; usually none."""
    rules = context.catalog.alert_rules.list(enabled_only=True)
    if not rules or not shows_change(committed, context.engine.sampling):
        return ()
    videos = context.catalog.videos.list()
    row = context.catalog.videos.get(video.id)
    names: dict[str, None] = {}
    for rule in rules:
        condition = read_condition(rule)
        if not is_about(condition, row, videos):
            continue
        if schedule_spans(context, condition, row, committed.ref.span):
            names |= dict.fromkeys(observers_of(context.settings, condition.kind))
    return tuple(names)


def shows_change(committed: ChunkCommitted, sampling: SamplingConfig) -> bool:
    """Return whether something may have happened in a chunk.

    Kept frames of a still scene are a heartbeat apart. Where they are closer together, thinning saw
    a change between them, however small a part of the picture it was.
    """
    if committed.activity >= LEAST_ACTIVITY:
        return True
    apart_s = committed.ref.span.duration_s / max(1, committed.n_frames)
    is_dense = committed.n_frames > 1 and apart_s < sampling.heartbeat_s / 2
    return sampling.thin_static and is_dense


def observers_of(settings: Settings, kind: str) -> tuple[str, ...]:
    """Return the observers of the settings that a kind of rule waits for."""
    chosen = settings.sight.observers
    if kind == "phrase":
        return (VECTORS, *(name for name in chosen if kind_of(name) == "object"))
    # That nothing moves or comes is a matter of minutes anyway.
    if kind not in OBSERVED or kind == "no_motion":
        return ()
    return tuple(name for name in chosen if kind_of(name) == OBSERVED[kind])
