"""Commands about cameras: add, discover, list, show, set, rm, export, evidence, verify, test."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.common import (
    NONE,
    Home,
    Json,
    Timezone,
    open_library,
    open_screen,
    open_settings,
    parsed,
    requested,
)

cli = typer.Typer(
    help="Add, list, show, change, remove and try cameras; export what they recorded.",
    no_args_is_help=True,
)

Camera = Annotated[str, typer.Argument(help="ID or name of the camera.")]
Address = Annotated[
    str, typer.Argument(help="rtsp://name:password@host/path, http(s)://, udp://, or /dev/video0.")
]
Fps = Annotated[str | None, typer.Option("--fps", help="Frames to sample per second, or none.")]
Watch = Annotated[
    list[str] | None,
    typer.Option("--watch", help="Observer that looks at it: objects, text, ...; repeatable."),
]
Record = Annotated[
    bool | None, typer.Option("--record/--no-record", help="Whether its pictures are recorded.")
]
Sound = Annotated[
    bool | None, typer.Option("--sound/--no-sound", help="Whether its sound is recorded.")
]
Transport = Annotated[
    str | None,
    typer.Option(
        "--transport", help="RTSP over tcp, udp, or auto: UDP where it sends over that alone."
    ),
]


def _days_option(what: str) -> Any:
    return typer.Option(f"--{what}-days", help=f"Days that {what} are kept, or none.")


def _size_option(what: str) -> Any:
    return typer.Option(f"--{what}-size", help=f"Most bytes of {what}: 50GB, or none.")


RecordingDays = Annotated[str | None, _days_option("recordings")]
RecordingSize = Annotated[str | None, _size_option("recordings")]
StillDays = Annotated[str | None, _days_option("stills")]
StillSize = Annotated[str | None, _size_option("stills")]
LatentDays = Annotated[str | None, _days_option("latents")]
LatentSize = Annotated[str | None, _size_option("latents")]


@cli.command("add")
def add_camera(
    name: Annotated[str, typer.Argument(help="Name of the camera.")],
    address: Address,
    timezone: Timezone = None,
    fps: Fps = None,
    watch: Watch = None,
    record: Record = None,
    sound: Sound = None,
    transport: Transport = None,
    recordings_days: RecordingDays = None,
    recordings_size: RecordingSize = None,
    stills_days: StillDays = None,
    stills_size: StillSize = None,
    latents_days: LatentDays = None,
    latents_size: LatentSize = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Add a camera; a server or worker of this library films it from then on."""
    import app.cli.render_cameras  # noqa: F401 - registers the tables
    from app.services import camera_registry

    fields = _fields(
        timezone=timezone,
        fps=fps,
        watch=watch,
        records=record,
        records_sound=sound,
        transport=transport,
        recording_days=recordings_days,
        recording_bytes=recordings_size,
        still_days=stills_days,
        still_bytes=stills_size,
        latent_days=latents_days,
        latent_bytes=latents_size,
    )
    with open_library(home) as context:
        camera = camera_registry.add_camera(context, name, address, fields)
        document = camera_registry.show_camera(context, camera.id)
    open_screen(json=json).show(document)


@cli.command("discover")
def discover_cameras(
    device: Annotated[
        str | None,
        typer.Argument(help="Host or address of a device, to list its streams."),
    ] = None,
    user: Annotated[
        str, typer.Option("--user", help="Name at the device; its password is asked for.")
    ] = "",
    add: Annotated[
        str | None, typer.Option("--add", help="Name under which a stream of it is added.")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", help="Stream to add (default: the largest picture)."),
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Find ONVIF cameras on the network, list the streams of one, or add one of them."""
    import app.cli.render_cameras  # noqa: F401 - registers the tables
    from app.schemas.discovery import CameraStreamsRequest
    from app.services import camera_discovery, camera_registry

    if device is None:
        if user or add or profile:
            raise typer.BadParameter("give the device too: no sign-in is sent to all that answer")
        open_settings(home)
        open_screen(json=json).show(camera_discovery.find_cameras())
        return
    with open_library(home) as context:
        request = requested(
            CameraStreamsRequest,
            address=device,
            user=user,
            password=_device_password() if user else "",
        )
        if add is None:
            open_screen(json=json).show(camera_discovery.list_streams(context, request))
            return
        camera = camera_discovery.add_found_camera(context, add, request, profile)
        document = camera_registry.show_camera(context, camera.id)
    open_screen(json=json).show(document)


@cli.command("list")
def list_cameras(json: Json = False, home: Home = None) -> None:
    """List every camera with its state."""
    import app.cli.render_cameras  # noqa: F401 - registers the tables
    from app.services import camera_registry

    with open_library(home) as context:
        document = camera_registry.list_cameras(context)
    open_screen(json=json).show(document)


@cli.command("show")
def show_camera(camera: Camera, json: Json = False, home: Home = None) -> None:
    """Show a camera, and what it filmed and did not film."""
    import app.cli.render_cameras  # noqa: F401 - registers the tables
    from app.services import camera_registry

    with open_library(home) as context:
        document = camera_registry.show_camera(context, camera)
    open_screen(json=json).show(document)


@cli.command("set")
def change_camera(
    camera: Camera,
    name: Annotated[str | None, typer.Option("--name", help="New name.")] = None,
    address: Annotated[str | None, typer.Option("--address", help="New address.")] = None,
    on: Annotated[bool | None, typer.Option("--on/--off", help="Whether it is filmed.")] = None,
    timezone: Timezone = None,
    fps: Fps = None,
    watch: Watch = None,
    record: Record = None,
    sound: Sound = None,
    transport: Transport = None,
    recordings_days: RecordingDays = None,
    recordings_size: RecordingSize = None,
    stills_days: StillDays = None,
    stills_size: StillSize = None,
    latents_days: LatentDays = None,
    latents_size: LatentSize = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Change a camera; what it has filmed stays as it is."""
    import app.cli.render_cameras  # noqa: F401 - registers the tables
    from app.services import camera_registry
    from app.services.access import find_camera

    fields = _fields(
        timezone=timezone,
        fps=fps,
        watch=watch,
        records=record,
        records_sound=sound,
        transport=transport,
        recording_days=recordings_days,
        recording_bytes=recordings_size,
        still_days=stills_days,
        still_bytes=stills_size,
        latent_days=latents_days,
        latent_bytes=latents_size,
    )
    if not fields.model_fields_set and (name, address, on) == (None, None, None):
        raise typer.BadParameter("give what is to be changed, such as --name or --off")
    with open_library(home) as context:
        row = find_camera(context, camera)
        row = camera_registry.change_camera(
            context, row, fields, name=name, address=address, enabled=on
        )
        document = camera_registry.show_camera(context, row.id)
    open_screen(json=json).show(document)


@cli.command("rm")
def remove_camera(
    camera: Camera,
    footage: Annotated[
        bool, typer.Option("--footage", help="Delete all that it has filmed, too.")
    ] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Remove a camera; one that has filmed only together with its footage."""
    from app.services import camera_registry
    from app.services.access import find_camera

    with open_library(home) as context:
        row = find_camera(context, camera)
        document = camera_registry.remove_camera(context, row, with_footage=footage)
    open_screen(json=json).show(document)


@cli.command("export")
def export_clip(
    camera: Camera,
    file: Annotated[Path, typer.Argument(help="MP4 file to write.")],
    start: Annotated[str, typer.Option("--start", help="Date and time: 2026-03-01T22:00.")],
    end: Annotated[str, typer.Option("--end", help="Date and time.")],
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite a file that is there already.")
    ] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Cut a clip out of a camera's recording by the wall clock, without re-encoding."""
    from app.services.access import find_camera
    from app.services.playback import export_camera_clip
    from app.timefmt import parse_moment, to_utc

    moments = (parsed(parse_moment, start), parsed(parse_moment, end))
    with open_library(home) as context:
        row = find_camera(context, camera)
        zone = context.settings.media.zone(row.timezone)
        start_at, end_at = (to_utc(moment, zone) for moment in moments)
        document = export_camera_clip(context, row, start_at, end_at, file, may_replace=force)
    open_screen(json=json).show(document)


@cli.command("evidence")
def export_evidence(
    folder: Annotated[Path, typer.Argument(help="New folder to write.")],
    camera: Annotated[
        list[str], typer.Option("--camera", help="ID or name of a camera; repeatable.")
    ],
    start: Annotated[str, typer.Option("--start", help="Date and time: 2026-03-01T22:00.")],
    end: Annotated[str, typer.Option("--end", help="Date and time.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Export a span of cameras as clips with a signed list of them, to be handed on."""
    from app.services.access import find_camera
    from app.services.camera_evidence import export_evidence
    from app.timefmt import parse_moment, to_utc

    moments = (parsed(parse_moment, start), parsed(parse_moment, end))
    with open_library(home) as context:
        rows = list(
            {row.id: row for row in (find_camera(context, name) for name in camera)}.values()
        )
        # One span for all of them, in local time of the first.
        zone = context.settings.media.zone(rows[0].timezone)
        start_at, end_at = (to_utc(moment, zone) for moment in moments)
        document = export_evidence(context, rows, start_at, end_at, folder)
    open_screen(json=json).show(document)


@cli.command("verify")
def verify_evidence(
    folder: Annotated[Path, typer.Argument(help="Folder that `cameras evidence` wrote.")],
    key: Annotated[
        Path | None, typer.Option("--key", help="Public key of whoever is said to have made it.")
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Verify exported evidence: its signature, and every clip against the list."""
    import app.cli.render_cameras  # noqa: F401 - registers the tables
    from app.services.evidence_check import check_evidence
    from storage.files import HomeFolder

    document = check_evidence(folder, HomeFolder(open_settings(home).home), key)
    open_screen(json=json).show(document)


@cli.command("test")
def try_camera(
    camera: Annotated[str, typer.Argument(help="ID or name of a camera, or an address.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Connect to a camera and tell what it sends; nothing is kept."""
    import app.cli.render_cameras  # noqa: F401 - registers the tables
    from app.services import camera_registry
    from app.services.access import find_camera
    from engine.media.address import is_address

    with open_library(home) as context:
        if is_address(camera):
            document = camera_registry.try_address(context, camera)
        else:
            row = find_camera(context, camera)
            document = camera_registry.try_camera(context, row)
    open_screen(json=json).show(document)


def _device_password() -> str:
    """Return the password of a device: asked for on a terminal, else a line of standard input."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")


def _fields(**options: Any) -> Any:
    """Return what was given of a camera, checked as a request is.

    Raises:
        BadParameter: A value that is not allowed.
    """
    from pydantic import ValidationError

    from app.schemas.cameras import CameraFields

    given = {name: value for name, value in options.items() if value is not None}
    if given.get("watch") == [NONE]:
        given["watch"] = []

    def check(values: dict[str, Any]) -> CameraFields:
        try:
            return CameraFields(
                **{name: None if value == NONE else value for name, value in values.items()}
            )
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            raise ValueError(f"{first['input']!r}: {first['msg']}") from error

    return parsed(check, given)  # type: ignore[arg-type]
