"""Cameras as tables: registered with `render` when a command that shows them runs."""

from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from app.cli.render import plain_table, printable, render
from app.schemas.cameras import CameraItem, CamerasResponse, CameraTrialResponse
from app.schemas.discovery import CameraStreamsResponse, FoundCamerasResponse
from app.schemas.evidence import EvidenceCheckResponse
from app.sizes import size_text
from app.timefmt import clock_text, format_duration
from engine.plural import counted

_COLUMNS: Final = (
    "name",
    "state",
    "since",
    "filmed",
    "recorded",
    "reconnects",
    "dropped",
    "worker",
)


@render.register
def _(document: CamerasResponse) -> RenderableType:
    if not document.cameras:
        return Text("there is no camera: longwatch cameras add NAME ADDRESS")
    table = plain_table(*_COLUMNS)
    for camera in document.cameras:
        table.add_row(
            printable(camera.name),
            camera.state,
            clock_text(camera.since),
            format_duration(camera.filmed_s),
            size_text(camera.recorded_bytes),
            str(camera.reconnects),
            str(camera.frames_dropped),
            printable(camera.worker or ""),
        )
    notes = [
        Text(printable(f"{camera.name}: {camera.note}"), "yellow")
        for camera in document.cameras
        if camera.note
    ]
    return Group(table, *notes, *(line for camera in document.cameras for line in _line(camera)))


def _line(camera: CameraItem) -> list[RenderableType]:
    """Return what was filmed and what was not, of a camera whose timeline is shown."""
    if not camera.timeline:
        return []
    table = plain_table("from", "to", camera.timezone or "local time")
    for stretch in camera.timeline:
        table.add_row(
            clock_text(stretch.start_at),
            clock_text(stretch.end_at),
            Text("not filmed", "yellow") if stretch.is_gap else stretch.video_id or "",
        )
    return [Text(""), table]


@render.register
def _(document: CameraTrialResponse) -> RenderableType:
    codec = (document.video_codec or "unknown").upper()
    rate = "" if document.fps is None else f", {counted(document.fps, 'frame')} a second"
    size = f"{document.width_px}x{document.height_px}"
    sound = ", with sound" if document.has_audio else ""
    lines = [f"{document.address}: {codec} {size}{rate}{sound}, after {document.took_s:.1f} s"]
    return Group(*(Text(printable(line)) for line in [*lines, *document.warnings]))


@render.register
def _(document: FoundCamerasResponse) -> RenderableType:
    if not document.devices:
        return Text("no camera answers; ONVIF may be switched off there, or a network between")
    table = plain_table("name", "hardware", "location", "address")
    for device in document.devices:
        table.add_row(
            *map(printable, (device.name, device.hardware, device.location)), device.address
        )
    return Group(table, Text("longwatch cameras discover ADDRESS --user NAME lists its streams"))


@render.register
def _(document: CameraStreamsResponse) -> RenderableType:
    table = plain_table("stream", "name", "picture", "address")
    for stream in document.streams:
        rate = "" if stream.fps is None else f", {stream.fps:g} a second"
        picture = f"{stream.codec} {stream.width_px}x{stream.height_px}{rate}"
        table.add_row(*map(printable, (stream.profile, stream.name, picture, stream.address)))
    refused = [
        Text(printable(f"{address}: no camera may have this address"), "yellow")
        for address in document.refused
    ]
    return Group(Text(printable(document.name)), table, *refused)


@render.register
def _(document: EvidenceCheckResponse) -> RenderableType:
    return Text(printable(document.message), "" if document.is_key_known else "yellow")
