"""A timer that rests while nobody looks."""

from typing import Any

from app.ui.components.base import OwnComponent


class Pulse(OwnComponent):
    """Triggers an event again and again, as `gr.Timer`, but not while its tab is hidden.

    Value: seconds between two events; a handler that returns another number changes the pace.

    Props: `tells`, whether it goes on in a hidden tab where the browser may show notifications.

    Events: `beat`.
    """

    script = "pulse"
    triggers = ("beat",)

    def __init__(self, value: float = 5.0, *, tells: bool = False, **options: Any) -> None:
        """Beat every so many seconds."""
        options.update(html_template="", elem_classes=["lw-hidden"], tells=tells)
        super().__init__(value, **options)

    def postprocess(self, value: float | None) -> Any:  # type: ignore[override]
        """Return the seconds as they are."""
        return value
