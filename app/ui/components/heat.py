"""A heat map whose cells are buttons: shares over two axes, compared with those of another."""

from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from app.ui.components.base import OwnComponent
from app.ui.markup import NOTHING, part

CIVIDIS: Final = (
    "#00224e",
    "#123570",
    "#3b496c",
    "#575d6d",
    "#707173",
    "#8a8678",
    "#a59c74",
    "#c3b369",
    "#fee838",
)
"""From matplotlib, at nine even steps: even to those who do not see red or green."""
_LIGHT: Final = 0.55
"""From this share on the ink is dark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatCell:
    """A share, with where it stands."""

    key: str
    """What the event names."""
    row: str
    column: str
    part: int
    whole: int
    before: float | None = None
    """The share that this one is compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatTable:
    """One figure over both axes."""

    title: str
    corner: str
    """The name of the rows' axis."""
    rows: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    """Names, each with a word below it."""
    cells: tuple[HeatCell, ...]
    """Cells that are not there yet are shown as waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatData:
    """The value of `HeatMap`."""

    tables: tuple[HeatTable, ...] = ()
    chosen: str = ""
    """The key of the cell that is open."""


class HeatMap(OwnComponent):
    """Heat maps of a `HeatData`, side by side. Arrow keys walk the cells of one.

    Events: `pick`, with the `key` of a cell.
    """

    script = "relay"
    triggers = ("pick",)

    def postprocess(self, value: HeatData | str | None) -> str:
        """Return the tables as markup."""
        if value is None or isinstance(value, str):
            return value or ""
        if not value.tables:
            return ""
        tables = Markup("").join(_table(table, value.chosen) for table in value.tables)
        return part(tables, kind="heats")


def _table(table: HeatTable, chosen: str) -> Markup:
    heads = Markup("").join(
        Markup('<th scope="col">{}<br>{}</th>').format(name, below) for name, below in table.columns
    )
    cells = {(cell.row, cell.column): cell for cell in table.cells}
    keys = [cell.key for cell in table.cells]
    # One cell alone is a stop of the keyboard; arrows go from it to the others.
    stop = chosen if chosen in keys else next(iter(keys), "")
    rows = Markup("").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            row,
            Markup("").join(
                _cell(table.title, cells.get((row, column)), chosen, stop)
                for column, _ in table.columns
            ),
        )
        for row in table.rows
    )
    return Markup(
        '<figure><h3>{}</h3><table class="heat"><thead><tr><th scope="col">{}</th>{}</tr></thead>'
        '<tbody data-walk="td > :first-child" data-across="{}">{}</tbody></table></figure>'
    ).format(table.title, table.corner, heads, len(table.columns), rows)


def _cell(title: str, cell: HeatCell | None, chosen: str, stop: str) -> Markup:
    if cell is None:
        return Markup('<td class="none"><span class="sr">not measured yet</span>…</td>')
    share = cell.part / cell.whole if cell.whole else 0.0
    below = f"{cell.part}/{cell.whole}"
    change = ""
    if cell.before is not None:
        delta = share - cell.before
        sign = "+" if delta > 0 else "\N{MINUS SIGN}" if delta < 0 else "\N{PLUS-MINUS SIGN}"
        below = f"{sign}{abs(delta):.2f}"
        change = f", {below} against the other run"
    # The words that are seen come first in the name: whoever speaks to the page says those.
    return Markup(
        '<td><button type="button" data-event="pick" data-key="{}" tabindex="{}" '
        'aria-pressed="{}" style="background:{};color:{}" '
        'aria-label="{:.2f} {}: {}, {}, {}, {} of {}{}">{:.2f}<small>{}</small></button></td>'
    ).format(
        cell.key,
        0 if cell.key == stop else -1,
        "true" if cell.key == chosen else "false",
        CIVIDIS[round(share * (len(CIVIDIS) - 1))],
        "#14171a" if share > _LIGHT else "#ffffff",
        share,
        below,
        title,
        cell.column,
        cell.row,
        cell.part,
        cell.whole,
        change or NOTHING,
        share,
        below,
    )
