"""Tables without lines, thousands of rows at once.

Rich measures and styles each cell by itself, some 0.15 ms of a processor for each. Here a row whose
cells fit their columns is padded as text; how wide columns are, and rows that wrap, stay Rich's.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table

_GAP: Final = 2
"""Columns of a terminal between two columns of a table."""


class PlainTable(Table):
    """A table of texts without lines, as Rich draws it on a console that knows no markup."""

    def __init__(self, *columns: str, wraps: Sequence[str] = ()) -> None:
        """Begin a table without rows.

        Args:
            wraps: Columns whose cells may take several lines.
        """
        super().__init__(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
        for column in columns:
            self.add_column(column, overflow="fold", no_wrap=column not in wraps)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw rows that fit as text, and the others by Rich."""
        rows = [
            [cell if isinstance(cell, str) else None for cell in row]
            for row in zip(*(column.cells for column in self.columns), strict=True)
        ]
        if not rows or any(not _is_plain(cell) for row in rows for cell in row):
            yield from super().__rich_console__(console, options)
            return
        texts = [[cell or "" for cell in row] for row in rows]
        widths = self._widths(texts, console, options)
        heads = [str(column.header) for column in self.columns]
        if _fits(heads, widths):
            style = console.get_style("table.header")
            yield from (Segment(_padded(heads, widths), style), Segment.line())
        else:
            yield self._part([], widths)
        for fits, some in groupby(texts, key=lambda row: _fits(row, widths)):
            if fits:
                yield Segment("".join(f"{_padded(row, widths)}\n" for row in some))
            else:
                yield self._part([*some], widths, show_header=False)

    def _widths(
        self, rows: Sequence[Sequence[str]], console: Console, options: ConsoleOptions
    ) -> list[int]:
        """Return how wide Rich makes the columns, by the longest cell and word of each."""
        sample = self._part(
            [
                [max(column, key=cell_len) for column in zip(*rows, strict=True)],
                [max(column, key=_longest_word) for column in zip(*rows, strict=True)],
            ]
        )
        whole = sample._calculate_column_widths(console, options)
        return [width - _GAP for width in whole[:-1]] + whole[-1:]

    def _part(
        self,
        rows: Sequence[Sequence[str]],
        widths: Sequence[int | None] = (),
        *,
        show_header: bool = True,
    ) -> Table:
        part = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=show_header)
        for column, width in zip(self.columns, widths or [None] * len(self.columns), strict=True):
            part.add_column(column.header, overflow="fold", no_wrap=column.no_wrap, width=width)
        for row in rows:
            part.add_row(*row)
        return part


def _is_plain(cell: str | None) -> bool:
    return cell is not None and "\n" not in cell and "\t" not in cell


def _longest_word(cell: str) -> int:
    return max(map(cell_len, cell.split()), default=0)


def _fits(row: Sequence[str], widths: Sequence[int]) -> bool:
    return all(cell_len(cell) <= width for cell, width in zip(row, widths, strict=True))


def _padded(row: Sequence[str], widths: Sequence[int]) -> str:
    return (" " * _GAP).join(_cells(row, widths))


def _cells(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for cell, width in zip(row, widths, strict=True):
        yield cell + " " * (width - cell_len(cell))
