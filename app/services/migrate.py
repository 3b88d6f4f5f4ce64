"""A library's rows moved to another database: copied, compared, and left where they were."""

from pathlib import Path
from typing import Final

from app.config.settings import Settings
from app.progress import ProgressCallback, ProgressUpdate, no_progress
from app.schemas.migration import MigratedTable, MigrationResponse
from engine.errors import InputRefusedError, NotFoundError
from engine.plural import counted
from storage.files import HomeFolder
from storage.transfer import address_of, copy_library

_FILE: Final = "sqlite:///"
_HOME: Final = "sqlite"


def migrate(
    settings: Settings, to: str, report: ProgressCallback = no_progress
) -> MigrationResponse:
    """Copy every row into another database; goes on where it was stopped.

    Args:
        to: `postgresql://...`, `sqlite:///file`, or `sqlite` for the file in the home folder.
    Raises:
        NotFoundError: There is no library.
        InputRefusedError: The target is not empty, or cannot hold what the library does.
        StorageBusyError: The library is written to all the time.
        UnreachableError: A database cannot be reached.
    """
    home = HomeFolder(settings.home)
    source = settings.catalog_url
    if settings.database_url is None and not home.database.exists():
        raise NotFoundError(
            f"no library at {home.path}", hint="name its folder with --home or LONGWATCH_HOME"
        )
    target = _target(home, to)
    what = f"rows to {address_of(target)}"
    tables = copy_library(
        source,
        target,
        report=lambda done, total, note: report(
            ProgressUpdate(what=what, done=done, total=total, note=note)
        ),
    )
    n_rows = sum(table.n_rows for table in tables)
    return MigrationResponse(
        source=address_of(source),
        target=address_of(target),
        rows=n_rows,
        tables=[
            MigratedTable(table=table.table, rows=table.n_rows, checksum=table.checksum)
            for table in tables
        ],
        message=f"{counted(n_rows, 'row')} are the same in both; {_next(home, target)}",
    )


def _target(home: HomeFolder, to: str) -> str:
    """Return the address that was meant."""
    if to == _HOME:
        return f"{_FILE}{home.database.resolve()}"
    if to.startswith(_FILE):
        return f"{_FILE}{Path(to.removeprefix(_FILE)).expanduser().resolve()}"
    if "://" not in to:
        raise InputRefusedError(
            "the target is not an address of a database",
            hint="write postgresql://user:password@host/name, or sqlite for the home folder",
        )
    return to


def _next(home: HomeFolder, target: str) -> str:
    if target == f"{_FILE}{home.database.resolve()}":
        return "unset LONGWATCH_DATABASE_URL (setting database_url), then start servers and workers"
    return (
        "set LONGWATCH_DATABASE_URL (setting database_url) to the new address for every server and "
        "worker, then start them; the old database stays as it is, as a backup of this day"
    )
