"""Cameras: list, add, change, remove and try them; their states and last pictures."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from app.api.audit import audit
from app.api.deps import Ctx, CurrentAdmin, CurrentUser
from app.api.media import MAX_CLIP_S, clip_response
from app.api.openapi import content
from app.schemas.cameras import (
    AddCameraRequest,
    CameraItem,
    CamerasResponse,
    CameraTrialResponse,
    ChangeCameraRequest,
    TryCameraRequest,
)
from app.schemas.discovery import (
    CameraStreamsRequest,
    CameraStreamsResponse,
    FoundCamerasResponse,
)
from app.services import camera_discovery, camera_registry
from app.services.access import find_camera
from app.services.camera_evidence import MOST_CAMERAS, pack_evidence
from app.services.playback import export_camera_clip
from app.timefmt import to_utc

router = APIRouter(prefix="/api/v1", tags=["cameras"])


@router.get("/cameras", summary="List cameras")
def list_cameras(context: Ctx, principal: CurrentUser) -> CamerasResponse:
    """Return every camera that the user may see, with its state."""
    return camera_registry.list_cameras(context.services, principal)


@router.post("/cameras", summary="Add a camera", status_code=201)
def add_camera(context: Ctx, principal: CurrentAdmin, body: AddCameraRequest) -> CameraItem:
    """Add a camera; the worker films it from then on. Its password is never shown again."""
    camera = camera_registry.add_camera(context.services, body.name, body.address, body)
    audit(principal, "added camera", camera.id)
    return camera_registry.describe_camera(context.services, camera, principal)


@router.post("/cameras/test", summary="Check an address")
def try_address(
    context: Ctx, principal: CurrentAdmin, body: TryCameraRequest
) -> CameraTrialResponse:
    """Connect to an address and tell what it sends; nothing is kept."""
    return camera_registry.try_address(context.services, body.address)


@router.post("/cameras/discover", summary="List cameras of a network")
def discover_cameras(context: Ctx, principal: CurrentAdmin) -> FoundCamerasResponse:
    """Call for ONVIF devices on the networks of the server; nobody is sent a sign-in."""
    return camera_discovery.find_cameras()


@router.post("/cameras/streams", summary="List streams of a device")
def list_streams(
    context: Ctx, principal: CurrentAdmin, body: CameraStreamsRequest
) -> CameraStreamsResponse:
    """Ask one ONVIF device for its streams; nothing is kept."""
    return camera_discovery.list_streams(context.services, body)


@router.get("/cameras/{camera_id}", summary="Get a camera")
def get_camera(context: Ctx, principal: CurrentUser, camera_id: str) -> CameraItem:
    """Return a camera by id or name, with what it filmed and what it did not film."""
    return camera_registry.show_camera(context.services, camera_id, principal).cameras[0]


@router.get(
    "/cameras/{camera_id}/clip",
    summary="Get a clip of a camera",
    response_class=FileResponse,
    responses=content("video/mp4"),
)
async def get_camera_clip(
    context: Ctx,
    principal: CurrentUser,
    camera_id: str,
    start: Annotated[datetime, Query(description="Without a zone, local time of the camera.")],
    end: Annotated[datetime, Query()],
) -> FileResponse:
    """Cut a clip out of a camera's recording by the wall clock; ten minutes at most."""
    camera = await run_in_threadpool(find_camera, context.services, camera_id, principal)
    zone = context.settings.media.zone(camera.timezone)
    start_at, end_at = to_utc(start, zone), to_utc(end, zone)

    def write(target: Path) -> None:
        export_camera_clip(
            context.services,
            camera,
            start_at,
            end_at,
            target,
            most_s=MAX_CLIP_S,
            may_replace=True,
        )

    name = f"{camera.name} {start_at.astimezone(zone):%Y-%m-%d %H.%M.%S}.mp4"
    return await clip_response(context, name, write)


@router.get(
    "/evidence",
    summary="Export evidence",
    response_class=FileResponse,
    responses=content("application/zip"),
)
async def get_evidence(
    context: Ctx,
    principal: CurrentAdmin,
    camera: Annotated[
        list[str], Query(description="IDs or names.", min_length=1, max_length=MOST_CAMERAS)
    ],
    start: Annotated[datetime, Query(description="Without a zone, local time of the first.")],
    end: Annotated[datetime, Query()],
) -> FileResponse:
    """Export a span of cameras as clips with a signed list of them; ten minutes at most."""
    services = context.services
    rows = [
        await run_in_threadpool(find_camera, services, name, principal)
        for name in dict.fromkeys(camera)
    ]
    zone = services.settings.media.zone(rows[0].timezone)
    start_at, end_at = to_utc(start, zone), to_utc(end, zone)

    def write(target: Path) -> None:
        pack_evidence(services, rows, start_at, end_at, target, most_s=MAX_CLIP_S)
        audit(principal, "exported evidence of cameras", ", ".join(row.id for row in rows))

    name = f"evidence {start_at.astimezone(zone):%Y-%m-%d %H.%M.%S}.zip"
    return await clip_response(context, name, write, media_type="application/zip")


@router.patch("/cameras/{camera_id}", summary="Change a camera")
def change_camera(
    context: Ctx, principal: CurrentAdmin, camera_id: str, body: ChangeCameraRequest
) -> CameraItem:
    """Change a camera; what it has filmed stays as it is. `null` removes what was set."""
    camera = camera_registry.change_camera(
        context.services,
        find_camera(context.services, camera_id, principal),
        body,
        name=body.name,
        address=body.address,
        enabled=body.enabled,
    )
    changes = ", ".join(sorted(body.model_fields_set)) or "nothing"
    audit(principal, f"changed {changes} of camera", camera.id)
    return camera_registry.describe_camera(context.services, camera, principal)


@router.delete("/cameras/{camera_id}", summary="Delete a camera", status_code=204)
def delete_camera(
    context: Ctx, principal: CurrentAdmin, camera_id: str, footage: bool = False
) -> Response:
    """Delete a camera; one that has filmed only with `footage=true`, which deletes that too."""
    camera = find_camera(context.services, camera_id, principal)
    camera_registry.remove_camera(context.services, camera, with_footage=footage)
    audit(principal, "deleted camera", camera.id)
    return Response(status_code=204)


@router.post("/cameras/{camera_id}/test", summary="Check a camera")
def try_camera(context: Ctx, principal: CurrentAdmin, camera_id: str) -> CameraTrialResponse:
    """Connect to a camera with the sign-in that is kept, and tell what it sends."""
    camera = find_camera(context.services, camera_id, principal)
    return camera_registry.try_camera(context.services, camera)
