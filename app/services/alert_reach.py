"""The reach of a rule over a video: as far as the eyes that it needs have looked."""

from app.schemas.alerts import AlertCondition
from app.services.alert_conditions import OBSERVED
from app.services.context import ServiceContext
from storage.records import VideoRow


def reach_s(context: ServiceContext, condition: AlertCondition, video: VideoRow) -> float:
    """Return how far a video can be judged by a condition: as far as its eyes have looked."""
    if condition.kind == "no_picture":
        return silence_end_s(context, video)
    if condition.kind == "no_recording":
        return video.ingested_s if video.camera is not None else 0.0
    kinds = {row.kind: row.span.end_s for row in context.catalog.observations.reach(video.id)}
    if condition.kind in OBSERVED:
        return kinds.get(OBSERVED[condition.kind], 0.0)
    # A phrase is judged by vectors, and by things where something here has names for them.
    reaches = [video.ingested_s]
    if "objects" in context.settings.sight.observers:
        reaches.append(kinds.get("object", 0.0))
    for encoder_index in context.encoders:
        missing = encoder_index.missing(context.stills, video.id)
        if missing:
            reaches.append(_start_s(context, video, min(missing)))
    return min(reaches)


def silence_end_s(context: ServiceContext, video: VideoRow) -> float:
    """Return until when a video may be without a picture: until its camera films another one."""
    if video.camera is None or video.start_at is None:
        return video.ingested_s
    rows = context.catalog.videos.list()
    later = [row.start_at for row in rows if row.camera == video.camera and row.start_at]
    next_at = min((at for at in later if at > video.start_at), default=None)
    if next_at is None:
        return video.ingested_s
    return max(video.ingested_s, (next_at - video.start_at).total_seconds())


def _start_s(context: ServiceContext, video: VideoRow, ordinal: int) -> float:
    """Return where a chunk begins; the end of what was read where it is not known yet."""
    if video.fingerprint is None:
        return 0.0
    chunks = context.catalog.chunks.list(video.id, video.fingerprint)
    starts = {chunk.ref.ordinal: chunk.ref.span.start_s for chunk in chunks}
    return starts.get(ordinal, video.ingested_s)
