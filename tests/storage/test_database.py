"""The database's troubles are sentences: locked, full, damaged, gone."""

import sqlite3
import time
from pathlib import Path
from threading import Timer

import pytest

from engine.errors import (
    DiskFullError,
    LongwatchError,
    MissingCapabilityError,
    StorageBusyError,
    UnreachableError,
)
from storage.catalog import Catalog, open_catalog
from storage.database import use_write_ahead_log


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "longwatch.db"


def opened(file: Path, *, busy_timeout_s: float = 0.1) -> Catalog:
    return open_catalog(f"sqlite:///{file}", busy_timeout_s=busy_timeout_s)


def test_locked_database_is_busy_and_then_works_again(file: Path) -> None:
    with opened(file) as catalog:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageBusyError, match="is locked by another process") as caught:
            catalog.videos.add(name="lobby", uri="x")
        assert caught.value.hint is not None
        assert catalog.videos.list() == ()
        other.execute("ROLLBACK")
        other.close()
        assert catalog.videos.add(name="lobby", uri="x").name == "lobby"


def test_locked_database_cannot_be_opened_for_the_first_time(file: Path) -> None:
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageBusyError):
        opened(file)
    other.close()
    opened(file).close()


class Contended(sqlite3.Connection):
    """A connection to a file that another switches to its log at the same moment."""

    n_refusals = 2

    def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
        if self.n_refusals:
            self.n_refusals -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorname = "SQLITE_BUSY"
            raise error
        return super().execute(sql, *parameters)


def test_file_that_two_open_at_once_is_tried_again(file: Path) -> None:
    connection = sqlite3.connect(file, factory=Contended)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        use_write_ahead_log(connection, busy_timeout_s=-1)
    use_write_ahead_log(connection, busy_timeout_s=5)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_writer_waits_for_a_writer_that_is_quick(file: Path) -> None:
    with opened(file, busy_timeout_s=10) as catalog:
        other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        release = Timer(0.3, lambda: other.execute("COMMIT"))
        release.start()
        began = time.monotonic()
        catalog.videos.add(name="lobby", uri="x")
        assert time.monotonic() - began >= 0.25
        release.join()
        other.close()


def test_full_disk_loses_nothing(file: Path) -> None:
    with opened(file) as catalog:
        kept = catalog.videos.add(name="kept", uri="x")
        with catalog._database.reading() as session:
            connection = session.connection()
            n_pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {n_pages}")
        with pytest.raises(DiskFullError, match=r"no space left for /.*longwatch\.db"):
            catalog.videos.add(name="x" * 100_000, uri="x")
        assert catalog.videos.list() == (kept,)


def test_damaged_database_is_named(file: Path) -> None:
    file.write_bytes(b"not a database at all, but long enough to be read as one" * 20)
    with pytest.raises(UnreachableError, match=r"longwatch\.db is damaged"):
        opened(file)


def test_folder_in_its_place_is_a_sentence(file: Path) -> None:
    file.mkdir()
    with pytest.raises(UnreachableError, match="cannot be used"):
        opened(file)


def test_file_where_its_folder_should_be_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("in the way")
    with pytest.raises(UnreachableError, match="folder of the database"):
        opened(tmp_path / "home" / "longwatch.db")


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://longwatch:hunter2@127.0.0.1:1/none", UnreachableError),
        ("postgresql+pg8000://127.0.0.1/none", MissingCapabilityError),
        ("mysql://127.0.0.1/none", UnreachableError),
        ("not an address", UnreachableError),
    ],
)
def test_server_that_cannot_be_reached_is_a_sentence(url: str, kind: type[LongwatchError]) -> None:
    with pytest.raises(kind) as caught:
        open_catalog(url)
    assert "hunter2" not in caught.value.message
    assert "\n" not in caught.value.message


def test_folder_may_be_called_anything(tmp_path: Path) -> None:
    home = tmp_path / "what? #1 100% é"
    with opened(home / "longwatch.db") as catalog:
        assert catalog.where == str(home / "longwatch.db")
    assert (home / "longwatch.db").is_file()


def test_home_folder_is_made(tmp_path: Path) -> None:
    opened(tmp_path / "new" / "home" / "longwatch.db").close()
    assert (tmp_path / "new" / "home" / "longwatch.db").is_file()


def test_sqlite_keeps_what_it_promises(file: Path) -> None:
    with opened(file) as catalog, catalog._database.reading() as session:
        connection = session.connection()
        for pragma, value in (("journal_mode", "wal"), ("foreign_keys", 1), ("synchronous", 2)):
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == value
