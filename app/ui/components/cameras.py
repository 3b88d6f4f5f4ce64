"""A wall of cameras: the last picture of each, its state since when, and its latest hour."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from markupsafe import Markup

from app.schemas.cameras import CameraItem
from app.sizes import size_text
from app.ui.components.base import OwnComponent
from app.ui.markup import NOTHING, empty, local_time, part
from engine.plural import counted

_CHIPS: Final = {
    "live": "ready",
    "starting": "running",
    "stalled": "failed",
    "unreachable": "failed",
    "refused": "failed",
    "off": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraWallData:
    """The value of `CameraWall`."""

    cameras: Sequence[CameraItem]
    may_change: bool
    """Whether the reader may change, try and switch cameras."""


class CameraWall(OwnComponent):
    """Cards of a `CameraWallData`.

    Events: `act`, with `action` (`edit`, `test`, `on`, `off`) and `key`, the camera's id.
    """

    script: ClassVar[str] = "relay"
    triggers: ClassVar[tuple[str, ...]] = ("act",)

    def postprocess(self, value: CameraWallData | str | None) -> str:
        """Return the cards as markup."""
        if value is None or isinstance(value, str):
            return value or ""
        if not value.cameras:
            words = (
                "Add the first one below: a name, and its address."
                if value.may_change
                else "An administrator adds cameras and says who may see them."
            )
            return part(empty("film", "No camera yet", words))
        cards = Markup("").join(_card(item, value.may_change) for item in value.cameras)
        return part(Markup('<div class="wall">{}</div>').format(cards))


def _card(camera: CameraItem, may_change: bool) -> Markup:
    chip = Markup('<span class="chip {}"><span class="dot"></span>{}</span>').format(
        _CHIPS[camera.state], camera.state
    )
    note = Markup('<p class="reason">{}</p>').format(camera.note) if camera.note else NOTHING
    return Markup(
        '<article class="card" aria-label="{}">{}<div class="body"><div class="top">'
        '<h2>{}</h2></div><div class="row">{}<span class="faint">since {}</span></div>{}'
        '<div class="facts">{}</div>{}{}</div></article>'
    ).format(
        camera.name,
        _cover(camera),
        camera.name,
        chip,
        local_time(camera.since),
        note,
        Markup("").join(map(Markup("<span>{}</span>").format, _facts(camera))),
        _strip(camera),
        _buttons(camera) if may_change else NOTHING,
    )


def _cover(camera: CameraItem) -> Markup:
    if camera.last_picture_url is None:
        return Markup('<div class="cover"></div>')
    return Markup('<div class="cover"><img src="{}" alt="The last picture of {}"></div>').format(
        camera.last_picture_url, camera.name
    )


def _facts(camera: CameraItem) -> list[str]:
    facts = [counted(camera.reconnects, "reconnect")]
    if camera.recorded_bytes_per_hour is not None:
        facts.append(f"{size_text(round(camera.recorded_bytes_per_hour))} an hour")
    facts.append(
        f"{size_text(camera.recorded_bytes)} recorded" if camera.records else "not recorded"
    )
    if camera.frames_dropped:
        facts.append(f"{counted(camera.frames_dropped, 'frame')} dropped")
    return facts


def _strip(camera: CameraItem) -> Markup:
    """Return the latest hour as small pictures, each a link to its moment."""
    pictures = Markup("").join(
        Markup(
            '<a href="/ui/watch?v={}&amp;t={}"><img src="{}" alt="{}" loading="lazy"></a>'
        ).format(*_moment(picture.url), picture.url, f"{camera.name} at {picture.at[11:19]}")
        for picture in camera.pictures
    )
    return Markup('<div class="stills">{}</div>').format(pictures) if pictures else NOTHING


def _moment(url: str) -> tuple[str, str]:
    """Return the video and the time of the address of a still."""
    path, _, query = url.partition("?t=")
    return path.split("/")[2], query.partition("&")[0]


def _buttons(camera: CameraItem) -> Markup:
    switch = ("off", "Switch off") if camera.enabled else ("on", "Switch on")
    actions = (("test", "Test"), ("edit", "Change"), switch)
    buttons = Markup("").join(
        Markup(
            '<button type="button" class="quiet" data-action="{}" data-key="{}" '
            'aria-label="{} {}">{}</button>'
        ).format(action, camera.camera_id, text, camera.name, text)
        for action, text in actions
    )
    return Markup('<div class="row acts">{}</div>').format(buttons)
