"""What a request may send, and how long it may take."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import httpx
import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send

from app.api.body_limit import (
    MAX_BODY_BYTES,
    MAX_QUESTION_BYTES,
    MAX_SIGN_IN_BYTES,
    BodyLimitMiddleware,
    HeaderTimeoutProtocol,
)
from app.errors import rule_for
from app.services.uploads import announce_upload
from engine.errors import DiskFullError
from tests.support.site import ADDRESS, PASSWORD, Site, open_library


@pytest.mark.parametrize("is_chunked", [False, True])
def test_form_of_a_stranger_is_cut_off_at_64_kb(site: Site, is_chunked: bool) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"name=ada&password="
        for _ in range(1000):
            yield b"x" * 1024
            sent.append(1024)

    sent: list[int] = []
    kind = {"content-type": "application/x-www-form-urlencoded"}
    body = pieces() if is_chunked else b"".join(pieces())
    answer = site.anonymous.post("/sign-in", content=body, headers=kind)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    form = {"name": "ada", "password": PASSWORD, "next": "/" + "x" * 4000}
    assert site.anonymous.post("/sign-in", data=form, follow_redirects=False).status_code == 303


def test_file_in_a_sign_in_form_is_never_stored(site: Site) -> None:
    files = {"name": ("big", b"x" * (MAX_SIGN_IN_BYTES + 1))}
    assert site.anonymous.post("/sign-in", files=files).status_code == 413


def test_json_is_cut_off_at_2_mb_but_for_questions_with_images(site: Site) -> None:
    body = {"query": "x" * MAX_BODY_BYTES}
    answer = site.viewer.post("/api/v1/search", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert site.viewer.post("/api/v1/search", json={"query": "a car"}).status_code == 200
    asked = {"question": "x" * MAX_BODY_BYTES}
    # Read whole, and then too long for a question.
    assert "question" in site.viewer.post("/api/v1/ask", json=asked).json()["error"]["message"]
    asked = {"question": "?", "images": ["x" * MAX_QUESTION_BYTES]}
    assert site.viewer.post("/api/v1/ask", json=asked).status_code == 413


def test_stranger_is_refused_before_a_byte_is_read(site: Site) -> None:
    async def try_it() -> int:
        async def pieces() -> AsyncIterator[bytes]:
            raise AssertionError("the body was read")
            yield b""

        transport = httpx.ASGITransport(site.app)
        async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:
            return (await client.post("/api/v1/search", content=pieces())).status_code

    assert anyio.run(try_it) == 401


def test_body_that_does_not_come_is_not_waited_for() -> None:
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        sent.append(await receive())

    async def receive() -> Message:
        if not sent:
            await asyncio.sleep(3600)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    async def ask(path: str) -> list[Message]:
        sent.clear()
        scope = {"type": "http", "method": "PATCH", "path": path, "headers": []}
        await BodyLimitMiddleware(app, timeout_s=0.05)(scope, receive, send)
        return sent

    assert anyio.run(ask, "/api/v1/videos/x")[0]["status"] == 408
    assert anyio.run(ask, "/api/v1/uploads/x") == [{"type": "http.disconnect"}]


class _QuickProtocol(HeaderTimeoutProtocol):
    headers_timeout_s = 0.3


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"yes"})


def test_connection_without_a_whole_head_is_closed() -> None:
    async def try_it() -> None:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(
            _answer,
            http=_QuickProtocol,
            lifespan="off",
            log_config=None,
            timeout_keep_alive=1,
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        port = listener.getsockname()[1]
        whole = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        for start in (b"", b"GET / HTTP/1.1\r\nHost:", whole + b"GET / HT"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(start)
            received = await asyncio.wait_for(reader.read(), 5)
            assert received.count(b"200 OK") == start.count(whole)
            writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(whole)
            assert b"yes" in await reader.read(1000)
            await asyncio.sleep(0.2)
        writer.close()
        server.should_exit = True
        await serving

    anyio.run(try_it)


def test_room_of_announced_uploads_is_reserved(tmp_path: Path) -> None:
    services = open_library(tmp_path, **{"limits.upload_bytes": shutil.disk_usage(tmp_path).free})
    user = services.catalog.accounts.add_user("ada", "admin")
    size_bytes = shutil.disk_usage(tmp_path).free * 2 // 5
    for _ in range(2):
        announce_upload(services, user.id, size_bytes=size_bytes, file_name="a.mp4")
    with pytest.raises(DiskFullError, match="do not fit") as caught:
        announce_upload(services, user.id, size_bytes=size_bytes, file_name="b.mp4")
    assert rule_for(caught.value).status == 507
    services.close()
