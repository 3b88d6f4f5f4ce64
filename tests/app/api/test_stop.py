"""A server that is told to stop ends, whatever its visitors do, and hands back what it has."""

import asyncio
import socket
from pathlib import Path

import anyio
import uvicorn
from starlette.types import Receive, Scope, Send

from app.config.settings import load_settings
from app.server import FINISH_S, uvicorn_config

PATIENCE_S = 60


def test_visitor_who_takes_nothing_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    began, is_handed_back = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            is_handed_back.set()
            await send({"type": "lifespan.shutdown.complete"})
            return
        # A video that nobody plays on: once the buffers are full, it stands.
        await send({"type": "http.response.start", "status": 200, "headers": []})
        began.set()
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})

    async def try_it() -> None:
        config = uvicorn_config(app, load_settings(home=tmp_path, folder=tmp_path))
        assert config.timeout_graceful_shutdown == FINISH_S
        config.timeout_graceful_shutdown = 1
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            port = listener.getsockname()[1]
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(began.wait(), PATIENCE_S)
            server.should_exit = True
            await asyncio.wait_for(serving, PATIENCE_S)
            writer.close()
        assert is_handed_back.is_set()

    anyio.run(try_it)
