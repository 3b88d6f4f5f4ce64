"""Object stores for tests: an S3 server of moto in this process, and servers and ways that fail."""

import select
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest

from storage.object_records import ObjectAddress

BUCKET: Final = "longwatch-test"
STORES: Final = (
    "file",
    pytest.param(
        "s3",
        marks=[
            pytest.mark.scale,
            pytest.mark.xdist_group("s3"),
            # The server of moto keeps sockets and threads of its own.
            pytest.mark.filterwarnings("ignore::ResourceWarning"),
        ],
    ),
)
"""A shared folder, and S3 among the tests of larger installations: parameters of a fixture."""


def settings_of(kind: str, url: str, folder: Path) -> dict[str, object]:
    """Settings of an empty store of one of `STORES`, of an S3 server's address where it is one."""
    if kind == "file":
        return {"objects__url": (folder / "bucket").as_uri()}
    return {
        "objects__url": f"s3://{BUCKET}/{folder.name}",
        "objects__endpoint": url,
        "objects__region": "us-east-1",
        "objects__access_key_id": "test",
        "objects__secret_access_key": "test",
    }


@contextmanager
def s3_server() -> Iterator[str]:
    """Yield the address of an S3 server with one empty bucket."""
    # Late: a second of imports.
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        client.create_bucket(Bucket=BUCKET)
        client.close()
        yield url
    finally:
        server.stop()


def s3_address(
    endpoint: str, prefix: str, *, patience_s: float = 20.0, timeout_s: float = 20.0
) -> ObjectAddress:
    """Return the address of a part of the test bucket."""
    return ObjectAddress(
        url=f"s3://{BUCKET}/{prefix}",
        endpoint=endpoint,
        region="us-east-1",
        access_key_id="test",
        secret_access_key="test",
        patience_s=patience_s,
        timeout_s=timeout_s,
    )


@contextmanager
def answering(
    status: int, code: str, *, after: int | None = None, wait_s: float = 0.0
) -> Iterator[str]:
    """Yield the address of a server that answers every request with one error of S3.

    Args:
        after: Answers of this kind, behind which everything is done; without end when `None`.
        wait_s: Seconds before an answer.
    """
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            seen.append(self.path)
            time.sleep(wait_s)
            failing = after is None or len(seen) <= after
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            self.send_response(status if failing else 200)
            self.send_header("etag", '"1"')
            self.send_header("content-length", str(len(body) if failing else 0))
            self.end_headers()
            if failing and self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(slots=True)
class Way:
    """The way to a server, which may be cut."""

    url: str
    is_cut: bool = False
    """Connections end at once."""
    is_silent: bool = False
    """Connections stay, and bring nothing."""


@contextmanager
def way_to(server: str) -> Iterator[Way]:
    """Yield a way to a server, whose address stands in place of the server's own."""
    host, _, port = server.removeprefix("http://").partition(":")

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if way.is_cut:
                return
            with socket.create_connection((host, int(port))) as there:
                ends = {self.request: there, there: self.request}
                while not way.is_cut:
                    # A way that was silent has lost what was on it.
                    for end in () if way.is_silent else select.select([*ends], [], [], 0.05)[0]:
                        content = end.recv(1 << 16)
                        if not content:
                            return
                        ends[end].sendall(content)
                    if way.is_silent:
                        time.sleep(0.05)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, *_: object) -> None:
            """Say nothing: who waited may have gone."""

    with Server(("127.0.0.1", 0), Relay) as relay:
        way = Way(f"http://127.0.0.1:{relay.server_address[1]}")
        thread = threading.Thread(target=relay.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield way
        finally:
            way.is_cut = True
            relay.shutdown()
            thread.join()
