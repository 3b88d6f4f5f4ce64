"""Search for a phrase: the moments that show it, without a model's answer."""

import time
from dataclasses import dataclass

from engine.pipeline.engine import Engine
from engine.pipeline.evidence import from_hits
from engine.pipeline.query import parse_search
from engine.pipeline.retrieve import retrieve
from engine.records import Evidence, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The moments of a search: best first, neighbours merged."""

    query: str
    moments: tuple[Evidence, ...]
    searched_s: float
    total_ms: float


def search(
    engine: Engine, query: str, *, scope: Scope | None = None, top: int = 10
) -> SearchResult:
    """Find the moments that show something, best first, however weak: scores say how sure.

    Args:
        engine: Whose index to search.
        query: A phrase or a question.
        scope: Only these spans of these videos; `None` searches everything.
        top: Most moments to return.
    Raises:
        NotFoundError: The scope holds no chunk.
    """
    started = time.perf_counter()
    retrieved = retrieve(engine, parse_search(query), scope=scope, recall="top")
    moments = from_hits(engine, retrieved, least_support=0.0)[:top]
    total_ms = (time.perf_counter() - started) * 1000
    return SearchResult(
        query=query, moments=moments, searched_s=retrieved.searched_s, total_ms=total_ms
    )
