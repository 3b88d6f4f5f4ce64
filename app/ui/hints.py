"""Hints in the words of the web: where a hint names a command, a page says what does the same."""

import re
from typing import Final

from app.services.access import Access, visible_text

_COMMAND: Final = re.compile(r"`(longwatch [^`]+)`")
_WAYS: Final = (
    (re.compile(r"`longwatch ingest VIDEO` or the library page adds"), "the library page adds"),
    (re.compile(r"`longwatch videos list` shows"), "the library shows"),
    (re.compile(r"`longwatch videos rm [^`]+`"), "delete it in the library"),
    (re.compile(r"`longwatch observe` looks"), "“Observe” on its page looks"),
    (re.compile(r"`longwatch user list`"), "Settings"),
    (re.compile(r"`longwatch cameras add`"), "the Cameras page"),
    (re.compile(r"`longwatch ingest [^`]+` reads"), "“Go on reading” in the library reads"),
    (re.compile(r"run `longwatch ingest FILE`"), "choose “Go on reading” in the library"),
)
"""What a page does in place of a command."""
ASK_AN_ADMIN: Final = "an administrator of this server can help"


def web_hint(hint: str | None, access: Access | None) -> str | None:
    """Return a hint as a page shows it.

    What no page does stays a command for an admin, who may run it; others are sent to an admin.

    Args:
        access: Of whoever reads it; `None` for a stranger.
    """
    if hint is None:
        return None
    for pattern, words in _WAYS:
        hint = pattern.sub(words, hint)
    if _COMMAND.search(hint):
        if access is None or access.granted is not None:
            return ASK_AN_ADMIN
        hint = _COMMAND.sub(r"the command “\1”", hint)
    return visible_text(hint.replace("`", ""), access)
