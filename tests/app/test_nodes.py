"""A question over the latents of two servers: both are asked, and one that is silent is named."""

import signal
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import httpx
import pytest

from app.schemas.ask import AnswerResponse
from app.schemas.search import SearchHit, SearchResponse
from app.services.ask import ask
from app.services.context import ServiceContext
from app.services.nodes import NODE_HEADER, SEARCH_PATH, SILENT_S, node_secret, sign
from app.services.scope import resolve_scope
from app.services.search import search
from app.worker.foreground import ingest_now
from tests.support.postgres import PostgresServer
from tests.support.servers import Server, environment, open_shared, running
from tests.support.site import draw_clip, open_library

pytestmark = pytest.mark.scale
QUESTION = "What is in the video?"
PATIENCE_S = 120


@dataclass(frozen=True)
class Nodes:
    """A server that is asked from outside, this process, and one that it has to ask."""

    asker: ServiceContext
    other: Server
    whole: ServiceContext
    """The same two videos on one machine."""


@pytest.fixture(scope="module")
def nodes(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    folder = tmp_path_factory.mktemp("nodes")
    homes = [folder / name for name in ("a", "b", "whole")]
    for home in homes:
        home.mkdir(mode=0o700)
    gate = str(draw_clip(folder / "gate.mp4", seed=1))
    yard = str(draw_clip(folder / "yard.mp4", seed=2))
    # Each server has the vectors of what it holds, and no other: files, not one index for all.
    index = {"retrieval.index": "segments"}
    with postgres.library() as url:
        for home, clip in ((homes[0], gate), (homes[1], yard)):
            context = open_shared(home, url, **index)
            ingest_now(context, [clip])
            context.engine.save_index()
            context.close()
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        own = environment(
            homes[1],
            url,
            LONGWATCH_SERVER__NODE_ADDRESS=address,
            LONGWATCH_RETRIEVAL__INDEX="segments",
        )
        asker = open_shared(
            homes[0],
            url,
            **index,
            **{"server.node_address": "http://127.0.0.1:9", "server.node_wait_s": 60.0},
        )
        whole = open_library(homes[2])
        ingest_now(whole, [gate, yard])
        with running(own, "--no-worker", "--port", str(port)) as other:
            wait_for_node(asker)
            yield Nodes(asker, other, whole)
        asker.close()
        whole.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_node(context: ServiceContext) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not any(node.videos for node in context.catalog.nodes.alive(silent_s=SILENT_S)):
        assert time.monotonic() < end_s, "the other server gave no sign of life"
        time.sleep(0.2)


def open_hasty(asker: ServiceContext) -> ServiceContext:
    """Open the same library once more, with little patience."""
    server = asker.settings.server.model_copy(update={"node_wait_s": 1.0})
    return ServiceContext(asker.settings.model_copy(update={"server": server}))


def searched(context: ServiceContext) -> SearchResponse:
    return search(context, "a red car", resolve_scope(context), top=8)


def asked(context: ServiceContext) -> AnswerResponse:
    return ask(context, QUESTION, resolve_scope(context), recall="all")


def hits_of(hits: Sequence[SearchHit]) -> list[tuple[object, ...]]:
    return [
        (hit.video, hit.start_s, hit.end_s, hit.confirmed, hit.kind, pytest.approx(hit.score))
        for hit in hits
    ]


def test_search_finds_what_each_part_holds_in_one_order(nodes: Nodes) -> None:
    spread = searched(nodes.asker)
    # Support is judged against the rest of what a server holds: as if each part were a library.
    parts = [
        search(nodes.whole, "a red car", resolve_scope(nodes.whole, [name]), top=8)
        for name in ("gate", "yard")
    ]
    hits = [hit for part in parts for hit in part.hits]
    best = sorted(hits, key=lambda hit: (hit.confirmed, hit.score), reverse=True)[:8]
    assert {hit.video for hit in best} == {"gate", "yard"}
    assert hits_of(spread.hits) == hits_of(best)
    assert spread.searched_s == pytest.approx(sum(part.searched_s for part in parts))
    assert spread.left_out == []


def test_answer_rests_on_both(nodes: Nodes) -> None:
    spread, whole = asked(nodes.asker), asked(nodes.whole)
    assert spread.searched_s == pytest.approx(whole.searched_s)
    assert spread.recalled_chunks == whole.recalled_chunks
    assert {item.video for item in spread.evidence} == {item.video for item in whole.evidence}
    assert spread.left_out == []


def test_stranger_is_answered_nothing(nodes: Nodes) -> None:
    body, now = b"{}", int(time.time())
    secret = node_secret(nodes.asker)
    headers = {
        "unsigned": "",
        "another secret": sign(b"guess", now, SEARCH_PATH, body),
        "another body": sign(secret, now, SEARCH_PATH, b"{} "),
        "another path": sign(secret, now, "/internal/v1/answer", body),
        "too old": sign(secret, now - 3600, SEARCH_PATH, body),
        "no number": "now." + "0" * 64,
    }
    with nodes.other.client() as client:
        statuses = {
            name: client.post(
                SEARCH_PATH, content=body, headers=[(NODE_HEADER, header)]
            ).status_code
            for name, header in headers.items()
        }
        signed = {NODE_HEADER: sign(secret, now, SEARCH_PATH, body)}
        assert client.post(SEARCH_PATH, content=body, headers=signed).status_code == 422
    assert set(statuses.values()) == {403}


def test_silent_server_is_left_out_and_said_so(nodes: Nodes) -> None:
    whole = asked(nodes.whole)
    nodes.other.process.send_signal(signal.SIGSTOP)
    try:
        # Before its silence shows in the database: it is asked, and does not answer in time.
        hasty = open_hasty(nodes.asker)
        spread, hits = asked(hasty), searched(hasty)
        hasty.close()
    finally:
        nodes.other.process.send_signal(signal.SIGCONT)
    assert [(item.video, item.reason) for item in spread.left_out] == [("yard", "away")]
    assert spread.searched_s == pytest.approx(whole.searched_s / 2, abs=1.0)
    assert {item.video for item in spread.evidence} <= {"gate"}
    assert [(item.video, item.reason) for item in hits.left_out] == [("yard", "away")]


def test_dead_server_is_left_out_and_said_so(nodes: Nodes) -> None:
    nodes.other.kill()
    for _ in range(2):
        # First it is asked and refuses; once it was silent for long enough nobody asks it.
        spread = asked(nodes.asker)
        assert [(item.video, item.reason) for item in spread.left_out] == [("yard", "away")]
        nodes.asker.catalog.nodes.forget(silent_s=-60.0)
    with pytest.raises(httpx.TransportError), nodes.other.client() as client:
        client.get("/healthz")
