"""Buttons by which a moment is confirmed or rejected, wherever on a page it stands."""

import json
from typing import Any

from markupsafe import Markup

from app.schemas.verdicts import VerdictRequest
from app.ui.components.base import OwnComponent
from app.ui.markup import icon


class VerdictButtons(OwnComponent):
    """Listens to the buttons of `draw_verdict` on the whole page; it shows nothing itself.

    Events: `judge`, with `moment`, the fields of a `VerdictRequest`.
    """

    script = "verdicts"
    triggers = ("judge",)

    def __init__(self, **options: Any) -> None:
        """Listen."""
        options.update(html_template="", elem_classes=["lw-hidden"])
        super().__init__(None, **options)


def draw_verdict(moment: VerdictRequest, about: str) -> Markup:
    """Return the two buttons of a moment.

    Args:
        moment: With the verdict that was given before, if there is one.
        about: The moment in words, for those who do not see it.
    """
    return Markup(
        '<span class="verdict" role="group" aria-label="Verdict on {}" data-moment="{}">{}{}</span>'
    ).format(
        about,
        json.dumps(moment.model_dump()),
        _button("right", "check", "This is right", moment),
        _button("wrong", "close", "This is wrong", moment),
    )


def _button(verdict: str, shape: str, label: str, moment: VerdictRequest) -> Markup:
    return Markup(
        '<button type="button" class="quiet" data-judge="{}" aria-pressed="{}" title="{}" '
        'aria-label="{}">{}</button>'
    ).format(verdict, "true" if moment.verdict == verdict else "false", label, label, icon(shape))
