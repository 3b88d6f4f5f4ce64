"""What every test shares: foreign recordings, threads of torch, and processes of the run."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.postgres import PostgresServer

# Tiny layers on shared cores: a second thread is waited for longer than it works.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Observers take seconds and belong to none but their own tests, which name them.
os.environ.setdefault("LONGWATCH_SIGHT__OBSERVERS", "[]")
os.environ.setdefault("LONGWATCH_SIGHT__ENCODER", '["model"]')


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real clips; the test skips and says so where it is missing."""
    folder = Path(os.environ.get("LONGWATCH_TEST_DATA", "../shared/data")).resolve()
    if not (folder / "manifest.json").is_file():
        pytest.skip(f"no recordings at {folder}: set LONGWATCH_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def postgres() -> "Iterator[PostgresServer]":
    """A PostgreSQL server with pgvector; who asks for it is marked `scale`."""
    # Imported here: on one machine nothing of PostgreSQL is loaded.
    from tests.support.postgres import PostgresServer

    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres: "PostgresServer") -> Iterator[str]:
    """The address of an empty database of PostgreSQL."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def postgres_library(postgres: "PostgresServer") -> Iterator[str]:
    """The address of a database of PostgreSQL with today's tables and no rows."""
    with postgres.library() as url:
        yield url


@pytest.hookimpl(tryfirst=True)  # Before xdist, which reads the marks.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process: its fixtures take seconds and are made once.

    Those of the browser share a server, and so a process, over all their files.
    """
    folder = Path(__file__).parent
    for item in items:
        is_browser = folder / "browser" in item.path.parents
        name = "browser" if is_browser else str(item.path.relative_to(folder))
        item.add_marker(pytest.mark.xdist_group(name))
