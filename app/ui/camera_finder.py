"""The panel that finds cameras on the network, and takes the address of a stream from one."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import gradio as gr
from markupsafe import Markup

from app.api.cameras import discover_cameras, list_streams
from app.api.deps import AppContext
from app.schemas.discovery import CameraStreamItem, CameraStreamsRequest, FoundCamera
from app.ui.caller import EVENT, as_sentences, checked, require_session
from app.ui.components.drawer import DrawerHead
from app.ui.markup import empty, part, problem
from app.ui.seen import ActionPanel
from engine.errors import LongwatchError
from engine.media.onvif import with_sign_in

Update = dict[Any, object]
_CALLING: Final = '<p class="faint" role="status">Calling for cameras; it takes some seconds.</p>'


class CameraFinder:
    """The panel, for one server."""

    def __init__(self, context: AppContext) -> None:
        """Draw nothing yet."""
        self._context = context

    def draw(self) -> None:
        """Draw the panel, closed."""
        with gr.Column(
            visible=False, elem_classes=["lw-drawer"], elem_id="lw-find-cameras"
        ) as self._drawer:
            self._head = DrawerHead()
            self._found = ActionPanel(elem_id="lw-found-cameras")
            self._device = gr.Textbox(
                label="Device", placeholder="10.0.0.7", elem_id="lw-found-device"
            )
            self._user = gr.Textbox(label="Name at the device", elem_id="lw-found-user")
            self._password = gr.Textbox(
                label="Password", type="password", elem_id="lw-found-password"
            )
            self._ask = gr.Button("List its streams", elem_id="lw-found-ask")
            self._streams = ActionPanel(elem_id="lw-found-streams")

    def wire(self, opener: gr.Button, take: Callable[[str], Update], fields: Sequence[Any]) -> None:
        """Wire the events.

        Args:
            take: Returns the fields of the form with the address of a stream in them.
        """
        shown = [self._drawer, self._head, self._found, self._device, self._user]
        shown += [self._password, self._streams]
        self._take = take
        opener.click(self.open, None, shown, **EVENT).then(
            self.search, None, [self._found], **EVENT
        )
        self._head.leave(self.close, None, shown, **EVENT)
        self._found.act(self.choose, None, [self._device], **EVENT)
        given: set[Any] = {self._device, self._user, self._password}
        self._ask.click(self.ask, given, [self._streams], **EVENT)
        self._streams.act(self.use, {self._user, self._password}, [*shown, *fields], **EVENT)

    def open(self, request: gr.Request) -> Update:
        """Open the panel, and say that it is being looked."""
        with as_sentences(request):
            require_session(request, admin=True)
            return {**self._emptied(is_open=True), self._found: part(Markup(_CALLING))}

    def search(self, request: gr.Request) -> str:
        """Call for cameras, and show those that answer."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
            return _devices(discover_cameras(self._context, principal).devices)

    def close(self) -> Update:
        """Close the panel; no password stays in it."""
        return self._emptied(is_open=False)

    def choose(self, event: gr.EventData) -> str:
        """Write the address of a device that was found into its field."""
        return str(event.key)

    def ask(self, texts: dict[Any, Any], request: gr.Request) -> str:
        """Ask a device for its streams; what cannot be is said beside the button."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
        try:
            body = checked(
                CameraStreamsRequest,
                address=(texts[self._device] or "").strip(),
                user=(texts[self._user] or "").strip(),
                password=texts[self._password] or "",
            )
            return _streams(list_streams(self._context, principal, body).streams)
        except LongwatchError as error:
            return part(problem(f"{error.message}.", error.hint))

    def use(self, texts: dict[Any, Any], event: gr.EventData, request: gr.Request) -> Update:
        """Take a stream into the form, with the sign-in of the device, and close the panel."""
        with as_sentences(request):
            require_session(request, admin=True)
            user = (texts[self._user] or "").strip()
            sign_in = (user, texts[self._password] or "") if user else None
            address = with_sign_in(str(event.key), sign_in)
            return {**self._emptied(is_open=False), **self._take(address)}

    def _emptied(self, *, is_open: bool) -> Update:
        return {
            self._drawer: gr.update(visible=is_open),
            self._head: "Find cameras" if is_open else "",
            self._found: "",
            self._device: "",
            self._user: "",
            self._password: "",
            self._streams: "",
        }


def _devices(devices: Sequence[FoundCamera]) -> str:
    if not devices:
        words = "ONVIF may be switched off there, or a network between. Write the device below."
        return part(empty("film", "No camera answers", words))
    lines = (
        _line(device.name, " ".join(filter(None, (device.hardware, device.location))), device)
        for device in devices
    )
    return part(Markup("").join(lines), kind="stack")


def _line(name: str, more: str, device: FoundCamera) -> Markup:
    return _choice("device", device.address, name, " ".join(filter(None, (more, device.address))))


def _streams(streams: Sequence[CameraStreamItem]) -> str:
    if not streams:
        return part(problem("None of its streams is at an address that is opened."))
    return part(
        Markup("").join(
            _choice(
                "use",
                stream.address,
                stream.name or stream.profile,
                f"{stream.codec} {stream.width_px}x{stream.height_px} {stream.address}",
            )
            for stream in streams
        ),
        kind="stack",
    )


def _choice(action: str, key: str, name: str, more: str) -> Markup:
    return Markup(
        '<div class="row"><button type="button" data-action="{}" data-key="{}">{}'
        '</button><span class="faint">{}</span></div>'
    ).format(action, key, name, more)
