"""Cameras as people see them: added, changed, removed, tried, and how each is doing.

Decision: a camera is a row of its own, and what it films are videos that belong to it, one for each
unbroken stretch. Because a search, an answer and a clip are about a video's own clock, which is
exact; the wall clock joins them. Whoever may see a camera sees all its videos, and nobody learns
of another.
"""

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from app.config.engine_config import media_limits
from app.sandbox.reader import probe_foreign
from app.schemas.cameras import (
    CameraFields,
    CameraItem,
    CamerasResponse,
    CameraTrialResponse,
    PictureItem,
    RetentionItem,
    StretchItem,
)
from app.schemas.common import MessageResponse
from app.services.access import FULL_ACCESS, Access, find_camera, visible_cameras
from app.services.camera_files import save_camera
from app.services.cameras import camera_address, keep_camera_address, resolve_references
from app.services.context import ServiceContext
from app.services.filming_jobs import enqueue_filming, filming_jobs, is_filmed, shown_worker
from app.services.library import check_name, remove_video
from app.services.timelines import parts_by_camera, parts_of, stretches
from app.services.wall_clock import check_zone
from app.timefmt import wall_clock
from engine.errors import InputRefusedError, LongwatchError
from engine.media.address import feed_uri, is_device_uri, is_live_uri, parse_address, redact
from engine.plural import counted
from engine.sight.observer import kind_of
from storage.camera_records import CameraRetention, CameraRow, CameraState, CameraTransport
from storage.files import HomeFolder
from storage.records import JobRow, VideoRow

_RETENTION: Final[Mapping[str, str]] = {
    "recording_days": "segment_days",
    "recording_bytes": "segment_bytes",
    "still_days": "still_days",
    "still_bytes": "still_bytes",
    "latent_days": "latent_days",
    "latent_bytes": "latent_bytes",
}
"""Fields of a request, and of the record that keeps them."""
N_PICTURES: Final = 6


def add_camera(
    context: ServiceContext, name: str, address: str, fields: CameraFields | None = None
) -> CameraRow:
    """Write a camera down; its secret goes into a file apart.

    Raises:
        InputRefusedError: The name is taken, or something of it cannot be.
    """
    name, address = check_name(name), _checked_address(context, address)
    changes = _changes(fields or CameraFields())
    timezone, watch = changes.get("timezone"), changes.get("watch", ())
    cameras = context.catalog.cameras
    camera = cameras.add(
        name=name,
        address=redact(address),
        timezone=timezone,
        fps=changes.get("fps"),
        watch=watch,
        records=changes.get("records") is not False,
        records_sound=changes.get("records_sound") is not False,
        transport=changes.get("transport") or "auto",
        retention=_retention(CameraRetention(), changes),
    )
    try:
        keep_camera_address(context, camera, address)
        save_camera(context, camera)
    except LongwatchError:
        cameras.remove(camera.id)
        raise
    enqueue_filming(context, camera)
    return camera


def change_camera(
    context: ServiceContext,
    camera: CameraRow,
    fields: CameraFields,
    *,
    name: str | None = None,
    address: str | None = None,
    enabled: bool | None = None,
) -> CameraRow:
    """Change what is given of a camera; what is filmed already stays as it is.

    Raises:
        InputRefusedError: The name is taken, or something of it cannot be; nothing changes then.
    """
    changes = _changes(fields)
    changed: dict[str, Any] = {
        key: changes[key] for key in ("timezone", "fps", "watch") if key in changes
    }
    for key in ("records", "records_sound", "transport"):
        if changes.get(key) is not None:
            changed[key] = changes[key]
    changed["retention"] = _retention(camera.retention, changes)
    if name is not None:
        changed["name"] = check_name(name)
    if enabled is not None:
        changed["enabled"] = enabled
    if address is not None:
        address = _checked_address(context, address)
        changed["address"] = redact(address)
    camera = context.catalog.cameras.change(camera.id, **changed)
    if address is not None:
        keep_camera_address(context, camera, address)
    save_camera(context, camera)
    enqueue_filming(context, camera)
    return camera


def remove_camera(
    context: ServiceContext, camera: CameraRow, *, with_footage: bool
) -> MessageResponse:
    """Delete a camera, and what it has filmed where that is asked for.

    Raises:
        InputRefusedError: It has filmed something that nobody said to delete.
    """
    parts = parts_of(context, camera)
    n_bytes = context.catalog.segments.total_bytes(camera.id)
    if (parts or n_bytes) and not with_footage:
        name = shlex.quote(camera.name)
        raise InputRefusedError(
            f"{camera.name} has filmed, and what it has filmed would be deleted with it",
            hint=f"`longwatch cameras set {name} --off` stops it and keeps all; "
            f"`longwatch cameras rm {name} --footage` deletes it",
        )
    context.catalog.cameras.change(camera.id, enabled=False)
    for part in parts:
        remove_video(context, part)
    home = HomeFolder(context.settings.home)
    context.far.drop_folder(home.recordings / camera.id)
    context.far.drop(home.camera_file(camera.id))
    home.remove_camera(camera.id)
    context.catalog.cameras.remove(camera.id)
    return MessageResponse(message=f"{camera.name} is deleted")


def try_address(
    context: ServiceContext, address: str, *, transport: CameraTransport = "auto"
) -> CameraTrialResponse:
    """Connect to an address and tell what it sends; nothing is kept.

    Raises:
        UnreachableError: Nobody answers there with video, or the sign-in is refused.
        InputRefusedError: It is no address of a camera, or sends what cannot be read.
    """
    started = time.monotonic()
    address = _checked_address(context, address)
    limits = replace(media_limits(context.settings), rtsp_transport=transport)
    media = probe_foreign(resolve_references(context, address), limits)
    return CameraTrialResponse(
        address=redact(address),
        container=media.container,
        video_codec=media.video_codec,
        width_px=media.width_px,
        height_px=media.height_px,
        fps=media.fps,
        has_audio=media.has_audio,
        took_s=time.monotonic() - started,
        warnings=[*media.warnings],
    )


def try_camera(context: ServiceContext, camera: CameraRow) -> CameraTrialResponse:
    """Connect to a camera with the sign-in that is kept; raises as `try_address`."""
    return try_address(context, camera_address(context, camera), transport=camera.transport)


def list_cameras(context: ServiceContext, access: Access = FULL_ACCESS) -> CamerasResponse:
    """Return every camera that someone may see, by name."""
    parts, jobs = parts_by_camera(context), filming_jobs(context)
    return CamerasResponse(
        cameras=[
            _describe(context, row, access, parts.get(row.id, ()), jobs.get(row.id))
            for row in visible_cameras(context, access)
        ]
    )


def show_camera(
    context: ServiceContext, camera: str, access: Access = FULL_ACCESS
) -> CamerasResponse:
    """Return one camera by id or name, with its timeline."""
    row = find_camera(context, camera, access)
    item = describe_camera(context, row, access)
    zone = context.settings.media.zone(row.timezone)
    item.timeline = [
        StretchItem(
            start_at=wall_clock(stretch.start_at, 0.0, zone) or "",
            end_at=wall_clock(stretch.end_at, 0.0, zone) or "",
            video_id=stretch.video,
            is_gap=stretch.video is None,
        )
        for stretch in stretches(parts_of(context, row))
    ]
    return CamerasResponse(cameras=[item])


def describe_camera(
    context: ServiceContext, camera: CameraRow, access: Access = FULL_ACCESS
) -> CameraItem:
    """Return a camera as its document, as someone may see it; without its timeline."""
    job = filming_jobs(context).get(camera.id)
    return _describe(context, camera, access, parts_of(context, camera), job)


def _describe(
    context: ServiceContext,
    camera: CameraRow,
    access: Access,
    parts: Sequence[VideoRow],
    job: JobRow | None,
) -> CameraItem:
    zone = context.settings.media.zone(camera.timezone)
    state, note = _state(context, camera, job)

    def local(moment: datetime | None) -> str | None:
        return wall_clock(moment, 0.0, zone)

    return CameraItem(
        camera_id=camera.id,
        name=camera.name,
        address=camera.address if access.granted is None else None,
        timezone=camera.timezone,
        fps=camera.fps,
        watch=[*camera.watch],
        records=camera.records,
        records_sound=camera.records_sound,
        transport=camera.transport,
        retention=RetentionItem(
            **{field: getattr(camera.retention, key) for field, key in _RETENTION.items()}
        ),
        enabled=camera.enabled,
        state=state,
        since=local(camera.state_since) or "",
        note=note,
        worker=shown_worker(job) if is_filmed(context, job) and access.granted is None else None,
        last_frame_at=local(camera.last_frame_at),
        last_picture_url=_last_picture_url(parts),
        pictures=_pictures(parts, zone),
        reconnects=max(0, camera.n_connects - 1),
        frames_dropped=camera.frames_dropped,
        parts=len(parts),
        filmed_s=sum(part.ingested_s for part in parts),
        recorded_bytes=context.catalog.segments.total_bytes(camera.id),
        recorded_bytes_per_hour=_bytes_per_hour(context, camera),
        latent_bytes=sum(part.latent_bytes for part in parts),
        first_at=local(parts[0].start_at) if parts else None,
    )


def _state(
    context: ServiceContext, camera: CameraRow, job: JobRow | None
) -> tuple[CameraState, str]:
    """Return how a camera is doing: what its row says counts while somebody films it."""
    if is_filmed(context, job):
        # Its address is for admins.
        return camera.state, camera.state_note.replace(camera.address, camera.name)
    if not camera.enabled:
        return "off", "it is switched off"
    jobs = {} if job is None else filming_jobs(context)
    n_filmed = sum(is_filmed(context, other) for other in jobs.values())
    present = context.catalog.workers.present(silent_s=context.settings.workers.camera_lease_s)
    if n_filmed and n_filmed >= sum(worker.places for worker in present):
        return "off", f"it waits: {counted(n_filmed, 'camera')} filmed, the most (limits.cameras)"
    return "off", "nobody films it: it is filmed while a server or worker of the library runs"


def _bytes_per_hour(context: ServiceContext, camera: CameraRow) -> float | None:
    """Return how much an hour of a camera's recording holds, by its latest hour."""
    latest = context.catalog.segments.latest(camera.id, timedelta(hours=1))
    length_s = sum(row.end_s - row.start_s for row in latest)
    n_bytes = sum(row.n_bytes for row in latest)
    return 3600 * n_bytes / length_s if length_s > 0 else None


def _pictures(parts: Sequence[VideoRow], zone: tzinfo | None) -> list[PictureItem]:
    """Return stills of the newest part that has any, evenly over its latest hour."""
    part = next((part for part in reversed(parts) if part.n_chunks), None)
    if part is None:
        return []
    span_s = min(3600.0, part.ingested_s)
    start_s = part.ingested_s - span_s
    times_s = [start_s + span_s * (n + 0.5) / N_PICTURES for n in range(N_PICTURES)]
    return [
        PictureItem(
            url=f"/media/{part.id}/frame.jpg?t={time_s:.1f}&w=160",
            at=wall_clock(part.at(time_s), 0.0, zone) or "",
        )
        for time_s in times_s
    ]


def _last_picture_url(parts: Sequence[VideoRow]) -> str | None:
    """Return the address of the newest picture, of a camera that has any."""
    for part in reversed(parts):
        if part.n_chunks:
            return f"/media/{part.id}/frame.jpg?t={part.ingested_s:.1f}&w=640"
    return None


def _checked_address(context: ServiceContext, address: str) -> str:
    address = feed_uri(address.strip())
    if not is_live_uri(address):
        raise InputRefusedError(
            f"{redact(address)!r} is no address of a camera",
            hint="write it as rtsp://name:password@host/path, http(s)://, udp://0.0.0.0:PORT or"
            " /dev/video0",
        )
    # What it names must be there now, not at night when the camera comes back.
    resolved = resolve_references(context, address)
    if not is_device_uri(resolved):
        parse_address(resolved)
    return address


def _changes(fields: CameraFields) -> dict[str, Any]:
    """Return what was given, checked."""
    given = {name: getattr(fields, name) for name in fields.model_fields_set}
    if given.get("timezone") is not None:
        given["timezone"] = check_zone(given["timezone"])
    if "watch" in given:
        given["watch"] = tuple(dict.fromkeys(given["watch"] or ()))
        for observer in given["watch"]:
            kind_of(observer)
    return given


def _retention(before: CameraRetention, changes: Mapping[str, Any]) -> CameraRetention:
    return replace(
        before, **{key: changes[field] for field, key in _RETENTION.items() if field in changes}
    )
