"""Programs: `gradio_client` and MCP with a token, as the guide shows them, and who gets what."""

import asyncio
import base64
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from gradio_client import Client
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from app.server import create_app, uvicorn_config
from app.services.accounts import add_token
from app.ui.endpoints import NAMES, STREAM
from tests.support.site import Library, open_library

ROOT = Path(__file__).parents[3]
PATIENCE_S = 120.0
"""Longest wait for an answer; httpx has 5 s, and a busy machine is slow, not wrong."""
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs/web.md").read_text(), re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server that listens, with tokens: of each user to read, and of the admin to write."""

    url: str
    admin: str
    writer: str
    viewer: str
    gate: str
    yard: str


@pytest.fixture(scope="module")
def served(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("clients") / "site"
    shutil.copytree(library.home, home)
    services = open_library(home)
    accounts = services.catalog.accounts

    def token(name: str, *scopes: str) -> str:
        user = accounts.user(name)
        assert user is not None
        return add_token(services, user.id, name, days=1, scopes=list(scopes))[1]

    app = create_app(services, is_local=True)
    server = uvicorn.Server(uvicorn_config(app, services.settings))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.05)
    yield Served(
        url=f"http://127.0.0.1:{listener.getsockname()[1]}",
        admin=token("ada", "read"),
        writer=token("ada", "read", "write"),
        viewer=token("vera", "read"),
        gate=library.gate,
        yard=library.yard,
    )
    server.should_exit = True
    thread.join(timeout=30)
    listener.close()
    services.close()


def client(served: Served, token: str) -> Client:
    headers, patience = {"Authorization": f"Bearer {token}"}, {"timeout": PATIENCE_S}
    return Client(served.url + "/ui/", headers=headers, httpx_kwargs=patience, verbose=False)


def call_tool(served: Served, token: str, name: str, arguments: dict[str, Any]) -> Any:
    headers = {"Authorization": f"Bearer {token}"}

    async def call() -> Any:
        async with (
            httpx.AsyncClient(headers=headers, timeout=PATIENCE_S) as http,
            streamable_http_client(served.url + "/ui/gradio_api/mcp/", http_client=http) as (
                receive,
                send,
                _,
            ),
            ClientSession(receive, send) as session,
        ):
            await session.initialize()
            names = [tool.name for tool in (await session.list_tools()).tools]
            return names, await session.call_tool(name, arguments)

    return asyncio.run(call())


@pytest.mark.parametrize("example", EXAMPLES, ids=["gradio_client", "mcp"])
def test_example_of_the_guide_runs_as_it_stands_there(served: Served, example: str) -> None:
    environment = {**os.environ, "SERVER_URL": served.url, "API_TOKEN": served.admin}
    ran = subprocess.run(
        [sys.executable, "-c", example],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "gate" in ran.stdout or "answer" in ran.stdout


def test_endpoints_are_listed_by_name_and_handlers_of_pages_are_not(served: Served) -> None:
    listed = client(served, served.viewer).view_api(print_info=False, return_format="dict")
    assert set(listed["named_endpoints"]) == {f"/{name}" for name in (*NAMES, STREAM)}
    assert not listed["unnamed_endpoints"]


def test_viewer_gets_evidence_of_their_own_videos_alone(served: Served) -> None:
    every = client(served, served.admin).predict(query="a card", api_name="/search")
    assert {hit["video_id"] for hit in every["hits"]} == {served.gate, served.yard}
    own = client(served, served.viewer)
    hits = own.predict(query="a card", api_name="/search")["hits"]
    assert {hit["video_id"] for hit in hits} == {served.gate}
    for name in (served.yard, "yard"):
        with pytest.raises(AppError, match="no video"):
            own.predict(query="a card", videos=[name], api_name="/search")
        with pytest.raises(AppError, match="no video"):
            own.predict(name, api_name="/moments")
        _, refused = call_tool(served, served.viewer, "search", {"query": "x", "videos": [name]})
        assert refused.isError


def test_what_clients_send_in_place_of_a_text_is_taken_or_refused_with_a_sentence(
    served: Served,
) -> None:
    own = client(served, served.viewer)
    found = own.predict(query="a card", videos="gate", after=1, api_name="/search")
    assert {hit["video_id"] for hit in found["hits"]} == {served.gate}
    for endpoint, wrong in (
        ("/moments", {"video": 7}),
        ("/moments", {"video": "gate", "hours": 7}),
        ("/search", {"query": "a card", "hours": 7}),
        ("/search", {"query": "a card", "videos": [7]}),
        ("/ask", {"question": 7}),
    ):
        with pytest.raises(AppError, match="valid string"):
            own.predict(**wrong, api_name=endpoint)
    for endpoint in ("/search", "/ask"):
        with pytest.raises(AppError, match="valid list"):
            own.predict("a card", videos=7, api_name=endpoint)


def test_moments_are_of_a_video_or_of_a_day(served: Served) -> None:
    own = client(served, served.viewer)
    assert own.predict(video="gate", api_name="/moments")["video"] == "gate"
    assert own.predict(day="2026-03-01", api_name="/moments")["lanes"] == []
    for wrong in ({}, {"day": "today"}, {"video": "yard", "day": "2026-03-01"}):
        with pytest.raises(AppError, match=r"name a video|is no day|no video"):
            own.predict(**wrong, api_name="/moments")


def test_answer_is_streamed_word_by_word(served: Served) -> None:
    job = client(served, served.viewer).submit(
        question="What happens?", videos=[served.gate], api_name="/ask_stream"
    )
    steps = list(job)
    assert all(step["answer"] for step in steps)
    assert "evidence" in steps[-1]
    assert steps[-1]["answer"].startswith(steps[0]["answer"])
    assert all(set(step) == {"answer"} for step in steps[:-1])


def test_images_are_arguments_of_the_endpoint_and_of_the_tool(served: Served) -> None:
    """Larger than other bodies may be; the tiny model reads none, and says so.

    The SDK of MCP takes no message of more than 4 MiB.
    """
    image = f"data:image/png;base64,{base64.b64encode(bytes(2 << 20)).decode()}"
    own = client(served, served.viewer)
    for name in ("/ask", f"/{STREAM}"):
        with pytest.raises(AppError, match="reads no still images"):
            own.predict(question="What is this?", images=[image], api_name=name)
    arguments = {"question": "What is this?", "images": [image]}
    _, refused = call_tool(served, served.viewer, "ask", arguments)
    assert refused.isError
    assert "reads no still images" in refused.content[0].text


def test_nobody_reads_the_events_of_another_user(served: Served) -> None:
    """Neither by the number of an event nor by the session's own word."""
    api = f"{served.url}/ui/gradio_api"
    owner, other = ({"Authorization": f"Bearer {token}"} for token in (served.admin, served.viewer))
    order = {
        "data": ["What happens in yard?", [served.yard], "", "", "", None],
        "session_hash": "word",
    }
    event = httpx.post(
        f"{api}/call/ask_stream", json=order, headers=owner, timeout=PATIENCE_S
    ).json()["event_id"]
    result = f"{api}/call/ask_stream/{event}"
    assert httpx.get(result, headers=other, timeout=PATIENCE_S).status_code == 404
    overheard = ""
    with (
        suppress(httpx.RemoteProtocolError),
        httpx.stream(
            "GET", f"{api}/queue/data?session_hash=word", headers=other, timeout=PATIENCE_S
        ) as stream,
    ):
        for text in stream.iter_text():
            overheard += text
    # Gradio says that there is no such session, and breaks off.
    assert '"session_not_found":true' in overheard
    assert "process_" not in overheard
    # Whose it is reads it whole, after the others were sent away.
    own = httpx.get(result, headers=owner, timeout=PATIENCE_S).text
    assert "event: complete" in own
    assert served.yard in own


def test_session_of_one_user_is_not_cancelled_by_another(served: Served) -> None:
    api = f"{served.url}/ui/gradio_api"
    owner, other = ({"Authorization": f"Bearer {token}"} for token in (served.admin, served.viewer))
    order = {"data": ["What happens?", [served.yard], "", "", "", None], "session_hash": "mine"}
    event = httpx.post(
        f"{api}/call/ask_stream", json=order, headers=owner, timeout=PATIENCE_S
    ).json()["event_id"]
    cancel = {"session_hash": "mine", "fn_index": 0, "event_id": "another"}
    httpx.post(f"{api}/cancel", json=cancel, headers=other, timeout=PATIENCE_S)
    own = httpx.get(f"{api}/call/ask_stream/{event}", headers=owner, timeout=PATIENCE_S).text
    assert "event: complete" in own


def test_library_is_changed_by_an_admin_with_the_right_to_write_alone(served: Served) -> None:
    for token in (served.admin, served.viewer):
        with pytest.raises(AppError, match="scopes of this token"):
            client(served, token).predict("/etc/passwd", api_name="/ingest")
        names, refused = call_tool(served, token, "probe", {})
        assert names == [*NAMES]
        assert refused.isError
    with pytest.raises(AppError, match="folder"):
        client(served, served.writer).predict("/etc/passwd", api_name="/ingest")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/info"), ("POST", "/mcp/"), ("POST", "/run/ask"), ("POST", "/queue/join")],
)
def test_strangers_get_nothing(served: Served, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer nothing"}):
        answer = httpx.request(
            method, f"{served.url}/ui/gradio_api{path}", headers=headers, timeout=PATIENCE_S
        )
        assert answer.status_code == 401
