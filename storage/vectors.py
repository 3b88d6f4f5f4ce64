"""Vectors in PostgreSQL with pgvector: one index for several machines.

Three tables for each pipeline or encoder, named by its fingerprint: its videos, its chunks with a
centre each, its frames. *Because* an index of pgvector is over one dimension, the planner's
statistics are those of one kind of vectors, and a pipeline that is gone is dropped, not deleted row
by row. They are made when they are first opened and not by migrations: they are a copy of what the
files of latents and vectors say, and may be dropped.

*Decision*: the graph (HNSW) is over the centre of each chunk, the frames of what it proposes
decide. *Because* frames of a chunk are seconds of one scene: a graph over a million frames took ten
times as long to build as one over their hundred thousand chunks, and ten of its neighbours were one
chunk.

*Decision*: a change is numbered in the transaction that makes it, behind a lock that is held to its
end. *Because* numbers are then committed in their order, and whoever has seen one asks for later
ones only.

*Decision*: commits do not wait for the disk. *Because* a server that crashes loses the last of
them together, and they are read from the files again.
"""

from dataclasses import dataclass
from typing import Any, Final

from engine.records import Fingerprint
from engine.vector_rows import TableIndex
from storage.database import Database
from storage.vector_sessions import VectorSessions
from storage.vector_sql import table_names
from storage.vector_table import PgVectorTable

LEAST_VERSION: Final = (0, 8)
"""Of pgvector: from it on a scan of a graph goes on until a filter has let enough pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether a database can hold vectors, and what is in the way."""

    is_ready: bool
    detail: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSet:
    """The facts of the vectors of one pipeline or encoder."""

    fingerprint: Fingerprint
    dim: int
    n_chunks: int
    index: TableIndex


class PgVectorTables:
    """The vectors of all pipelines and encoders in one database; connections open when needed."""

    def __init__(self, url: str, *, busy_timeout_s: float) -> None:
        """Prepare the connections.

        Raises:
            UnreachableError: The address cannot be understood.
            MissingCapabilityError: The driver is not installed.
        """
        self._database = Database(url, busy_timeout_s=busy_timeout_s)
        self._session = VectorSessions(self._database)
        self.where = self._database.where

    def readiness(self) -> Readiness:
        """Return whether vectors can lie here; makes the extension where that is allowed.

        Raises:
            UnreachableError: The server cannot be reached.
        """
        if self._database.is_sqlite:
            return Readiness(is_ready=False, detail="SQLite holds no vectors")
        with self._session(writes=True) as cursor:
            server = cursor.execute("SHOW server_version").fetchone()[0].split()[0]
            version = _installed(cursor)
            if version is None and (refusal := _make_extension(cursor, server)):
                return refusal
            version = version or _installed(cursor) or "0"
        if tuple(map(int, version.split(".")[:2])) < LEAST_VERSION:
            return Readiness(
                is_ready=False,
                detail=f"pgvector {version} of the server is too old",
                hint=f"pgvector {'.'.join(map(str, LEAST_VERSION))} or newer, then "
                "ALTER EXTENSION vector UPDATE",
            )
        return Readiness(is_ready=True, detail=f"PostgreSQL {server}, pgvector {version}")

    def open(self, fingerprint: Fingerprint, dim: int) -> "PgVectorTable":
        """Return the table of a fingerprint, made where there is none."""
        return PgVectorTable(self._session, fingerprint, dim)

    def drop(self, fingerprint: Fingerprint) -> None:
        """Drop the tables of a fingerprint; nothing happens where there are none."""
        with self._session(writes=True) as cursor:
            if cursor.execute("SELECT to_regclass('vector_sets') IS NULL").fetchone()[0]:
                return
            names = table_names(fingerprint)
            for kind in ("videos", "chunks", "frames"):
                cursor.execute(f"DROP TABLE IF EXISTS {names[kind]}")
            cursor.execute("DELETE FROM vector_sets WHERE fingerprint = %s", (fingerprint,))

    def sets(self) -> tuple[VectorSet, ...]:
        """Return what lies here, by fingerprint."""
        with self._session() as cursor:
            if cursor.execute("SELECT to_regclass('vector_sets') IS NULL").fetchone()[0]:
                return ()
            rows = cursor.execute(
                "SELECT fingerprint, dim FROM vector_sets ORDER BY fingerprint"
            ).fetchall()
        sets = []
        for fingerprint, dim in rows:
            n_chunks, index = self.open(fingerprint, dim).facts()
            sets.append(VectorSet(fingerprint=fingerprint, dim=dim, n_chunks=n_chunks, index=index))
        return tuple(sets)

    def server_processes(self) -> tuple[int, ...]:
        """Return the numbers of the server's processes that work for this database."""
        with self._session() as cursor:
            rows = cursor.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            ).fetchall()
        return tuple(int(pid) for (pid,) in rows)

    def close(self) -> None:
        """Close every connection."""
        self._session.close()
        self._database.close()


def _installed(cursor: Any) -> str | None:
    row = cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    return None if row is None else str(row[0])


def _make_extension(cursor: Any, server: str) -> Readiness | None:
    """Make the extension; return why it cannot be made."""
    (is_allowed,) = cursor.execute(
        "SELECT bool_or(current_setting('is_superuser') = 'on' OR ((trusted OR NOT superuser) "
        "AND has_database_privilege(current_database(), 'CREATE'))) "
        "FROM pg_available_extension_versions WHERE name = 'vector'"
    ).fetchone()
    if is_allowed:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
        return None
    if is_allowed is None:
        return Readiness(
            is_ready=False,
            detail=f"PostgreSQL {server} has no pgvector",
            hint="install pgvector on the server",
        )
    return Readiness(
        is_ready=False,
        detail="pgvector is not switched on in this database, and its user may not do so",
        hint="as a superuser of the database: CREATE EXTENSION vector",
    )
