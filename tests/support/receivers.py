"""Real receivers of alerts: a web server that takes webhooks, and a mail server."""

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message


@dataclass
class Post:
    """A request that arrived."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class WebReceiver:
    """What a web server got, and what it answers."""

    address: str
    posts: list[Post] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """Of the next answers, in order; 204 when empty. 0 hangs up in mid-answer."""
    headers: dict[str, str] = field(default_factory=dict)


@contextmanager
def open_web_receiver() -> Iterator[WebReceiver]:
    """A web server on a port of its own, until the end of the body."""
    receiver = WebReceiver(address="")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.posts.append(Post(self.path, dict(self.headers.items()), body))
            status = receiver.statuses.pop(0) if receiver.statuses else 204
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.address = f"http://127.0.0.1:{server.server_address[1]}/hook/secret-path"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def open_dripping_receiver(begins: bytes) -> Iterator[str]:
    """A server that says this, then a byte at a time without end; yields its host and port."""
    ends = threading.Event()

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.sendall(begins)
                while not ends.wait(0.02):
                    self.request.sendall(b"x")

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            ends.set()
            server.shutdown()
            thread.join()


class _Mailbox(Message):
    def __init__(self) -> None:
        super().__init__(EmailMessage)
        self.mails: list[EmailMessage] = []

    def handle_message(self, message: Any) -> None:
        self.mails.append(message)


@dataclass
class MailReceiver:
    """What a mail server got."""

    address: str
    mails: list[EmailMessage]


@contextmanager
def open_mail_receiver() -> Iterator[MailReceiver]:
    """A mail server on a port of its own, until the end of the body."""
    mailbox = _Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield MailReceiver(f"smtp://127.0.0.1:{port}", mailbox.mails)
    finally:
        controller.stop()
