"""A copy of every row of a library in another database: SQLite to PostgreSQL, or back.

Each pass goes through the tables, parents first, in pages of rows by primary key. What the target
lacks is inserted, what differs is updated, what the source has no more is deleted; a page is one
transaction. A pass that was killed is so simply begun again, and finds most of it done. Then both
are read whole and compared, rows and checksums; a source that was written to meanwhile costs
another pass over what has changed. The source is read only.

Until the end the version of the target says that it is being filled, and by which source: no other
Longwatch opens it, and another source does not fill it. No table is needed for that.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Table,
    bindparam,
    delete,
    func,
    insert,
    inspect,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.exc import DataError

from engine.errors import InputRefusedError, StorageBusyError
from storage.database import Database
from storage.migrations import COPYING, current_revision, revisions, upgrade
from storage.table_rows import Key, Row, all_tables, count_rows, pages, row_digest, rows_of

_MOST_PASSES: Final = 3
"""Passes before a source that is written to all the time is given up."""
_LOCK: Final = 0x10_46_57_AD
"""Key of the advisory lock on PostgreSQL; any constant that no other program uses."""

Report = Callable[[int, int, str], None]
"""Takes the rows done, the rows in all, and what they are."""


def _no_report(done: int, total: int, note: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSum:
    """A table as it was found the same on both sides."""

    table: str
    n_rows: int
    checksum: str


def copy_library(
    source_url: str, target_url: str, *, is_in_use: bool = False, report: Report = _no_report
) -> tuple[TableSum, ...]:
    """Copy every row of a library, and compare both sides; goes on where a killed one stopped.

    Args:
        source_url: A library with today's tables; not changed.
        target_url: An empty database, or one that an earlier call for this source began to fill.
        is_in_use: Whether to copy the source as it was at one moment, whatever happens to it
            afterwards; else the copy is of what it is at the end.
        report: Hears how far it is.
    Returns:
        Each table with its rows.
    Raises:
        InputRefusedError: The target holds something else, or cannot hold what the source does.
        StorageBusyError: The source is written to all the time, or another copy fills the target.
        UnreachableError: Either side cannot be reached; what was copied stays for the next call.
    """
    with closing(Database(source_url)) as source, closing(Database(target_url)) as target:
        return copy_rows(source, target, is_in_use=is_in_use, report=report)


def check_empty(url: str) -> None:
    """Refuse a database that holds a library, or anything else.

    Raises:
        InputRefusedError: It is not empty.
        UnreachableError: It cannot be reached.
    """
    with closing(Database(url)) as database:
        _check_free(database)


def address_of(url: str) -> str:
    """Return an address as it may be shown: the file, or the URL without its secrets.

    Raises:
        UnreachableError: It cannot be understood.
        MissingCapabilityError: The driver is not installed.
    """
    with closing(Database(url)) as database:
        return database.where


def copy_rows(
    source: Database, target: Database, *, is_in_use: bool = False, report: Report = _no_report
) -> tuple[TableSum, ...]:
    """Copy what one database holds into another, as `copy_library`."""
    _check_source(source, target)
    with _alone(target):
        mark = _claim(source, target)
        tables = all_tables()
        for _ in range(_MOST_PASSES):
            with source.snapshot() as reading:
                _copy_pass(reading, target, tables, report)
                kept = _sums(reading, tables, "verifying", report) if is_in_use else None
            with source.snapshot() as reading, target.snapshot() as copied:
                sums = kept or _sums(reading, tables, "verifying", report)
                is_same = sums == _sums(copied, tables, "verifying the copy", report)
            if is_same:
                _release(source, target, tables, mark)
                return sums
    raise StorageBusyError(
        f"{source.where} is written to while it is copied",
        hint="stop its servers and workers and run this again: what is copied stays copied",
    )


@contextmanager
def _alone(target: Database) -> Iterator[None]:
    """Keep every other copy out of a target while the body runs; a process that dies lets go.

    Raises:
        StorageBusyError: Another copy fills it.
    """
    with _locked_file(target) if target.is_sqlite else _locked_server(target) as is_ours:
        if not is_ours:
            raise StorageBusyError(
                f"another copy is being written into {target.where}",
                hint="wait until it has ended; stopped, it goes on when it is run again",
            )
        yield


@contextmanager
def _locked_server(target: Database) -> Iterator[bool]:
    # A connection of its own: the end of it, however it comes, is the end of the lock.
    with target.own_connection() as connection:
        (taken,) = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
        try:
            yield bool(taken)
        finally:
            # The server hears late that a connection has ended, and who copies again at once would
            # meet themselves; one that is gone has let go by itself.
            with suppress(target.driver_error):
                connection.execute("SELECT pg_advisory_unlock_all()")


@contextmanager
def _locked_file(target: Database) -> Iterator[bool]:
    # Beside it: who closes the file itself would end the locks that SQLite has on it.
    path = Path(f"{target.where}.copying")
    try:
        file = path.open("w")
    except OSError:
        # The first statement says what is wrong with the folder.
        yield True
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = path.stat().st_ino == os.fstat(file.fileno()).st_ino
        except OSError:
            is_ours = False
        try:
            yield is_ours
        finally:
            if is_ours:
                path.unlink(missing_ok=True)


def _check_source(source: Database, target: Database) -> None:
    if source.where == target.where:
        raise InputRefusedError(
            f"{target.where} is where the library is already", hint="name another database"
        )
    with source.reading() as session:
        revision = current_revision(session.connection())
    if revision != revisions()[-1]:
        raise InputRefusedError(
            f"{source.where} has tables of version {revision}, not of {revisions()[-1]}",
            hint="`longwatch videos list` brings them up to date",
        )


def _claim(source: Database, target: Database) -> str:
    """Bring an empty target up to date and mark it as being filled; return the mark."""
    digest = hashlib.sha256(source.where.encode()).hexdigest()[:16]
    mark = f"{COPYING}{revisions()[-1]}:{digest}"
    if _check_free(target, mark):
        return mark
    upgrade(target)
    with target.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :mark"), {"mark": mark})
    return mark


def _check_free(target: Database, mark: str = "") -> bool:
    """Refuse a target that holds anything else; tell whether it was begun under this mark."""
    with target.reading() as session:
        connection = session.connection()
        revision = current_revision(connection)
        if mark and revision == mark:
            return True
        here = set(inspect(connection).get_table_names())
        known = [table for table in all_tables() if table.name in here]
        if (revision or "").startswith(COPYING) or (revision is None and known):
            raise InputRefusedError(
                f"{target.where} holds the tables of another program, or half a copy of another "
                "library",
                hint="name an empty database, or make this one empty",
            )
        if any(count_rows(connection, table) for table in known):
            raise InputRefusedError(
                f"{target.where} holds a library already",
                hint="name an empty database: two libraries are never merged",
            )
    return False


def _release(source: Database, target: Database, tables: Sequence[Table], mark: str) -> None:
    """Set the counters of the target beyond every number that was ever given, and open it."""
    counters = _counters(source, tables)
    with target.writing() as session:
        connection = session.connection()
        for table in tables:
            if table.autoincrement_column is not None:
                _set_counter(connection, table, counters.get(table.name, 0))
        connection.execute(
            text("UPDATE alembic_version SET version_num = :head WHERE version_num = :mark"),
            {"head": revisions()[-1], "mark": mark},
        )
        if not target.is_sqlite:
            # Without figures of the tables the planner would read them whole.
            connection.execute(text("ANALYZE"))


def _copy_pass(
    reading: Connection, target: Database, tables: Sequence[Table], report: Report
) -> None:
    totals = {table.name: count_rows(reading, table) for table in tables}
    total, done = sum(totals.values()), 0
    for table in tables:
        for rows in pages(reading, table):
            _store(target, table, rows)
            done += len(rows)
            report(done, total, f"copying {table.name}")
    # Children first: a parent takes its children along.
    for table in reversed(tables):
        with target.reading() as session:
            is_more = count_rows(session.connection(), table) != totals[table.name]
        if is_more:
            _remove_others(reading, target, table)


def _store(target: Database, table: Table, rows: Mapping[Key, Row]) -> None:
    """Make the rows of a page the same in the target."""
    try:
        with target.writing() as session:
            connection = session.connection()
            known = rows_of(connection, table, [*rows])
            new = [row for key, row in rows.items() if key not in known]
            changed = [row for key, row in rows.items() if known.get(key, row) != row]
            if new:
                connection.execute(insert(table), new)
            if changed:
                connection.execute(_update(table), [_bound(table, row) for row in changed])
    except InputRefusedError as error:
        cause = error.__cause__
        if not isinstance(cause, DataError):
            raise
        raise InputRefusedError(
            f"a row of {table.name} cannot be stored in {target.where}: {cause.orig}",
            hint="it is left as it is in the library; mend or remove it there",
        ) from error


def _update(table: Table) -> Any:
    is_row = [column == bindparam(f"key_{column.name}") for column in table.primary_key]
    others = [column for column in table.columns if column.name not in table.primary_key]
    return update(table).where(*is_row).values({c.name: bindparam(f"to_{c.name}") for c in others})


def _bound(table: Table, row: Row) -> Row:
    keys = {column.name for column in table.primary_key}
    return {f"key_{name}" if name in keys else f"to_{name}": row[name] for name in row}


def _remove_others(reading: Connection, target: Database, table: Table) -> None:
    """Delete rows of the target that the source does not have."""
    with target.snapshot() as connection:
        known = [[*rows] for rows in pages(connection, table)]
    key = tuple_(*table.primary_key)
    for keys in known:
        gone = set(keys) - rows_of(reading, table, keys).keys()
        if gone:
            with target.writing() as session:
                session.execute(delete(table).where(key.in_([*gone])))


def _sums(
    connection: Connection, tables: Sequence[Table], note: str, report: Report
) -> tuple[TableSum, ...]:
    """Read a database whole; a checksum does not depend on the order of rows."""
    sums: list[TableSum] = []
    total, done = sum(count_rows(connection, table) for table in tables), 0
    for table in tables:
        n_rows, checksum = 0, 0
        for rows in pages(connection, table):
            n_rows += len(rows)
            checksum += sum(row_digest(row) for row in rows.values())
            report(done + n_rows, total, f"{note}: {table.name}")
        done += n_rows
        hexadecimal = f"{checksum % (1 << 128):032x}"
        sums.append(TableSum(table=table.name, n_rows=n_rows, checksum=hexadecimal))
    return tuple(sums)


def _counters(database: Database, tables: Sequence[Table]) -> dict[str, int]:
    """Return the highest number that each table was ever asked for, where the database knows."""
    with database.reading() as session:
        connection = session.connection()
        if not database.is_sqlite:
            numbered = (table for table in tables if table.autoincrement_column is not None)
            return {table.name: _last_number(connection, table) for table in numbered}
        if not inspect(connection).has_table("sqlite_sequence"):
            return {}
        rows = connection.execute(text("SELECT name, seq FROM sqlite_sequence"))
        return {name: int(seq) for name, seq in rows}


def _last_number(connection: Connection, table: Table) -> int:
    sequence = _sequence(connection, table)
    if sequence is None:
        return 0
    last, is_called = connection.execute(
        text(f"SELECT last_value, is_called FROM {sequence}")
    ).one()
    return int(last) if is_called else 0


def _set_counter(connection: Connection, table: Table, number: int) -> None:
    column = table.autoincrement_column
    assert column is not None
    highest = max(number, int(connection.scalar(select(func.max(column))) or 0))
    if connection.dialect.name != "sqlite":
        sequence = _sequence(connection, table)
        if sequence is not None and highest:
            connection.execute(select(func.setval(sequence, highest)))
        return
    if not table.dialect_options["sqlite"]["autoincrement"] or not highest:
        return
    named = {"name": table.name, "seq": highest}
    connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), named)
    connection.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :seq)"), named)


def _sequence(connection: Connection, table: Table) -> str | None:
    column = table.autoincrement_column
    assert column is not None
    name: str | None = connection.scalar(
        select(func.pg_get_serial_sequence(table.name, column.name))
    )
    return name
