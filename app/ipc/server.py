"""The side of the server: commands come through a Unix socket, one connection each.

{"token", "version", "settings", "command", "arguments"}     one line from the terminal
{"progress": {...}} | {"token": "..."} | {"say": "..."}      lines while it runs
{"document": {...}} | {"error": {...}} | {"declined": "..."}     the last line
"""

import hmac
import json
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import asdict
from typing import Any, Final

from pydantic import ValidationError

from app.errors import NotAllowedError
from app.ipc.commands import COMMANDS
from app.ipc.runtime_file import (
    RuntimeFile,
    read_runtime_file,
    runtime_path,
    settings_digest,
    socket_address,
    socket_path,
)
from app.progress import ProgressUpdate
from app.schemas.errors import describe_error
from app.services.context import ServiceContext
from engine.errors import InputRefusedError, LongwatchError, UnreachableError

MAX_REQUEST_BYTES: Final = 1 << 20
REQUEST_TIMEOUT_S: Final = 10.0
"""Longest wait for the line of a request, which a command sends at once."""
MAX_CONNECTIONS: Final = 64
CLOSE_TIMEOUT_S: Final = 20.0

_log = logging.getLogger(__name__)


class CommandServer:
    """Runs commands of the terminals on this machine that belong to the server's own user."""

    def __init__(
        self,
        context: ServiceContext,
        *,
        model_turn: Callable[[], AbstractContextManager[object]] = nullcontext,
        with_worker: bool = False,
    ) -> None:
        """Prepare a server, which does not listen yet.

        Args:
            model_turn: Holds the model while the body of its `with` runs, behind those who wait.
            with_worker: Whether a job goes on here when its terminal leaves.
        """
        self._context = context
        self._model_turn = model_turn
        self._file = RuntimeFile.of_this_process(with_worker=with_worker)
        self._stopping = threading.Event()
        self._listener: socket.socket | None = None
        self._connections: set[Connection] = set()

    def start(self) -> bool:
        """Listen, and write the file by which commands find this server.

        Returns:
            Whether it listens: another server of the same library may do so already.
        """
        home = self._context.settings.home
        if read_runtime_file(home) is not None or not hasattr(socket, "AF_UNIX"):
            return False
        try:
            runtime_path(home).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Of a server that was killed.
            socket_path(home).unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            with socket_address(socket_path(home)) as address:
                listener.bind(address)
            socket_path(home).chmod(0o600)
            listener.listen(MAX_CONNECTIONS)
            self._file.write(home)
        except OSError as error:
            _log.warning("commands work alone: no socket in %s: %s", home, error)
            return False
        self._listener = listener
        threading.Thread(target=self._accept, name="commands", daemon=True).start()
        return True

    def close(self) -> None:
        """Stop listening, hand back what runs, and take the file away."""
        if self._listener is None:
            return
        home = self._context.settings.home
        # A server of another machine that shares the folder may have put its own there since.
        if read_runtime_file(home) == self._file:
            for path in (runtime_path(home), socket_path(home)):
                with suppress(OSError):
                    path.unlink(missing_ok=True)
        self._stopping.set()
        # Wakes the thread that waits in `accept`, which closing alone does not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in [*self._connections]:
            connection.stop()
        for connection in [*self._connections]:
            connection.thread.join(CLOSE_TIMEOUT_S)

    def _accept(self) -> None:
        assert self._listener is not None, "started by `start`"
        while not self._stopping.is_set():
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return  # Closed.
            if len(self._connections) >= MAX_CONNECTIONS:
                connected.close()
                continue
            connection = Connection(connected, self._serve, self._connections.discard)
            self._connections.add(connection)
            connection.thread.start()

    def _serve(self, connection: "Connection") -> None:
        try:
            request = connection.read_request()
            # As JSON, so that whatever arrives has bytes.
            token = json.dumps(request.get("token")).encode()
            if not hmac.compare_digest(token, json.dumps(self._file.token).encode()):
                raise NotAllowedError("this token is not the server's")
            reason = self._reason_to_decline(request)
            if reason is not None:
                connection.send("declined", reason)
                return
            connection.send("document", self._run(request, connection))
        except LongwatchError as error:
            connection.send("error", describe_error(error).error.model_dump(mode="json"))

    def _reason_to_decline(self, request: dict[str, Any]) -> str | None:
        if request.get("version") != self._file.version:
            return "another version"
        if request.get("settings") != settings_digest(self._context.settings):
            return "other settings"
        return None if request.get("command") in COMMANDS else "no such command"

    def _run(self, request: dict[str, Any], connection: "Connection") -> dict[str, Any]:
        command = COMMANDS[request["command"]]
        try:
            arguments = command.arguments.model_validate(request.get("arguments"))
        except ValidationError as error:
            raise InputRefusedError("the arguments of this command are not understood") from error
        with ExitStack() as stack:
            if command.asks:
                stack.enter_context(self._model_turn())
            document = command.run(self._context, arguments, connection, connection.stopping)
        return document.model_dump(mode="json")


class Connection:
    """One command of a terminal, in a thread of its own; it sends back what the command reports."""

    def __init__(
        self,
        connected: socket.socket,
        serve: Callable[["Connection"], None],
        end: Callable[["Connection"], None],
    ) -> None:
        self._socket = connected
        self._serve = serve
        self._end = end
        self._lock = threading.Lock()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._work, name="command", daemon=True)

    def stop(self) -> None:
        """Have the command return soon; what is committed stays."""
        self.stopping.set()

    def read_request(self) -> dict[str, Any]:
        """Return the request.

        Raises:
            InputRefusedError: It is too long or no request.
            UnreachableError: It does not come in time.
        """
        self._socket.settimeout(REQUEST_TIMEOUT_S)
        line = bytearray()
        try:
            while not line.endswith(b"\n"):
                part = self._socket.recv(1 << 16)
                if not part or len(line) > MAX_REQUEST_BYTES:
                    raise InputRefusedError("a request is one line of at most 1 MiB")
                line += part
        except OSError as error:
            raise UnreachableError("the request did not come in time") from error
        self._socket.settimeout(None)
        try:
            request = json.loads(line)
        except ValueError as error:
            raise InputRefusedError("a request is a JSON object") from error
        if not isinstance(request, dict):
            raise InputRefusedError("a request is a JSON object")
        return request

    def progress(self, update: ProgressUpdate) -> None:
        """Tell the terminal how far the work is."""
        self.send("progress", asdict(update))

    def token(self, text: str) -> None:
        """Send the terminal the next words of an answer."""
        self.send("token", text)

    def say(self, text: str) -> None:
        """Send the terminal a line for people."""
        self.send("say", text)

    def send(self, kind: str, value: object) -> None:
        """Send a line; a terminal that has left ends the command."""
        line = json.dumps({kind: value}, ensure_ascii=False) + "\n"
        try:
            with self._lock:
                self._socket.sendall(line.encode())
        except OSError:
            self.stopping.set()

    def _work(self) -> None:
        try:
            self._serve(self)
        finally:
            self._socket.close()
            self._end(self)
