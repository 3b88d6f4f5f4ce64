"""The box of a question: words, and beside them pictures where whoever answers reads any.

A picture has an address on the page. Until it was asked about it is a file that Gradio took
(`app/ui/session_guard.py` lets each user see their own); afterwards it is kept with its
conversation. A question that is asked again is asked with what these addresses hold.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

import gradio as gr
from gradio.utils import get_upload_folder
from markupsafe import Markup

from app.api.auth import Principal
from app.api.deps import AppContext
from app.services.context import ServiceContext
from app.services.conversations import turn_image
from app.services.images import as_address, takes_images
from app.ui.markup import part
from engine.errors import NotFoundError

Box = gr.Textbox | gr.MultimodalTextbox
BoxValue = str | Mapping[str, Any] | None
"""What a box holds: words, or words and the paths of pictures."""

KEEP_UPLOADS_S: Final = 3600
"""Seconds after which a picture that was put into the box is deleted, asked about or not."""
_FILE: Final = "/ui/gradio_api/file="
_KEPT: Final = re.compile(r"/api/v1/conversations/(\w+)/turns/(\d{1,9})/images/(\d{1,9})\.jpg")
_SOURCE: Final = re.compile(r'<img src="([^"]+)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question as it stands on the page."""

    words: str
    pictures: tuple[str, ...] = ()
    """Addresses of those beside it."""

    @property
    def in_box(self) -> Any:
        """Value of a box to ask it anew; the words alone where pictures are kept ones."""
        if not self.pictures or not all(source.startswith(_FILE) for source in self.pictures):
            return self.words
        paths = [unquote(source.removeprefix(_FILE)) for source in self.pictures]
        return {"text": self.words, "files": paths}


def draw_box(context: AppContext) -> Box:
    """Draw the box; pictures may be picked, pasted or dropped where a question may have some."""
    services = context.services
    options: dict[str, Any] = {
        "label": "Question",
        "show_label": False,
        "container": False,
        "placeholder": "Ask about what was filmed",
        "max_lines": 6,
        # Until the page knows its video: what is asked before would be asked of none.
        "interactive": False,
        # Its own buttons: those of `gr.Button` would be two more files to load.
        "submit_btn": "Ask",
        "elem_id": "lw-question",
    }
    n_chars = int(services.settings.limits.question_chars)
    if not takes_images(services):
        return gr.Textbox(**options, max_length=n_chars)
    return gr.MultimodalTextbox(
        **options, file_types=["image"], file_count="multiple", max_plain_text_length=n_chars
    )


def upload_limit_bytes(services: ServiceContext) -> int:
    """Return the most bytes of a file that pages may upload to Gradio; 0 where none may be."""
    return int(services.settings.limits.image_bytes) if takes_images(services) else 0


def read_box(value: BoxValue) -> Asked:
    """Return what stands in a box."""
    if not isinstance(value, Mapping):
        return Asked(words=(value or "").strip())
    files = value.get("files") or ()
    return Asked(
        words=(value.get("text") or "").strip(),
        pictures=tuple(f"{_FILE}{quote(path)}" for path in files),
    )


def draw_pictures(sources: Sequence[str]) -> gr.HTML:
    """Return pictures as a part of a message, by their addresses."""
    drawn = Markup("").join(
        Markup(
            '<a href="{0}" target="_blank" rel="noopener"><img src="{0}" alt="Picture {1} beside '
            'the question"></a>'
        ).format(source, number)
        for number, source in enumerate(sources, start=1)
    )
    return gr.HTML(part(drawn, kind="beside"), apply_default_css=False)


def sources_of(message: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the addresses of the pictures in a message, which Gradio hands over in parts."""
    content = message["content"]
    parts = content if isinstance(content, list) else []
    drawn = [item.get("value") for item in parts if isinstance(item, dict)]
    return tuple(
        str(Markup(source).unescape())
        for markup in drawn
        if isinstance(markup, str)
        for source in _SOURCE.findall(markup)
    )


def as_addresses(
    services: ServiceContext, principal: Principal, sources: Sequence[str]
) -> list[str]:
    """Return pictures as a question takes them, by their addresses on the page.

    Raises:
        NotFoundError: One is no picture of this user's, or is gone.
    """
    return [as_address(_read(services, principal, source)) for source in sources]


def _read(services: ServiceContext, principal: Principal, source: str) -> bytes:
    kept = _KEPT.fullmatch(source)
    if kept is not None:
        return turn_image(services, principal.user.id, kept[1], int(kept[2]), int(kept[3]))
    # Folders of uploads are named by a hash of what lies in them: whoever names one has it.
    path = Path(unquote(source.removeprefix(_FILE))).resolve()
    folder = Path(get_upload_folder()).resolve()
    if not (source.startswith(_FILE) and path.is_relative_to(folder) and path.is_file()):
        raise NotFoundError("a picture beside this question is gone", hint="attach it again")
    return path.read_bytes()
