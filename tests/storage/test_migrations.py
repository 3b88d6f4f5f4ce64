"""From an empty database, and from every version before, to today's tables."""

import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from engine.errors import UnreachableError
from storage.catalog import open_catalog
from storage.database import Database
from storage.migrations import revisions, upgrade
from storage.tables import Base


@pytest.mark.parametrize("start", [None, *revisions()])
def test_every_version_becomes_todays_tables(database_url: str, start: str | None) -> None:
    database = Database(database_url)
    if start is not None:
        upgrade(database, start)
    upgrade(database)
    with database.write_connection() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
    database.close()


def test_version_1_keeps_its_rows(database_url: str) -> None:
    database = Database(database_url)
    upgrade(database, "0001")
    with database.write_connection() as connection:
        connection.execute(
            text(
                "INSERT INTO videos (id, name, uri, status, media_warnings, media_tags, n_chunks,"
                " latent_bytes, ingested_s, stats, wall_s, warnings, created_at, updated_at)"
                " VALUES ('a1', 'lobby', 'x', 'ready', '[]', '[]', 0, 0, 60.5, '{}', 0, '[]',"
                " '2026-03-01 12:00:00+00:00', '2026-03-01 12:00:00+00:00')"
            )
        )
    database.close()
    with open_catalog(database_url) as catalog:
        assert catalog.videos.resolve("lobby").ingested_s == 60.5


def test_steps_are_numbered_without_gaps() -> None:
    known = revisions()
    assert known == tuple(f"{number:04d}" for number in range(1, len(known) + 1))


def test_newer_database_is_refused_with_a_sentence(database_url: str) -> None:
    database = Database(database_url)
    upgrade(database)
    with database.write_connection() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(UnreachableError, match="tables of version 9999, this Longwatch knows"):
        open_catalog(database_url)


def test_failed_step_leaves_nothing_behind(database_url: str) -> None:
    database = Database(database_url)
    with database.write_connection() as connection:
        # Step 2 will find one of its tables there already.
        connection.execute(text("CREATE TABLE users (id TEXT)"))
    with pytest.raises(Exception, match="users"):
        upgrade(database)
    with database.write_connection() as connection:
        found = MigrationContext.configure(connection)
        assert found.get_current_revision() is None
        assert not connection.dialect.has_table(connection, "videos")
    database.close()


def test_processes_that_open_at_once_agree(database_url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(3)
    processes = [spawn.Process(target=_open, args=(database_url, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    with open_catalog(database_url) as catalog:
        assert len(catalog.videos.listed()) == 3


def test_migrations_travel_with_the_package() -> None:
    folder = Path(__file__).parents[2] / "storage" / "migrations"
    assert {file.name for file in folder.iterdir()} >= {"env.py", "versions", "__init__.py"}


def _open(url: str, barrier: Barrier) -> None:
    barrier.wait(30)
    with open_catalog(url) as catalog:
        catalog.videos.add(name="lobby", uri="x")
