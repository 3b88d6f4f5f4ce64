"""A menu of videos that looks the names up while they are typed: a library has thousands."""

from collections.abc import Sequence
from typing import Any, Final

import gradio as gr

from app.api.deps import AppContext
from app.services.access import Access, newest_videos
from app.ui.caller import PASSIVE, as_sentences, require_reader
from engine.records import VideoId
from storage.records import VideoRow

MOST_NAMED: Final = 200
"""Videos that a menu offers at once: the newest ones, or the newest whose names fit."""

Choice = tuple[str, str]


class VideoPicker:
    """A `gr.Dropdown` of videos, whose values are their ids."""

    def __init__(
        self, context: AppContext, *, before: Sequence[Choice] = (), **options: Any
    ) -> None:
        """Draw the menu, empty until a page names what it shows.

        Args:
            before: Choices that are no videos, before those that are.
            options: Of the `gr.Dropdown`.
        """
        self._context = context
        self._before = list(before)
        self.menu = gr.Dropdown(self._before, **options)
        self._is_multiple = bool(options.get("multiselect"))
        self.menu.key_up(self._look_up, [self.menu], [self.menu], **PASSIVE)

    def show(self, access: Access, value: Sequence[str] | str | None) -> Any:
        """Return the menu with the newest videos, and with those that are chosen.

        Args:
            value: An id, or ids where several may be chosen.
        """
        chosen = [value] if isinstance(value, str) else list(value or ())
        choices = self._choices(access, chosen)
        kept = chosen if self._is_multiple else value
        is_needed = self._is_multiple or len(choices) > 1
        return gr.update(choices=choices, value=kept, visible=is_needed)

    def _look_up(self, value: Any, event: gr.KeyUpData, request: gr.Request) -> Any:
        """Offer the videos whose names hold what is typed."""
        with as_sentences(request):
            principal = require_reader(request)
            if len(self._context.videos(principal)) <= MOST_NAMED:
                # Every one is offered already, and the browser finds it.
                return gr.skip()
            chosen = [value] if isinstance(value, str) else list(value or ())
            return gr.update(choices=self._choices(principal, chosen, event.input_value))

    def _choices(self, access: Access, chosen: Sequence[str], words: str = "") -> list[Choice]:
        services = self._context.services
        rows = newest_videos(services, access, words=words, limit=MOST_NAMED)
        known = services.catalog.videos.by_id()
        offered = {str(row.id) for row in rows}
        older = [
            known[VideoId(video)]
            for video in chosen
            if video not in offered and VideoId(video) in known and access.may_see(VideoId(video))
        ]
        return [*self._before, *map(_choice, (*older, *rows))]


def _choice(row: VideoRow) -> Choice:
    return row.name, str(row.id)
