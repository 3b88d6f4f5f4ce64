"""Videos whose observations are written by hand, a stretch at a time, as observers would."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from app.schemas.alerts import AlertCondition, CreateAlertRuleRequest
from app.services.alert_rules import add_rule
from app.services.alert_watch import watch_video
from app.services.context import ServiceContext
from engine.records import MediaInfo, Observation, ObservationKind, Observed, TimeSpan
from storage.alert_records import AlertRow
from storage.records import CameraId, StartClock, VideoRow


def add_video(
    context: ServiceContext,
    name: str = "lobby",
    *,
    start_at: datetime | None = None,
    timezone: str | None = None,
    uri: str | None = None,
    camera: CameraId | None = None,
) -> VideoRow:
    """A video that nobody has read."""
    media = MediaInfo(
        uri=uri or f"/media/{name}.mp4",
        container="mp4",
        video_codec="h264",
        fps=25.0,
        height_px=360,
        width_px=640,
        duration_s=None,
        is_live=uri is not None,
    )
    clock = None if start_at is None else StartClock(at=start_at, source="user")
    return context.catalog.videos.add(
        name=name, uri=media.uri, media=media, clock=clock, timezone=timezone, camera=camera
    )


def add_camera(context: ServiceContext, name: str) -> CameraId:
    """A camera that nobody films."""
    return context.catalog.cameras.add(name=name, address=f"rtsp://10.0.0.5/{name}").id


def add_rules(context: ServiceContext, **conditions: AlertCondition) -> None:
    """Rules by their names, switched on."""
    for name, condition in conditions.items():
        add_rule(context, CreateAlertRuleRequest(name=name, condition=condition))


def look(
    context: ServiceContext,
    video: VideoRow,
    until_s: float,
    rows: Sequence[Observation] = (),
    *,
    kind: ObservationKind = "object",
) -> tuple[AlertRow, ...]:
    """Write down what was seen until a time, and return what rules raise of it."""
    observe(context, video, until_s, rows, kind=kind)
    return watch_video(context, video)


def observe(
    context: ServiceContext,
    video: VideoRow,
    until_s: float,
    rows: Sequence[Observation] = (),
    *,
    kind: ObservationKind = "object",
) -> None:
    """Write down what was seen until a time; rules hear nothing of it yet."""
    observed = Observed(
        video=video.id,
        kind=kind,
        model="by hand",
        labels=frozenset({"person", "car"}),
        span=TimeSpan(start_s=0.0, end_s=until_s),
    )
    context.catalog.observations.extend([replace(row, video=video.id) for row in rows], observed)
