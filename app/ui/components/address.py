"""The query string of the page as a value: any state of a page is a link."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from app.ui.components.base import OwnComponent

MAX_CHARS: Final = 8000
"""Longest query string that is read."""


class Address(OwnComponent):
    """Query string of the page.

    A new value becomes a new entry of the browser's history. Where the user goes back or forward
    to another entry, `revisit` is triggered with `query`, the query string to show.

    Events: `revisit`.
    """

    script = "address"
    triggers = ("revisit",)

    def __init__(
        self,
        value: Mapping[str, str] | None = None,
        *,
        keeps: Sequence[str] = (),
        **options: Any,
    ) -> None:
        """Leave the address as it is until a value is given.

        Args:
            keeps: Fields that other scripts write; a value without them leaves them as they are.
        """
        options["keeps"] = list(keeps)
        options.update(html_template="", elem_classes=["lw-hidden"])
        super().__init__(value, **options)

    def postprocess(self, value: Mapping[str, str] | str | None) -> str:
        """Return names with their values as a query string, without those that are empty."""
        if value is None or isinstance(value, str):
            return value or ""
        # With its mark, so that an empty one too is told from none yet.
        return "?" + urlencode({name: text for name, text in value.items() if text})


def read_query(query: str) -> dict[str, str]:
    """Return the fields of a query string; of a name that stands twice, the last."""
    return dict(parse_qsl(query.removeprefix("?")[:MAX_CHARS]))
