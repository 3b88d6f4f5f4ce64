"""Cards by key: of many only those that have changed are sent, and the others stay as they are."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from markupsafe import Markup

from app.ui.components.base import OwnComponent

MAX_KNOWN_CHARS: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GridChange:
    """The value of `CardGrid`; what is `None` stays as it was."""

    marks: Mapping[str, str] | None = None
    """A digest of each card that is shown from now on, in their order."""
    cards: Mapping[str, Markup] = field(default_factory=dict)
    """Those that the page does not have as they are now."""
    chosen: tuple[str, ...] | None = None
    """Cards that are chosen."""


class CardGrid(OwnComponent):
    """A grid of cards with menus, of which several can be chosen.

    Markup of a card: an `article` with buttons that carry `data-action` and `data-key`, and a
    check box of the class `pick` whose value is its key.

    Events: `act`, with `action` and `key` of a button; `choose`, with `keys`; `missing`, where
    the page lacks a card that it was not sent.
    """

    script = "grid"
    triggers = ("act", "choose", "missing")

    def __init__(self, **options: Any) -> None:
        """Show nothing yet."""
        options["html_template"] = '<div class="lw part cards"></div>'
        options.pop("value", None)
        super().__init__(None, **options)

    def postprocess(self, value: Any) -> Any:
        """Return a change as JSON; what is JSON already stays as it is."""
        if not isinstance(value, GridChange):
            return value
        return {
            "marks": None if value.marks is None else [*value.marks.items()],
            "cards": {key: str(card) for key, card in value.cards.items()},
            "chosen": None if value.chosen is None else [*value.chosen],
        }


def change_grid(
    cards: Mapping[str, Markup], known: str, *, chosen: Sequence[str] | None = None
) -> tuple[GridChange | None, str]:
    """Return what a page needs to show some cards, and what it knows then.

    Args:
        cards: All of them, in their order.
        known: What this returned the last time; empty at first.
        chosen: Cards that are chosen from now on; as they were when `None`.
    Returns:
        No change where there is none.
    """
    marks = {key: blake2b(card.encode(), digest_size=6).hexdigest() for key, card in cards.items()}
    knows = json.dumps(marks, separators=(",", ":"))
    if knows == known and chosen is None:
        return None, knows
    before = _marks(known)
    changed = {key: card for key, card in cards.items() if before.get(key) != marks[key]}
    picked = None if chosen is None else tuple(chosen)
    return GridChange(marks=marks, cards=changed, chosen=picked), knows


def _marks(known: str) -> dict[str, str]:
    try:
        marks = json.loads(known[:MAX_KNOWN_CHARS] or "{}")
    except ValueError:
        return {}
    return marks if isinstance(marks, dict) else {}
