"""Messages between the processes of one library: what has changed, told to those who wait for it.

    with catalog.notifications.hearing("jobs", wake):            # wake(payload), or wake(None)
        ...
    catalog.notifications.publish("jobs", "queued 17")
    catalog.notifications.publish_with(session, "jobs", "queued 17")   # if and when it commits

On PostgreSQL a message is a NOTIFY, and every process that hears has one connection of its own that
listens. On SQLite it reaches the threads of this process alone. Either way it is a hint, never the
truth: who is told looks at the rows, and who waits looks at them now and then untold, often where
`is_live` is false. A message is not kept for those who are away; once a lost connection is back,
every hearer is called with `None`: anything may have changed.
"""

import logging
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import event, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from engine.errors import LongwatchError
from storage.database import Database

Hear = Callable[[str | None], None]
"""Takes the payload of a message, or `None` when messages may have been missed; on a thread that
must not be held up, so it sets an event or puts something into a queue."""

CHANNEL: Final = "longwatch"
"""The only channel of PostgreSQL: topics are told apart here, and so need no names of their own."""
MOST_BYTES: Final = 7900
"""Longest message that PostgreSQL takes, less what stands around it."""

_LOOK_S: Final = 30.0
"""Seconds of silence after which the connection is tried."""
_RETRY_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Pauses before a lost connection is tried again; the last one repeats."""

_log = logging.getLogger(__name__)


class Notifications:
    """The messages of one database; for every thread of a process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._hearers: dict[str, list[Hear]] = {}
        self._listener: _Listener | None = None

    @property
    def is_live(self) -> bool:
        """Whether messages of other processes arrive now; else who waits has to look often."""
        listener = self._listener
        return listener is not None and listener.is_connected.is_set()

    def wait_until_live(self, timeout_s: float) -> bool:
        """Wait for the connection that listens; tells whether it is there."""
        listener = self._listener
        return listener is not None and listener.is_connected.wait(timeout_s)

    @contextmanager
    def hearing(self, topic: str, hear: Hear) -> Iterator[None]:
        """Call `hear` for every message of a topic while the body runs."""
        with self._lock:
            self._hearers.setdefault(topic, []).append(hear)
            if self._listener is None and not self._database.is_sqlite:
                self._listener = _Listener(self._database, self._deliver)
        try:
            yield
        finally:
            with self._lock:
                self._hearers[topic].remove(hear)

    def publish(self, topic: str, payload: str = "") -> None:
        """Tell every process that hears a topic; at once.

        Raises:
            LongwatchError: The database cannot be reached.
        """
        message = _message(topic, payload)
        if self._database.is_sqlite:
            self._deliver(message)
            return
        with self._database.writing() as session:
            session.execute(select(func.pg_notify(CHANNEL, message)))

    def publish_with(self, session: Session, topic: str, payload: str = "") -> None:
        """Tell every process that hears a topic when this transaction commits, and only then."""
        message = _message(topic, payload)
        if not self._database.is_sqlite:
            session.execute(select(func.pg_notify(CHANNEL, message)))
            return
        event.listen(session, "after_commit", lambda _: self._deliver(message), once=True)

    def close(self) -> None:
        """Close the connection that listens; hearing again opens another."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    def _deliver(self, message: str | None) -> None:
        """Hand on a message, or to everybody that some may have been missed when `None`."""
        topic, _, payload = (message or "").partition(" ")
        with self._lock:
            hearers = (
                [hear for of_topic in self._hearers.values() for hear in of_topic]
                if message is None
                else [*self._hearers.get(topic, ())]
            )
        for hear in hearers:
            hear(None if message is None else payload)


class _Listener:
    """A thread with a connection that listens, and comes back when it is lost."""

    def __init__(self, database: Database, deliver: Callable[[str | None], None]) -> None:
        self._database = database
        self._deliver = deliver
        self._over = threading.Event()
        # Written to when it is over: the thread waits for this and for the server at once.
        self._ended, self._end = socket.socketpair()
        self.is_connected = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notifications", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and its connection."""
        self._over.set()
        self._end.send(b"x")
        self._thread.join()
        self._ended.close()
        self._end.close()

    def _run(self) -> None:
        n_failures = 0
        while not self._over.is_set():
            try:
                with self._database.own_connection() as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    n_failures = 0
                    self.is_connected.set()
                    # What was said before anybody listened.
                    self._deliver(None)
                    self._listen(connection)
            except (LongwatchError, SQLAlchemyError, self._database.driver_error) as error:
                if n_failures == 0 and not self._over.is_set():
                    _log.warning("changes are looked for, not heard of, for a while: %s", error)
            finally:
                self.is_connected.clear()
            self._over.wait(_RETRY_S[min(n_failures, len(_RETRY_S) - 1)])
            n_failures += 1

    def _listen(self, connection: Any) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._ended, selectors.EVENT_READ)
            selector.register(connection, selectors.EVENT_READ)
            while not self._over.is_set():
                for note in connection.notifies(timeout=0):
                    self._deliver(note.payload)
                if not selector.select(_LOOK_S):
                    connection.execute("SELECT 1")


def _message(topic: str, payload: str) -> str:
    message = f"{topic} {payload}"
    if " " in topic or len(message.encode()) > MOST_BYTES:
        raise ValueError(f"not a message: topic {topic!r}, {len(payload)} characters")
    return message
