"""The side of the terminal: a command goes to the running server, or is done here."""

import json
import socket
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from app.config.settings import Settings
from app.errors import ReportedError
from app.ipc.commands import COMMANDS, Command, Listener
from app.ipc.runtime_file import (
    RuntimeFile,
    read_runtime_file,
    settings_digest,
    socket_address,
    socket_path,
)
from app.progress import ProgressUpdate
from app.version import product_version
from engine.errors import UnreachableError

CONNECT_TIMEOUT_S: Final = 2.0
"""Longest wait for a server that is there but does not listen, before the command works alone."""


class _Declined(Exception):
    """The server cannot be used for this command."""


def run_command(
    name: str, arguments: BaseModel, settings: Settings, listener: Listener, *, alone: bool
) -> Any:
    """Run a command at the server of the library if one runs, else in this process.

    Args:
        name: One of `COMMANDS`.
        alone: Leave a server that runs aside.
    Returns:
        The document of the command.
    Raises:
        LongwatchError: What the command raised, here or there.
        KeyboardInterrupt: Ctrl-C.
    """
    command = COMMANDS[name]
    server = None if alone else read_runtime_file(settings.home)
    if server is not None:
        try:
            return _run_there(server, name, command, arguments, settings, listener)
        except _Declined:
            pass
    # Late: the database, which a terminal with a server does without.
    from app.services.context import ServiceContext

    context = ServiceContext(settings)
    try:
        return command.run(context, arguments, listener, None)
    finally:
        context.close()


def _run_there(
    server: RuntimeFile,
    name: str,
    command: Command,
    arguments: BaseModel,
    settings: Settings,
    listener: Listener,
) -> BaseModel:
    request = {
        "token": server.token,
        "version": product_version(),
        "settings": settings_digest(settings),
        "command": name,
        "arguments": arguments.model_dump(mode="json"),
    }
    with _connect(settings) as connected:
        try:
            connected.sendall(json.dumps(request).encode() + b"\n")
            for kind, value in _answers(connected):
                if kind == "document":
                    return command.response.model_validate(value)
                _hear(kind, value, listener)
        except OSError:
            pass  # As one that ends without a word.
        except KeyboardInterrupt:
            if command.is_job and server.with_worker:
                listener.say(
                    "left to the server, which goes on with it; "
                    "the Jobs page of the web app shows it, and stops it"
                )
            raise
    raise UnreachableError(
        f"the server stopped before it had an answer to `longwatch {name}`",
        hint="what is done is kept; the same command goes on there",
    )


def _connect(settings: Settings) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.settimeout(CONNECT_TIMEOUT_S)
    try:
        with socket_address(socket_path(settings.home)) as address:
            connected.connect(address)
    except OSError as error:
        connected.close()
        raise _Declined from error
    connected.settimeout(None)
    return connected


def _answers(connected: socket.socket) -> Iterator[tuple[str, Any]]:
    with connected.makefile("rb") as lines:
        for line in lines:
            yield from json.loads(line).items()


def _hear(kind: str, value: Any, listener: Listener) -> None:
    """Pass a line of the server on.

    Raises:
        ReportedError: What the command raised there.
    """
    if kind == "declined":
        raise _Declined(value)
    if kind == "error":
        raise ReportedError(value["code"], value["message"], hint=value.get("hint"))
    if kind == "progress":
        listener.progress(ProgressUpdate(**value))
    elif kind == "token":
        listener.token(value)
    elif kind == "say":
        listener.say(value)
