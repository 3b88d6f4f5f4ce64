"""A fresh database for each test: SQLite, and under the mark `scale` PostgreSQL too.

The steps from nothing to today's tables cost a quarter of a second of CPU. They run once; each test
gets a copy of the empty file, or of the empty database, that they leave.
"""

import multiprocessing
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from storage.catalog import Catalog, open_catalog


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.scale)])
def backend(request: pytest.FixtureRequest) -> str:
    """Each kind of database."""
    return str(request.param)


@pytest.fixture
def database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address where nothing is yet."""
    if backend == "sqlite":
        return f"sqlite:///{tmp_path / 'longwatch.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def library_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty library."""
    if backend == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "longwatch.db")
        return f"sqlite:///{tmp_path / 'longwatch.db'}"
    return str(request.getfixturevalue("postgres_library"))


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
def catalog(library_url: str, clock: Clock) -> Iterator[Catalog]:
    """An empty catalog at `library_url`."""
    with open_catalog(library_url, now=clock) as opened:
        yield opened
