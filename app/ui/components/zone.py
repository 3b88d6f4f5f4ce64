"""A zone or a line that is drawn on a picture; its corners go to a field beside it as text."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final

from app.ui.components.base import OwnComponent


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneDrawing:
    """The value of `ZonePicture`."""

    picture: str = ""
    """Address of the still to draw on."""
    corners: tuple[tuple[float, float], ...] = ()
    """In shares of width and height, from the upper left."""
    shape: str = "zone"
    """`zone`, or `line` of two ends."""


_MARKUP: Final = (
    '<div class="lw part zone" hidden><div class="zone-frame"><img alt="" draggable="false">'
    '<svg viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true">'
    '<polygon points="" vector-effect="non-scaling-stroke"/></svg><div class="handles"></div>'
    '<template><button type="button"></button></template></div>'
    '<div class="row"><p class="faint">Click on the picture to set a corner, or an end of the '
    "line; drag it to move it, or use the arrow keys.</p>"
    '<button type="button" class="quiet" data-clear>Clear</button></div></div>'
)


class ZonePicture(OwnComponent):
    """A still on which corners are set by a click and moved by dragging; arrows move the focused.

    Events: `draw`, with `corners` as text such as `0.1,0.5 0.9,0.5`.
    """

    script: ClassVar[str] = "zone"
    triggers: ClassVar[tuple[str, ...]] = ("draw",)

    def __init__(self, value: ZoneDrawing | None = None, **options: Any) -> None:
        """Show a picture, or nothing yet."""
        options["html_template"] = _MARKUP
        super().__init__(value, **options)

    def postprocess(self, value: Any) -> Any:
        """Return a `ZoneDrawing` as JSON; what is JSON already stays as it is."""
        return asdict(value) if isinstance(value, ZoneDrawing) else value
