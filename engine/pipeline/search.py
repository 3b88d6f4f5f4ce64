"""Search for a phrase: the moments that show it, without a model's answer."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from engine.pipeline.coverage import searched_s
from engine.pipeline.engine import Engine
from engine.pipeline.evidence import from_hits
from engine.pipeline.query import parse_search
from engine.pipeline.retrieve import look_up, retrieve
from engine.records import Evidence, Scope, VideoId, VideoStretch


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The moments of a search: best first, neighbours merged."""

    query: str
    moments: tuple[Evidence, ...]
    searched_s: float
    total_ms: float
    left_out: tuple[VideoStretch, ...] = ()
    """What was asked for, was read once, and could not be searched."""


def search(
    engine: Engine,
    query: str,
    *,
    scope: Scope | None = None,
    top: int = 10,
    read_to_s: Mapping[VideoId, float] | None = None,
) -> SearchResult:
    """Find the moments that show something, best first, however weak: scores say how sure.

    Args:
        engine: Whose index to search.
        query: A phrase or a question.
        scope: Only these spans of these videos; `None` searches everything.
        top: Most moments to return; with 0 nothing but how much was searched.
        read_to_s: How far each video was read, so that the result says what it leaves out.
    Raises:
        NotFoundError: The scope holds no chunk.
        CorruptLatentsError: Every chunk of the scope is damaged; one among others is left out.
    """
    started = time.perf_counter()

    def find() -> SearchResult:
        if not top:
            refs, missing = look_up(engine, scope, read_to_s)
            return SearchResult(
                query=query,
                moments=(),
                searched_s=searched_s(refs, scope),
                total_ms=(time.perf_counter() - started) * 1000,
                left_out=missing,
            )
        retrieved = retrieve(
            engine, parse_search(query), scope=scope, recall="top", read_to_s=read_to_s
        )
        return SearchResult(
            query=query,
            moments=from_hits(engine, retrieved, least_support=0.0)[:top],
            searched_s=retrieved.searched_s,
            total_ms=(time.perf_counter() - started) * 1000,
            left_out=retrieved.left_out,
        )

    return engine.without_damaged(find)
