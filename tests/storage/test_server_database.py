"""The troubles of a server are sentences, and what was whole stays whole."""

import signal
from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import text

from engine.errors import (
    DiskFullError,
    LongwatchError,
    ReadOnlyError,
    StorageBusyError,
    UnreachableError,
)
from storage.catalog import Catalog, open_catalog
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.scale


@pytest.fixture
def catalog(postgres_library: str) -> Iterator[Catalog]:
    with open_catalog(postgres_library, busy_timeout_s=0.2, connections=4) as opened:
        yield opened


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def refused(kind: type[LongwatchError], work: Callable[[], object], *, match: str) -> None:
    with pytest.raises(kind, match=match) as caught:
        work()
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_server_that_is_away_is_a_sentence_and_comes_back(
    catalog: Catalog, postgres: PostgresServer
) -> None:
    kept = catalog.videos.add(name="kept", uri="x")
    postgres.stop(how=signal.SIGQUIT)
    refused(UnreachableError, catalog.videos.list, match="cannot be used")
    refused(UnreachableError, lambda: catalog.videos.add(name="no", uri="x"), match="be used")
    postgres.start()
    assert catalog.videos.list() == (kept,)
    assert catalog.videos.add(name="gate", uri="x").name == "gate"


def test_server_that_restarts_in_a_transaction_keeps_all_or_nothing(
    catalog: Catalog, postgres: PostgresServer
) -> None:
    def work() -> None:
        with catalog._database.writing() as session:
            session.execute(text("DELETE FROM users"))
            postgres.stop(how=signal.SIGQUIT)
            postgres.start()
            session.execute(text("DELETE FROM jobs"))

    catalog.jobs.add("ingest", {})
    catalog.accounts.add_user("ada", "admin")
    refused(UnreachableError, work, match="cannot be used")
    assert [user.name for user in catalog.accounts.users()] == ["ada"]
    assert len(catalog.jobs.list()) == 1


def test_connection_that_is_dropped_in_a_transaction_is_a_sentence(
    catalog: Catalog, postgres_library: str
) -> None:
    def work() -> None:
        with catalog._database.writing() as session:
            session.execute(text("DELETE FROM users"))
            run(
                postgres_library,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            session.execute(text("DELETE FROM jobs"))

    catalog.accounts.add_user("ada", "admin")
    refused(UnreachableError, work, match="terminating connection")
    assert len(catalog.accounts.users()) == 1


def test_read_only_database_is_listed_and_not_written_to(
    catalog: Catalog, postgres_library: str
) -> None:
    kept = catalog.videos.add(name="kept", uri="x")
    catalog.close()
    run(
        postgres_library,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', "
        "current_database()); END $$",
    )
    with open_catalog(postgres_library) as reading:
        assert reading.videos.list() == (kept,)
        refused(ReadOnlyError, lambda: reading.jobs.add("ingest", {}), match="can be listed")


def test_lock_that_others_hold_is_waited_for_and_then_a_sentence(
    catalog: Catalog, postgres_library: str
) -> None:
    with psycopg.connect(postgres_library) as other:
        other.execute("LOCK TABLE videos")
        refused(StorageBusyError, lambda: catalog.videos.add(name="x", uri="x"), match="is locked")
    assert catalog.videos.add(name="x", uri="x").name == "x"


@pytest.mark.parametrize(
    ("code", "kind", "match"),
    [
        ("53100", DiskFullError, "no space left"),
        ("53300", UnreachableError, "no connection to spare"),
        ("58030", UnreachableError, "cannot be used"),
        ("57014", StorageBusyError, "did not finish: could not"),
        ("XX001", UnreachableError, "damaged"),
    ],
)
def test_code_of_the_server_is_a_sentence(
    catalog: Catalog, postgres_library: str, code: str, kind: type[LongwatchError], match: str
) -> None:
    run(
        postgres_library,
        "CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION 'could not extend file' USING ERRCODE = '{code}'; END $$",
        "CREATE TRIGGER trouble BEFORE INSERT ON videos EXECUTE FUNCTION trouble()",
    )
    refused(kind, lambda: catalog.videos.add(name="x", uri="x"), match=match)
    assert catalog.videos.list() == ()


def test_user_without_rights_is_a_sentence(postgres: PostgresServer, postgres_library: str) -> None:
    run(postgres_library, "DROP ROLE IF EXISTS reader", "CREATE ROLE reader LOGIN")
    url = postgres_library.replace("postgres@", "reader@")
    refused(UnreachableError, lambda: open_catalog(url), match="permission denied")


def test_server_without_a_connection_to_spare_says_so(
    postgres: PostgresServer, postgres_library: str
) -> None:
    # A refused connection brings no code, only words.
    run(
        postgres_library,
        "DROP ROLE IF EXISTS few",
        "CREATE ROLE few LOGIN CONNECTION LIMIT 1",
    )
    url = postgres_library.replace("postgres@", "few@")
    with psycopg.connect(url):
        refused(UnreachableError, lambda: open_catalog(url), match="no connection to spare")


def test_statement_that_the_server_ends_is_no_lock(
    postgres: PostgresServer, postgres_library: str
) -> None:
    url = f"{postgres_library}&options=-c%20statement_timeout%3D50"
    with open_catalog(postgres_library) as catalog, psycopg.connect(postgres_library) as other:
        other.execute("LOCK TABLE videos")
        with open_catalog(url) as hurried:
            refused(StorageBusyError, hurried.videos.list, match="statement timeout")
        other.rollback()
        assert catalog.videos.list() == ()


def test_every_connection_in_use_is_a_sentence(postgres_library: str) -> None:
    with (
        open_catalog(postgres_library, busy_timeout_s=0.1, connections=4) as catalog,
        catalog._database.reading() as one,
        catalog._database.reading() as two,
        catalog._database.reading() as three,
        catalog._database.reading() as four,
    ):
        for session in (one, two, three, four):
            session.connection()
        refused(StorageBusyError, catalog.jobs.list, match="every connection")


def test_address_is_shown_without_its_secrets() -> None:
    url = "postgresql://ada:hunter2@127.0.0.1:1/library?password=hunter3&sslmode=disable"
    with pytest.raises(UnreachableError) as caught:
        open_catalog(url)
    assert "hunter" not in caught.value.message
    assert "postgresql://ada:***@127.0.0.1:1/library" in caught.value.message


def test_list_of_videos_follows_what_others_commit_and_nothing_else(
    catalog: Catalog, postgres_library: str
) -> None:
    kept = catalog.videos.add(name="lobby", uri="x")
    assert catalog.videos.list() == (kept,)
    known = catalog.videos.by_id()
    assert catalog.videos.by_id() is known
    with psycopg.connect(postgres_library) as other:
        other.execute("UPDATE videos SET name = 'hall'")
        # Begun and not ended: read between the change and its end.
        assert [video.name for video in catalog.videos.list()] == ["lobby"]
        other.commit()
    assert [video.name for video in catalog.videos.list()] == ["hall"]
    with open_catalog(postgres_library) as elsewhere:
        elsewhere.videos.remove(kept.id)
    assert catalog.videos.list() == ()
    assert catalog._database.change_mark() is not None
