"""Rows of every table as they are copied: in pages by primary key, with nothing rounded or lost."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    Connection,
    Double,
    Float,
    MetaData,
    Table,
    bindparam,
    func,
    null,
    select,
    tuple_,
)

from storage import (
    alert_tables,
    camera_tables,
    conversation_tables,
    observation_tables,
    verdict_tables,
)
from storage.tables import Base

# Named so that importing them, which adds their tables to `Base`, is no unused import.
_TABLE_MODULES: Final = (
    alert_tables,
    camera_tables,
    conversation_tables,
    observation_tables,
    verdict_tables,
)

PAGE: Final = 200
"""Rows of a page, which is written in one transaction."""

Key = tuple[Any, ...]
Row = dict[str, Any]


def all_tables() -> tuple[Table, ...]:
    """Return every table, parents before children, with JSON of which nothing gets lost.

    A column of JSON may hold nothing (NULL) or the value null, which the tables of the application
    need not tell apart.
    """
    metadata = MetaData()
    copies = {table.name: table.to_metadata(metadata) for table in Base.metadata.tables.values()}
    for table in copies.values():
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type = JSON(none_as_null=True)
    return tuple(copies[table.name] for table in Base.metadata.sorted_tables)


def pages(connection: Connection, table: Table) -> Iterator[dict[Key, Row]]:
    """Yield the rows of a table by their keys, in pages."""
    key, last = [*table.primary_key], None
    while True:
        query = _selected(table).order_by(*key).limit(PAGE)
        if last is not None:
            query = query.where(tuple_(*key) > tuple_(*map(_literal, key, last)))
        rows = _read(connection, table, query)
        if rows:
            yield rows
        if len(rows) < PAGE:
            return
        last = [*rows][-1]


def _literal(column: Any, value: Any) -> Any:
    return bindparam(None, value, type_=column.type)


def rows_of(connection: Connection, table: Table, keys: Sequence[Key]) -> dict[Key, Row]:
    """Return those rows of a table that have one of some keys."""
    return _read(connection, table, _selected(table).where(tuple_(*table.primary_key).in_(keys)))


def _selected(table: Table) -> Any:
    is_null = [c.is_(null()).label(f"{c.name}__is_null") for c in _json_columns(table)]
    return select(*table.columns, *is_null)


def _json_columns(table: Table) -> list[Any]:
    return [column for column in table.columns if isinstance(column.type, JSON)]


def _read(connection: Connection, table: Table, query: Any) -> dict[Key, Row]:
    names = [column.name for column in table.primary_key]
    rows = {}
    for cells in connection.execute(query).mappings():
        row = {column.name: _value(column, cells[column.name]) for column in table.columns}
        for column in _json_columns(table):
            if row[column.name] is None and not cells[f"{column.name}__is_null"]:
                row[column.name] = JSON.NULL
        rows[tuple(row[name] for name in names)] = row
    return rows


def _value(column: Any, value: Any) -> Any:
    if isinstance(value, memoryview):
        return bytes(value)
    # SQLite may hold a whole number where a real one belongs.
    return float(value) if isinstance(column.type, Float | Double) and value is not None else value


def count_rows(connection: Connection, table: Table) -> int:
    """Count the rows of a table."""
    return int(connection.scalar(select(func.count()).select_from(table)) or 0)


def row_digest(row: Row) -> int:
    """Return a checksum of a row, the same on every database."""
    document = json.dumps([[name, _plain(row[name])] for name in sorted(row)], sort_keys=True)
    return int.from_bytes(hashlib.sha256(document.encode()).digest()[:16], "big")


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, and what it is where JSON would not tell."""
    if value is JSON.NULL:
        return ["json null"]
    if isinstance(value, bytes):
        return ["bytes", hashlib.sha256(value).hexdigest()]
    if isinstance(value, datetime):
        return ["time", value.astimezone(UTC).isoformat()]
    return ["", value]
