"""Tables without lines: drawn as Rich would draw them, cell by cell, at any width."""

from io import StringIO

import pytest
from rich.console import Console, RenderableType
from rich.segment import Segment
from rich.table import Table

from app.cli.plain_table import PlainTable

COLUMNS = ("id", "name", "status", "begins")
WRAPS = ("name", "begins")
ROWS = (
    ("a1", "gate.mp4", "ready", "no clock"),
    ("b2", "a rather long name of a video with several words.mp4", "ready", "2026-01-02 10:00"),
    ("c3", "a_rather_long_name_of_a_video_in_one_word_alone.mp4", "", "no clock"),
    ("d4", "門の前の映像", "ingesting", "no clock"),
    ("e5", "", "ready", "2026-01-02 10:00 by the name of its file"),
    ("f6", "two\nlines", "ready", "no clock"),
)


def by_rich(rows: tuple[tuple[str, ...], ...]) -> Table:
    """The slow way, which is the one to agree with."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in COLUMNS:
        table.add_column(column, overflow="fold", no_wrap=column not in WRAPS)
    for row in rows:
        table.add_row(*row)
    return table


def drawn(table: RenderableType, width: int) -> list[tuple[str, bool]]:
    """What is on the screen, and whether it is bold; spaces look alike in any style."""
    console = Console(width=width, file=StringIO(), highlight=False, markup=False, emoji=False)
    segments = console.render(table)
    letters = [
        (letter, bool(segment.style and segment.style.bold) and letter.strip() != "")
        for segment in Segment.simplify(segments)
        for letter in segment.text
    ]
    return letters


@pytest.mark.parametrize("width", [12, 30, 44, 60, 80, 140])
@pytest.mark.parametrize("rows", [ROWS[:1], ROWS[:5], ROWS, ()])
def test_table_is_drawn_as_rich_draws_it(width: int, rows: tuple[tuple[str, ...], ...]) -> None:
    table = PlainTable(*COLUMNS, wraps=WRAPS)
    for row in rows:
        table.add_row(*row)
    assert drawn(table, width) == drawn(by_rich(rows), width)
