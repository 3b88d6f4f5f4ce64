"""Rows with actions: a table whose buttons trigger one event."""

from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

from app.ui.components.base import OwnComponent
from app.ui.markup import NOTHING, asked_first, part


@dataclass(frozen=True, slots=True, kw_only=True)
class RowAction:
    """A button at the end of a row."""

    action: str
    """What the event names."""
    text: str
    label: str
    """What it does to which row, for those who do not see the row."""
    asks: str = ""
    """What becomes of it, for what is asked first; nothing is asked when empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """Cells of one thing, with what can be done to it."""

    key: str
    cells: tuple[Markup | str, ...]
    """Text, or markup that is escaped already; as many as there are columns."""
    actions: tuple[RowAction, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableData:
    """The value of `Table`."""

    title: str
    """For those who do not see the table."""
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    wide_only: frozenset[str] = frozenset()
    """Columns that a phone has no room for."""
    instead: Markup = NOTHING
    """What stands in place of a table without rows."""


class Table(OwnComponent):
    """A table of a `TableData`; rows keep their focus when the value changes.

    Events: `act`, with `action` and `key` of the row.
    """

    script: ClassVar[str] = "relay"
    triggers: ClassVar[tuple[str, ...]] = ("act",)

    def postprocess(self, value: TableData | str | None) -> str:
        """Return the rows as markup."""
        if value is None or isinstance(value, str):
            return value or ""
        if not value.rows:
            return part(value.instead)
        heads = [*zip(value.columns, map(value.wide_only.__contains__, value.columns), strict=True)]
        head = Markup("").join(
            Markup('<th scope="col"{}>{}</th>').format(_wide(is_wide), name)
            for name, is_wide in heads
        )
        has_actions = any(row.actions for row in value.rows)
        last = Markup('<th scope="col"><span class="sr">Act</span></th>') if has_actions else ""
        body = Markup("").join(_row(row, heads, has_actions) for row in value.rows)
        return part(
            Markup(
                '<div class="panel scroll-x" tabindex="0" role="region" aria-label="{}">'
                "<table><thead><tr>{}{}</tr></thead><tbody>{}</tbody></table></div>"
            ).format(value.title, head, last, body)
        )


def _row(row: TableRow, heads: list[tuple[str, bool]], has_actions: bool) -> Markup:
    cells = Markup("").join(
        Markup("<td{}>{}</td>").format(_wide(is_wide), cell)
        for cell, (_, is_wide) in zip(row.cells, heads, strict=True)
    )
    buttons = Markup("").join(_button(action, row.key) for action in row.actions)
    acts = Markup('<td><div class="row acts">{}</div></td>').format(buttons)
    return Markup("<tr>{}{}</tr>").format(cells, acts if has_actions else "")


def _button(action: RowAction, key: str) -> Markup:
    if action.asks:
        question = f"{action.label}?"
        return asked_first(action.text, question, action.asks, action=action.action, key=key)
    return Markup(
        '<button type="button" class="quiet" data-action="{}" data-key="{}" '
        'aria-label="{}">{}</button>'
    ).format(action.action, key, action.label, action.text)


def _wide(is_wide: bool) -> Markup:
    return Markup(' class="wide-only"') if is_wide else NOTHING
