"""Numbered steps from an empty database to today's tables; forward only, run on opening.

A file in `versions/` is one step, `0003_what_it_adds.py`, revision `"0003"`. A step that has been
released is never edited.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from engine.errors import UnreachableError
from storage.database import Database

_FOLDER = Path(__file__).parent
_LOCK = 0x10_46_57_AC
"""Key of the advisory lock on PostgreSQL; any constant that no other program uses."""


COPYING = "copying:"
"""Beginning of the version of a database that `storage/transfer.py` has not filled yet."""


def revisions() -> tuple[str, ...]:
    """Return the revisions of every step, oldest first."""
    return tuple(sorted(file.name[:4] for file in (_FOLDER / "versions").glob("[0-9]*_*.py")))


def upgrade(database: Database, to: str = "head") -> None:
    """Bring the tables up to date; costs one query when they are.

    Two processes may do so at once: one does the work, the other waits and finds it done. A step
    that fails leaves nothing behind.

    Raises:
        UnreachableError: The database was written by a newer Longwatch.
    """
    known = revisions()
    with database.reading() as session:
        current = current_revision(session.connection())
    if current == known[-1]:
        return
    if current is not None and current.startswith(COPYING):
        raise UnreachableError(
            f"{database.where} holds a copy of a library that is not complete",
            hint="run `longwatch migrate` again: it goes on where it stopped",
        )
    if current is not None and current not in known:
        raise UnreachableError(
            f"{database.where} has tables of version {current}, this Longwatch knows {known[-1]}",
            hint="upgrade Longwatch on this machine",
        )
    with database.write_connection() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        _run(connection, to)


def current_revision(connection: Connection) -> str | None:
    """Return the version of the tables; `None` where there are none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    current: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return current


def _run(connection: Connection, to: str) -> None:
    # Imported here: a database that is up to date, the usual case, is opened without Alembic.
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, to)
