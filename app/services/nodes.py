"""Nodes: servers of a library of which each answers about the latents beside it.

Off unless `server.node_address` is set and the database is shared.

Decision: a question goes to the latents, not latents to the question, because those of an hour are
megabytes to gigabytes and a question is a line.
Decision: requests between nodes are signed with a secret that lies in the database alone, because
whoever may read that may read everything anyway, and there is nothing to hand out.
"""

import hmac
import logging
import secrets
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from app.errors import NotAllowedError
from app.services.context import ServiceContext
from engine.errors import LongwatchError, UnreachableError
from engine.records import Scope, TimeSpan, VideoId
from storage.files import HomeFolder
from storage.nodes import NodeRow

NODE_HEADER: Final = "longwatch-node"
SEARCH_PATH: Final = "/internal/v1/search"
ANSWER_PATH: Final = "/internal/v1/answer"
SILENT_S: Final = 15.0
"""Seconds without a sign of life after which a node is not asked."""
FORGOTTEN_S: Final = 86_400.0
MOST_SKEW_S: Final = 60.0
"""Age of a signature that is believed; clocks of servers agree to a few seconds."""
_SECRET: Final = "node_secret"

Response = TypeVar("Response", bound=BaseModel)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeShare:
    """The part of a scope that another node looks through."""

    node: NodeRow
    scope: Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A scope, cut by where its latents lie."""

    here: Scope
    shares: tuple[NodeShare, ...]
    away: Scope
    """What no node holds that is alive."""


def is_node(context: ServiceContext) -> bool:
    """Tell whether this server asks others, and is asked by them."""
    return context.settings.server.node_address is not None and context.catalog.is_shared


def held_videos(context: ServiceContext) -> frozenset[VideoId]:
    """Return the videos whose latents, of their latest reading, lie below this home folder."""
    folders = HomeFolder(context.settings.home).readings()
    lying = {(folder.parent.name, folder.name) for folder in folders}
    rows = context.catalog.videos.by_id().values()
    return frozenset(row.id for row in rows if (row.fingerprint or "", row.id) in lying)


class NodeBeat:
    """The signs of life of this server, with what it holds whenever that changes."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._held: frozenset[VideoId] | None = None

    def look(self) -> None:
        """Say that this server lives."""
        address, nodes = self._context.settings.server.node_address, self._context.catalog.nodes
        if address is None:
            return
        held = held_videos(self._context)
        if held == self._held:
            nodes.beat(self._context.process)
            return
        nodes.register(self._context.process, address, held)
        nodes.forget(silent_s=FORGOTTEN_S)
        self._held = held

    def stop(self) -> None:
        """Say that this server stops."""
        if self._held is not None:
            self._context.catalog.nodes.remove(self._context.process)


def spread_scope(context: ServiceContext, scope: Scope) -> Spread | None:
    """Cut a scope by where its latents lie; `None` where all of them lie here."""
    if not is_node(context):
        return None
    rows, held = context.catalog.videos.by_id(), held_videos(context)
    # Sound alone has no latents: its words are rows.
    away = {
        video for video, _ in scope if video in rows and rows[video].n_chunks and video not in held
    }
    if not away:
        return None
    nodes = [
        node
        for node in context.catalog.nodes.alive(silent_s=SILENT_S)
        if node.name != context.process
    ]
    if context.settings.objects.url is not None:
        # From an object store this server reads what nobody has at hand.
        away &= {video for node in nodes for video in node.videos}
    if not away:
        return None
    shares: dict[str, list[tuple[VideoId, TimeSpan]]] = {node.name: [] for node in nodes}
    nobodys: list[tuple[VideoId, TimeSpan]] = []
    for video, span in scope:
        if video in away:
            holders = [node.name for node in nodes if video in node.videos]
            # Of several that hold it the one that has least to do.
            chosen = min(holders, key=lambda name: len(shares[name]), default=None)
            (nobodys if chosen is None else shares[chosen]).append((video, span))
    return Spread(
        here=tuple((video, span) for video, span in scope if video not in away),
        shares=tuple(
            NodeShare(node=node, scope=tuple(shares[node.name]))
            for node in nodes
            if shares[node.name]
        ),
        away=tuple(nobodys),
    )


class NodeCalls:
    """Requests to several nodes at once, each answered in time or not at all."""

    def __init__(
        self, context: ServiceContext, path: str, requests: Sequence[tuple[NodeShare, BaseModel]]
    ) -> None:
        """Send them."""
        self._wait_s = context.settings.server.node_wait_s
        self._until_s = time.monotonic() + self._wait_s
        self._pool = ThreadPoolExecutor(max(1, len(requests)), "node")
        secret = node_secret(context)
        self._calls: list[tuple[NodeShare, Future[bytes]]] = [
            (
                share,
                self._pool.submit(_post, share.node.address, path, request, secret, self._wait_s),
            )
            for share, request in requests
        ]

    def results(self, kind: type[Response]) -> tuple[list[Response], Scope]:
        """Return what came in time, and the scope of those that did not answer."""
        responses: list[Response] = []
        missed: list[tuple[VideoId, TimeSpan]] = []
        for share, call in self._calls:
            try:
                body = call.result(timeout=max(0.0, self._until_s - time.monotonic()))
                responses.append(kind.model_validate_json(body))
            except (LongwatchError, FutureTimeoutError, ValidationError) as error:
                reason = str(error) or f"no answer within {self._wait_s:g} s"
                _log.warning("node %s left out: %s", share.node.address, reason)
                missed += share.scope
        # What is still under way ends by its own time-out, and nobody waits for it.
        self._pool.shutdown(wait=False, cancel_futures=True)
        return responses, tuple(missed)


def node_secret(context: ServiceContext) -> bytes:
    """Return the secret that requests between the nodes of a library are signed with."""
    return str(context.catalog.values.claim(_SECRET, secrets.token_hex(32))).encode()


def sign(secret: bytes, at: int, path: str, body: bytes) -> str:
    """Return the header of a request that was made at a moment, in seconds since 1970."""
    signed = f"{at} {path} ".encode() + body
    return f"{at}.{hmac.new(secret, signed, 'sha256').hexdigest()}"


def check_signature(context: ServiceContext, header: str, path: str, body: bytes) -> None:
    """Refuse a request that no node of this library has made just now.

    Raises:
        NotAllowedError: It is none, or too old.
    """
    at = header.partition(".")[0]
    if is_node(context) and at.isdecimal() and len(at) < 12:
        expected = sign(node_secret(context), int(at), path, body)
        if (
            hmac.compare_digest(header.encode(), expected.encode())
            and abs(time.time() - int(at)) <= MOST_SKEW_S
        ):
            return
    raise NotAllowedError("this request comes from no server of the library")


def _post(address: str, path: str, request: BaseModel, secret: bytes, wait_s: float) -> bytes:
    # Late: httpx, which a server without others does without.
    import httpx

    body = request.model_dump_json().encode()
    headers = {
        NODE_HEADER: sign(secret, int(time.time()), path, body),
        "content-type": "application/json",
    }
    url = address.rstrip("/") + path
    try:
        with httpx.Client(timeout=wait_s, trust_env=False, follow_redirects=False) as client:
            response = client.post(url, content=body, headers=headers)
    except httpx.HTTPError as error:
        raise UnreachableError(f"{address} cannot be reached: {error!r}") from error
    if response.status_code != httpx.codes.OK:
        raise UnreachableError(f"{address} refused with status {response.status_code}")
    return response.content
