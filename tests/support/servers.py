"""Servers in processes of their own over one library, as a proxy would have them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.api.auth import CSRF_HEADER
from app.config.settings import load_settings
from app.services.context import ServiceContext
from app.services.credentials import hash_password
from engine.models.video_xl.model import write_tiny
from tests.support.site import PASSWORD


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that listens."""

    address: str
    process: subprocess.Popen[str]

    def client(self) -> httpx.Client:
        """A client of nobody yet."""
        return httpx.Client(base_url=self.address, timeout=120, trust_env=False)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def environment(home: Path, url: str, **more: str) -> dict[str, str]:
    """Return the environment of a server: settings alone tell it where it belongs."""
    return {
        **os.environ,
        "LONGWATCH_HOME": str(home),
        "LONGWATCH_DATABASE_URL": url,
        "LONGWATCH_MODEL": str(tiny_model(home.parent)),
        "LONGWATCH_LIMITS__DISK_RESERVE_BYTES": "1MB",
        "LONGWATCH_LIMITS__ANSWER_TOKENS": "8",
        "LONGWATCH_SAMPLING__THIN_STATIC": "false",
        **more,
    }


def tiny_model(folder: Path) -> Path:
    """Write the tiny model once, and return its folder."""
    model = folder / "tiny"
    if not model.is_dir():
        write_tiny(model)
    return model


def open_shared(home: Path, url: str, **more: object) -> ServiceContext:
    """Open the library of some servers in this process, with their settings."""
    settings = {
        "model": str(tiny_model(home.parent)),
        "database_url": url,
        "limits.disk_reserve_bytes": "1MB",
        "limits.answer_tokens": 8,
        "sampling.thin_static": False,
        **more,
    }
    return ServiceContext(load_settings(settings, home=home, folder=home.parent))


def add_admin(home: Path, url: str, name: str = "ada") -> None:
    """Add an account that may do everything."""
    context = open_shared(home, url)
    context.catalog.accounts.add_user(name, "admin", password_hash=hash_password(PASSWORD))
    context.close()


@contextmanager
def running(settings: dict[str, str], *options: str) -> Iterator[Server]:
    """Run a server until the body ends."""
    process = subprocess.Popen(
        # Of a number given twice the last one counts.
        [sys.executable, "-m", "app", "serve", "--json", "--port", "0", *options],
        env=settings,
        cwd=settings["LONGWATCH_HOME"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        address = ""
        document = ""
        while not address:
            line = process.stdout.readline()
            assert line, "the server ended before it listened"
            document += line
            try:
                address = json.loads(document)["address"]
            except ValueError:
                continue
        server = Server(address=address, process=process)
        # It listens before it is ready; a request waits until it is.
        with server.client() as client:
            assert client.get("/healthz").status_code == 200
        yield server
    finally:
        process.terminate()
        process.wait(timeout=120)
        process.stdout.close()


def sign_in(server: Server, name: str = "ada") -> httpx.Client:
    """Return a client that has signed in."""
    client = server.client()
    form = {"name": name, "password": PASSWORD}
    assert client.post("/sign-in", data=form).status_code == 303
    client.headers[CSRF_HEADER] = client.get("/api/v1/session").json()["csrf"]
    return client


def at(server: Server, client: httpx.Client) -> httpx.Client:
    """Return the same person at another server, as a proxy sends them."""
    other = server.client()
    other.cookies.update(dict(client.cookies))
    other.headers[CSRF_HEADER] = client.headers[CSRF_HEADER]
    return other
