"""Choice of the place of vectors: files of this machine, or the PostgreSQL that has the rows."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.config.settings import Settings
from engine.errors import MissingCapabilityError, SettingsError
from engine.pipeline.config import DEFAULT_INDEX

if TYPE_CHECKING:
    from storage.vectors import PgVectorTables

SHARED: Final = "pgvector"
"""Backend that keeps vectors in PostgreSQL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexChoice:
    """A backend of the index, and why."""

    backend: str
    reason: str
    tables: "PgVectorTables | None" = None
    """The database, for the shared backend."""
    hint: str | None = None
    """Way to the shared backend, where the database would be there and cannot take vectors."""


def choose_index(settings: Settings) -> IndexChoice:
    """Choose the backend of every index; asks the database, where one is named, whether it can.

    Raises:
        SettingsError: Vectors shall lie in a database, and none is named.
        MissingCapabilityError: They shall, and it cannot take them.
        UnreachableError: The database cannot be reached.
    """
    wanted, url = settings.retrieval.index, settings.database_url
    if wanted == SHARED and url is None:
        raise SettingsError(
            "retrieval.index is pgvector, and database_url names no PostgreSQL",
            hint="set database_url, or leave retrieval.index out",
        )
    if wanted not in (None, SHARED):
        return IndexChoice(backend=str(wanted), reason="chosen by retrieval.index")
    if url is None:
        return IndexChoice(backend=DEFAULT_INDEX, reason="no database_url")
    # Late: on one machine nothing of PostgreSQL is loaded.
    from storage.vectors import PgVectorTables

    tables = PgVectorTables(url.get_secret_value(), busy_timeout_s=float(settings.database_wait_s))
    readiness = tables.readiness()
    if readiness.is_ready:
        return IndexChoice(backend=SHARED, reason=readiness.detail, tables=tables)
    tables.close()
    if wanted == SHARED:
        raise MissingCapabilityError(readiness.detail, hint=readiness.hint)
    return IndexChoice(backend=DEFAULT_INDEX, reason=readiness.detail, hint=readiness.hint)
