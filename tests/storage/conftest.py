"""A fresh database for each test: SQLite, or what LONGWATCH_TEST_DATABASE_URL names."""

import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from storage.catalog import Catalog, open_catalog


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
    server = os.environ.get("LONGWATCH_TEST_DATABASE_URL")
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


@pytest.fixture
def clock() -> Clock:
    """The time that rows are written with."""
    return Clock()


@pytest.fixture
def catalog(database_url: str, clock: Clock) -> Iterator[Catalog]:
    """An empty catalog."""
    with open_catalog(database_url, now=clock) as opened:
        yield opened
