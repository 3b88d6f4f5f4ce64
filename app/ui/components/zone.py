"""A zone or a line that is drawn on a picture; its corners go to a field beside it as text."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

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


class ZonePicture(OwnComponent):
    """A still on which corners are set by a click and moved by dragging; arrows move the focused.

    Events: `draw`, with `corners` as text such as `0.1,0.5 0.9,0.5`.
    """

    script: ClassVar[str] = "components/zone"
    triggers: ClassVar[tuple[str, ...]] = ("draw",)

    def __init__(self, value: ZoneDrawing | None = None, **options: Any) -> None:
        """Show a picture, or nothing yet."""
        options["html_template"] = ""
        super().__init__(value, **options)

    def postprocess(self, value: Any) -> Any:
        """Return a `ZoneDrawing` as JSON; what is JSON already stays as it is."""
        return asdict(value) if isinstance(value, ZoneDrawing) else value
