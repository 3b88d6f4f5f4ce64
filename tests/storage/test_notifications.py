"""Messages between threads and processes of one library."""

import queue
import time
from contextlib import suppress
from multiprocessing.context import ForkServerContext

import pytest

from storage.catalog import Catalog, open_catalog
from storage.notifications import MOST_BYTES
from tests.support.postgres import PostgresServer

SOON_S = 60
"""Longest wait for what is promised; a machine may be busy."""


def said(url: str) -> None:
    with open_catalog(url) as catalog:
        catalog.notifications.publish("pages", "from afar")


def next_of(heard: "queue.Queue[str | None]") -> str:
    """Return the next message, past those that only say that one may have been missed."""
    while True:
        message = heard.get(timeout=SOON_S)
        if message is not None:
            return message


def listen(catalog: Catalog) -> None:
    if not catalog._database.is_sqlite:
        assert catalog.notifications.wait_until_live(SOON_S)


def test_message_reaches_those_who_hear_its_topic(catalog: Catalog) -> None:
    heard: queue.Queue[str | None] = queue.Queue()
    others: queue.Queue[str | None] = queue.Queue()
    with (
        catalog.notifications.hearing("pages", heard.put),
        catalog.notifications.hearing("page", others.put),
    ):
        listen(catalog)
        catalog.notifications.publish("pages", "video a1 é")
        assert next_of(heard) == "video a1 é"
    catalog.notifications.publish("pages", "nobody is there")
    assert [message for message in others.queue if message is not None] == []


def test_message_of_a_transaction_waits_for_its_end(catalog: Catalog) -> None:
    heard: queue.Queue[str | None] = queue.Queue()
    with catalog.notifications.hearing("jobs", heard.put):
        listen(catalog)
        with suppress(RuntimeError), catalog._database.writing() as session:
            catalog.notifications.publish_with(session, "jobs", "never")
            raise RuntimeError
        with catalog._database.writing() as session:
            catalog.notifications.publish_with(session, "jobs", "once")
        assert next_of(heard) == "once"


@pytest.mark.parametrize(("topic", "payload"), [("two words", ""), ("pages", "x" * MOST_BYTES)])
def test_what_is_no_message_is_refused(catalog: Catalog, topic: str, payload: str) -> None:
    with pytest.raises(ValueError, match="not a message"):
        catalog.notifications.publish(topic, payload)


def test_sqlite_tells_this_process_and_says_that_others_are_not_heard(catalog: Catalog) -> None:
    assert not catalog.notifications.is_live


@pytest.mark.scale
def test_message_reaches_another_process(
    postgres_library: str, processes: ForkServerContext
) -> None:
    heard: queue.Queue[str | None] = queue.Queue()
    with (
        open_catalog(postgres_library) as catalog,
        catalog.notifications.hearing("pages", heard.put),
    ):
        listen(catalog)
        process = processes.Process(target=said, args=(postgres_library,))
        process.start()
        assert next_of(heard) == "from afar"
        process.join(SOON_S)


@pytest.mark.scale
def test_lost_connection_comes_back_and_says_that_something_may_have_been_missed(
    postgres: PostgresServer, postgres_library: str
) -> None:
    heard: queue.Queue[str | None] = queue.Queue()
    with (
        open_catalog(postgres_library) as catalog,
        catalog.notifications.hearing("pages", heard.put),
    ):
        assert heard.get(timeout=SOON_S) is None
        postgres.stop()
        postgres.start()
        assert heard.get(timeout=SOON_S) is None
        assert catalog.notifications.is_live
        catalog.notifications.publish("pages", "again")
        assert next_of(heard) == "again"


@pytest.mark.scale
def test_closed_catalog_leaves_no_connection(
    postgres: PostgresServer, postgres_library: str
) -> None:
    catalog = open_catalog(postgres_library)
    with catalog.notifications.hearing("pages", lambda _: None):
        listen(catalog)
        catalog.close()
        assert not catalog.notifications.is_live
    # The server notices the end of a connection a moment later.
    end_s = time.monotonic() + SOON_S
    while postgres.n_connections(postgres_library) and time.monotonic() < end_s:
        time.sleep(0.05)
    assert postgres.n_connections(postgres_library) == 0
