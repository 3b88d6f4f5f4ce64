"""Cameras: how each is doing and what it shows; added, tried, changed and switched by an admin."""

from typing import Any, Final

import gradio as gr
from markupsafe import Markup

from app.api.auth import Principal
from app.api.cameras import add_camera, change_camera, get_camera, list_cameras, try_address
from app.api.cameras import try_camera as try_known
from app.api.deps import AppContext
from app.schemas.cameras import (
    AddCameraRequest,
    CameraItem,
    CameraTrialResponse,
    ChangeCameraRequest,
    TryCameraRequest,
)
from app.ui.caller import EVENT, PASSIVE, as_sentences, checked, require_reader, require_session
from app.ui.camera_finder import CameraFinder
from app.ui.components.cameras import CameraWall, CameraWallData
from app.ui.components.pulse import Pulse
from app.ui.layout import line
from app.ui.markup import heading, part, problem
from engine import plugins
from engine.errors import LongwatchError
from engine.plural import counted
from engine.sight import observers

LOOK_S: Final = 4.0
GIB: Final = 2**30

Update = dict[Any, object]


def build(context: AppContext, blocks: gr.Blocks) -> None:
    """Draw the page."""
    CamerasPage(context).draw(blocks)


class CamerasPage:
    """The page, for one server."""

    def __init__(self, context: AppContext) -> None:
        """Draw nothing yet."""
        self._context = context
        self._finder = CameraFinder(context)

    def draw(self, blocks: gr.Blocks) -> None:
        """Draw the components and wire their events."""
        note = "What nobody filmed is a gap, not an hour without events."
        gr.HTML(heading("Cameras", note=note), apply_default_css=False)
        self._wall = CameraWall(elem_id="lw-cameras")
        self._pulse = Pulse(LOOK_S)
        self._changed = gr.State("")
        with gr.Column(
            visible=False, elem_classes=["lw-card"], elem_id="lw-camera-form"
        ) as self._form:
            self._title = gr.HTML(_title("Add a camera"), apply_default_css=False)
            self._draw_fields()
            self._answer = gr.HTML(apply_default_css=False, elem_id="lw-camera-answer")
            with line("actions"):
                self._save = gr.Button("Save", variant="primary", elem_id="lw-camera-save")
                self._test = gr.Button("Test the connection", elem_id="lw-camera-test")
                self._find = gr.Button("Find cameras", elem_id="lw-camera-find")
                self._leave = gr.Button("Leave it as it is", visible=False)
        self._finder.draw()
        shown = [self._wall, self._form, self._changed, self._title, *self._fields]
        shown += [self._answer, self._leave]
        blocks.load(self.show, None, shown, **PASSIVE)
        self._pulse.beat(self.look, None, [self._wall], **PASSIVE)
        self._wall.act(self.act, None, shown, **EVENT)
        given: set[Any] = {self._changed, *self._fields}
        self._save.click(self.save, given, shown, **EVENT)
        self._test.click(self.test, given, [self._answer], **EVENT)
        self._leave.click(self.show, None, shown, **EVENT)
        self._finder.wire(self._find, self._taken, [self._address, self._answer])

    def _draw_fields(self) -> None:
        with line("fields"):
            self._name = gr.Textbox(label="Name", max_length=120, elem_id="lw-camera-name")
            self._address = gr.Textbox(
                label="Address, with name and password where it wants them",
                placeholder="rtsp://name:password@host/path",
                elem_id="lw-camera-address",
            )
        with line("fields"):
            self._timezone = gr.Textbox(label="Zone", placeholder="Europe/Berlin")
            self._fps = gr.Textbox(label="Frames a second (empty: the setting)")
            self._watch = gr.Dropdown(
                list(plugins.names(observers)),
                label="Watched for (empty: the setting)",
                multiselect=True,
            )
        with line("fields"):
            self._records = gr.Checkbox(value=True, label="Record what it sends")
            self._sound = gr.Checkbox(value=True, label="Record its sound")
            self._transport = gr.Dropdown(
                [
                    ("TCP, and UDP where it sends that alone", "auto"),
                    ("TCP", "tcp"),
                    ("UDP", "udp"),
                ],
                value="auto",
                label="RTSP over",
            )
        with line("fields"):
            self._days = gr.Textbox(label="Days that recordings are kept")
            self._size = gr.Textbox(label="Most GiB of recordings")
            self._still_days = gr.Textbox(label="Days that stills are kept")
            self._latent_days = gr.Textbox(label="Days that it can be asked about")
        self._texts = {
            self._timezone: "timezone",
            self._fps: "fps",
            self._days: "recording_days",
            self._still_days: "still_days",
            self._latent_days: "latent_days",
        }
        self._fields = [self._name, self._address, *self._texts, self._watch]
        self._fields += [self._records, self._sound, self._transport, self._size]

    def show(self, request: gr.Request) -> Update:
        """Show the cameras, and an empty form to those who may add one."""
        with as_sentences(request):
            principal = require_reader(request)
            return {**self._cameras(principal), **self._filled(None, principal)}

    def look(self, request: gr.Request) -> Update:
        """Show the cameras as they are now; what is being written stays."""
        with as_sentences(request):
            return self._cameras(require_reader(request))

    def act(self, event: gr.EventData, request: gr.Request) -> Update:
        """Open, try or switch a camera."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
            if event.action == "test":
                trial = try_known(self._context, principal, event.key)
                gr.Info(_trial_words(trial))
                return self._cameras(principal)
            camera = get_camera(self._context, principal, event.key)
            if event.action == "edit":
                return {**self._cameras(principal), **self._filled(camera, principal)}
            body = ChangeCameraRequest(enabled=event.action == "on")
            change_camera(self._context, principal, event.key, body)
            return self._cameras(principal)

    def save(self, texts: dict[Any, Any], request: gr.Request) -> Update:
        """Add a camera, or change the one that is open; what cannot be is said beside the form."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
        try:
            fields = self._given(texts)
            if texts[self._changed]:
                if not fields["address"]:
                    del fields["address"]
                body = checked(ChangeCameraRequest, **fields)
                change_camera(self._context, principal, texts[self._changed], body)
            else:
                add_camera(self._context, principal, checked(AddCameraRequest, **fields))
        except LongwatchError as error:
            return {self._answer: part(problem(f"{error.message}.", error.hint))}
        return {**self._cameras(principal), **self._filled(None, principal)}

    def test(self, texts: dict[Any, Any], request: gr.Request) -> Update:
        """Connect to the address that is written, or to that of the camera that is open."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
        address = (texts[self._address] or "").strip()
        try:
            if not address and texts[self._changed]:
                trial = try_known(self._context, principal, texts[self._changed])
            else:
                body = checked(TryCameraRequest, address=address)
                trial = try_address(self._context, principal, body)
        except LongwatchError as error:
            return {self._answer: part(problem(f"{error.message}.", error.hint))}
        words = Markup('<p class="right" role="status">{}</p>').format(_trial_words(trial))
        return {self._answer: part(words)}

    def _taken(self, address: str) -> Update:
        """Return the form with the address of a stream that was found."""
        words = Markup('<p class="right" role="status">{}</p>').format(
            "The address is taken over. Give it a name, and save it."
        )
        return {self._address: address, self._answer: part(words)}

    def _given(self, texts: dict[Any, Any]) -> dict[str, Any]:
        """Return what is written in the form as fields of a request."""
        fields: dict[str, Any] = {
            name: (texts[field] or "").strip() or None for field, name in self._texts.items()
        }
        size = (texts[self._size] or "").strip()
        return {
            **fields,
            "name": (texts[self._name] or "").strip(),
            "address": (texts[self._address] or "").strip(),
            "watch": texts[self._watch] or [],
            "records": bool(texts[self._records]),
            "records_sound": bool(texts[self._sound]),
            "transport": texts[self._transport] or "auto",
            "recording_bytes": f"{size}GiB" if size else None,
        }

    def _cameras(self, principal: Principal) -> Update:
        cameras = list_cameras(self._context, principal).cameras
        return {self._wall: CameraWallData(cameras=cameras, may_change=principal.is_admin)}

    def _filled(self, camera: CameraItem | None, principal: Principal) -> Update:
        """Return the form with what is known of a camera; empty for a new one."""
        kept = None if camera is None else camera.retention
        size = None if kept is None else kept.recording_bytes
        values = {
            "timezone": camera and camera.timezone,
            "fps": camera and camera.fps,
            "recording_days": kept and kept.recording_days,
            "still_days": kept and kept.still_days,
            "latent_days": kept and kept.latent_days,
        }
        known = "" if camera is None else f"{camera.address} (write it again to change it)"
        return {
            self._form: gr.update(visible=principal.is_admin),
            self._changed: "" if camera is None else camera.camera_id,
            self._title: _title("Add a camera" if camera is None else f"Change {camera.name}"),
            self._name: "" if camera is None else camera.name,
            self._address: gr.update(
                value="", placeholder=known or "rtsp://name:password@host/path"
            ),
            **{field: _text(values[name]) for field, name in self._texts.items()},
            self._watch: [] if camera is None else camera.watch,
            self._records: camera is None or camera.records,
            self._sound: camera is None or camera.records_sound,
            self._transport: "auto" if camera is None else camera.transport,
            self._size: "" if size is None else f"{size / GIB:g}",
            self._answer: "",
            self._leave: gr.update(visible=camera is not None),
        }


def _title(text: str) -> str:
    return part(Markup("<h2>{}</h2>").format(text))


def _text(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _trial_words(trial: CameraTrialResponse) -> str:
    rate = "" if trial.fps is None else f", {counted(trial.fps, 'frame')} a second"
    codec = (trial.video_codec or "unknown").upper()
    size = f"{trial.width_px}x{trial.height_px}"
    return f"It answers: {codec} {size}{rate}, after {trial.took_s:.1f} s."
