"""The head of a panel that opens beside a page."""

from typing import Any

from markupsafe import Markup

from app.ui.components.base import OwnComponent
from app.ui.markup import icon, part


class DrawerHead(OwnComponent):
    """Title of a panel and its way out; the first component of a column of the class `lw-drawer`.

    When the column is shown its first field has the focus; when it leaves, whatever had it before.

    Value: the title.

    Events: `leave`, by the button or the Escape key.
    """

    script = "drawer"
    triggers = ("leave",)

    def postprocess(self, value: Any) -> str:
        """Return the title as markup; what is markup already stays as it is."""
        if not value or str(value).startswith("<"):
            return value or ""
        return part(
            Markup(
                '<h2>{}</h2><button type="button" class="quiet icon" data-event="leave" '
                'aria-label="Close">{}</button>'
            ).format(value, icon("close")),
            kind="drawer-head",
        )
