"""Full-text search over a table with a column `words`: FTS5 on SQLite, tsvector on PostgreSQL.

Both bring words to their stems (Porter's), so that "dog" finds "dogs", leave out the marks of
letters, and no word. The index of SQLite is a virtual table beside each table (`captions_fts`,
`observations_fts`; `said_fts` of print and speech alone) that triggers keep; that of PostgreSQL is
over an expression. They stand in migrations 0007, 0014 and 0015.

Decision: English stems for every language, because FTS5 has no other stemmer and footage does not
say its language; words of other languages are found as they are written.
"""

import json
import re
import unicodedata
from collections.abc import Collection, Sequence
from typing import Final, Literal

from sqlalchemy import (
    JSON,
    ColumnClause,
    ColumnElement,
    Integer,
    Select,
    String,
    Subquery,
    cast,
    column,
    func,
    literal,
    literal_column,
    select,
    table,
    true,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute

from engine.records import Scope, TimeSpan

MOST_WORDS: Final = 32
"""Words of a query that are searched for: an SQL statement may not grow without bound."""

_FEW: Final = 64
"""Videos that are named one by one in a statement: thousands of names take longer than it."""

Searchable = Literal["captions", "observations", "said"]
"""Tables, and of observations those of print and speech alone: in a large library most rows are of
things, and a word such as "car" is in every tenth of them."""

_MARKS: Final = "[\u0300-\u036f]+"
# Written as the index has it: another expression would be a scan.
_WITHOUT_MARKS: Final = f"regexp_replace(normalize({{}}, NFD), '{_MARKS}', '', 'g')"
_WORD = re.compile(r"\w+")
_STOP_WORDS = re.compile(
    "a|an|and|are|at|be|by|for|from|in|is|it|of|on|or|that|the|there|this|to|was|were|with"
)
"""Stop words: nearly every sentence holds them."""


def words_of(text: str) -> tuple[str, ...]:
    """Return the searchable words of a text: each once, case-folded, in order."""
    words = dict.fromkeys(_WORD.findall(text.casefold()))
    return tuple(word for word in words if not _STOP_WORDS.fullmatch(word))


def holding(name: Searchable, words: Sequence[str], *, is_sqlite: bool) -> Subquery:
    """Return the rows of a table that hold at least one of some words, as a subquery.

    Args:
        words: As `words_of` returns them, at least one.
    Returns:
        Columns `id`, and `held`, the count of the words that the row holds.
    """
    rows = _rows_sqlite if is_sqlite else _rows_postgresql
    hits = union_all(*(rows(name, word) for word in words)).subquery()
    return (
        select(hits.c.id, func.count().label("held")).group_by(hits.c.id).subquery(f"{name}_held")
    )


class Within:
    """A scope by video, for questions that thousands of rows are asked.

    Args:
        scope: Spans of videos; everything when `None`.
    """

    def __init__(self, scope: Scope | None) -> None:
        self.is_everything = scope is None
        self._spans: dict[str, list[TimeSpan]] = {}
        for video, span in scope or ():
            self._spans.setdefault(video, []).append(span)

    def has(self, video: "InstrumentedAttribute[str]", *, is_sqlite: bool) -> ColumnElement[bool]:
        """Return the condition that a column names a video of the scope."""
        if self.is_everything:
            return true()
        videos: Collection[str] = self._spans.keys()
        if len(videos) <= _FEW:
            return video.in_(videos)
        names = literal(json.dumps([*videos]), String)
        rows = (
            func.json_each(names) if is_sqlite else func.json_array_elements_text(cast(names, JSON))
        ).table_valued("value")
        return video.in_(select(rows.c.value))

    def reaches(self, video: str, span: TimeSpan) -> bool:
        """Tell whether a span of a video reaches into the scope; a moment is a span too."""
        return self.is_everything or any(
            span.overlap_s(bounds) > 0 or bounds.contains(span.start_s)
            for bounds in self._spans.get(video, ())
        )


def _rows_sqlite(name: Searchable, word: str) -> Select[int]:
    index = table(f"{name}_fts", column("rowid", Integer))
    # The name of the table stands for all its columns. In quotes a word is never an operator.
    is_match = literal_column(f"{name}_fts").op("MATCH")(f'"{word}"')
    return select(index.c.rowid.label("id")).select_from(index).where(is_match)


def _bare(word: str) -> str:
    """Return a word without the marks of its letters, as the index of PostgreSQL holds it."""
    return re.sub(_MARKS, "", unicodedata.normalize("NFD", word))


def _rows_postgresql(name: Searchable, word: str) -> Select[int]:
    rows = table("observations" if name == "said" else name, column("id", Integer))
    config: ColumnClause[str] = literal_column("'longwatch'::regconfig")
    document = func.to_tsvector(config, literal_column(_WITHOUT_MARKS.format("words")))
    query = func.plainto_tsquery(config, _bare(word))
    rows_held = select(rows.c.id).where(document.op("@@")(query))
    if name == "said":
        return rows_held.where(literal_column("kind IN ('text', 'speech')"))
    return rows_held
