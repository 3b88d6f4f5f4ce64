"""A fresh database for each test: SQLite, or what LONGWATCH_TEST_DATABASE_URL names.

The steps from nothing to today's tables cost a quarter of a second of CPU. They run once; each test
gets a copy of the empty file they leave. On a server each test runs them in a schema of its own.
"""

import multiprocessing
import os
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from storage.catalog import Catalog, open_catalog

_SERVER = "LONGWATCH_TEST_DATABASE_URL"


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def database_url(tmp_path: Path) -> Iterator[str]:
    """An address where nothing is yet."""
    server = os.environ.get(_SERVER)
    if server is None:
        yield f"sqlite:///{tmp_path / 'longwatch.db'}"
        return
    schema = f"test_{secrets.token_hex(6)}"
    admin = create_engine(make_url(server), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
        yield (
            make_url(server)
            .update_query_dict({"options": f"-csearch_path={schema}"})
            .render_as_string(hide_password=False)
        )
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    admin.dispose()


@pytest.fixture(scope="session")
def processes() -> ForkServerContext:
    """Makes processes that share nothing with this one, for the price of one import for all.

    SQLite files must not be open across a fork; the server that is forked has opened none.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "tests.storage.samples"])
    return context


@pytest.fixture
def clock() -> Clock:
    """The time that rows are written with."""
    return Clock()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with today's tables and no rows; copied, never opened again."""
    file = tmp_path_factory.mktemp("migrated") / "longwatch.db"
    open_catalog(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def catalog(
    database_url: str, migrated_file: Path, tmp_path: Path, clock: Clock
) -> Iterator[Catalog]:
    """An empty catalog at `database_url`."""
    if _SERVER not in os.environ:
        shutil.copy(migrated_file, tmp_path / "longwatch.db")
    with open_catalog(database_url, now=clock) as opened:
        yield opened
