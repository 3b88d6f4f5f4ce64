"""Resumable uploads to our tus server."""

import json
from typing import Any, Final

from markupsafe import Markup

from app.ui.components.base import OwnComponent
from app.ui.markup import icon, part

_WORDS: Final = {
    "waiting": "waits,",
    "paused": "paused at",
    "failed": "stopped at",
    "refused": "refused,",
    "kept": "unfinished: choose the file again,",
    "elsewhere": "on its way in another tab,",
}
"""States of a file; one that is going says nothing."""
_BUTTONS: Final = (("pause", "Pause"), ("go", "Go on"), ("drop", "Cancel"))
_ROW: Final = Markup(
    '<template data-words="{}"><div class="upload"><div class="name"><strong></strong> '
    '<span class="faint">'
    '<em></em> <b></b> of <i></i></span></div><div class="row">{}</div>'
    '<progress max="1" aria-label="Uploading"></progress>'
    '<p class="reason wrong" role="alert"></p></div></template>'
).format(
    json.dumps(_WORDS),
    Markup("").join(
        Markup(
            '<button type="button" class="quiet" data-do="{0}" aria-label="{1}">{1}</button>'
        ).format(*button)
        for button in _BUTTONS
    ),
)


class Upload(OwnComponent):
    """A place to drop files, and a list of what is on its way.

    By tus-js-client against `/api/v1/uploads`: retried with pauses, resumed after a reload or
    when the network is back, one file after the other whatever becomes of each. A browser that may
    open a file again goes on with it on whichever page comes next.

    Events: `added`, with `video_id`, when a file has arrived whole; `other`, by a second button.
    """

    script = "upload"
    triggers = ("added", "other")

    def __init__(self, *, other: str = "", **options: Any) -> None:
        """Offer the place.

        Args:
            other: The text of a second button; there is none where it is empty.
        """
        second = Markup('<button type="button" data-do="other">{}</button>').format(other)
        options["value"] = part(
            Markup(
                '<div class="drop">{}<div><strong>Drop videos here</strong>'
                '<div class="faint">An upload that stops goes on where it was.</div></div>'
                '<input type="file" id="lw-files" multiple hidden aria-label="Choose videos" '
                'accept="video/*,audio/*,.mkv,.ts,.avi,.mov,.webm">'
                '<div class="end">{}<button type="button" class="primary" data-do="choose">'
                "Choose files</button></div></div>"
                '<div class="uploads"></div>{}'
            ).format(icon("up"), second if other else "", _ROW)
        )
        super().__init__(**options)
