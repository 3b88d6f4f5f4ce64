"""Statements about vectors in PostgreSQL: tables, conditions, values as pgvector reads them."""

import hashlib
import re
from typing import Any, Final

import numpy as np
from jaxtyping import Float32

from engine.records import Fingerprint
from engine.vector_rows import Spans

MOST_GRAPH_DIM: Final = 4000
"""Components that a graph over half floats can have."""
INLINE_DIM: Final = 1900
"""Components up to which four vectors fit a page, and none is stored apart from its row."""
_LINKS: Final = 32
_BUILD_EFFORT: Final = 200
"""With half of the links and a third of the effort the graph found half of the nearest chunks."""
_GRAPH_MEMORY: Final = (64 << 20, 2 << 30)
"""Least and most bytes of the server's memory to build a graph in."""
_LEAST_HELD: Final = 40
"""Candidates that a search of the graph holds at least."""

SETS = """
CREATE TABLE IF NOT EXISTS vector_sets (
    fingerprint text PRIMARY KEY, dim integer NOT NULL, change bigint NOT NULL DEFAULT 0,
    graph_chunks bigint NOT NULL DEFAULT 0, graph_recall float8 NOT NULL DEFAULT 0
)"""
TABLES = """
CREATE TABLE IF NOT EXISTS {videos} (
    number bigserial PRIMARY KEY, video text UNIQUE, n_frames bigint NOT NULL DEFAULT 0,
    total vector({dim}), mark bigint, changed bigint NOT NULL DEFAULT 0,
    removed bigint NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS {chunks} (
    place bigint PRIMARY KEY, start_s float8 NOT NULL, end_s float8 NOT NULL,
    n_frames integer NOT NULL, changed bigint NOT NULL, centre halfvec({dim}) NOT NULL
);
CREATE INDEX IF NOT EXISTS {chunks}_changed ON {chunks} (changed);
CREATE TABLE IF NOT EXISTS {frames} (
    place bigint NOT NULL, frame smallint NOT NULL, pts_s float8 NOT NULL,
    vector halfvec({dim}) NOT NULL, PRIMARY KEY (place, frame)
);
{storage}"""
INLINE = """
ALTER TABLE {chunks} ALTER COLUMN centre SET STORAGE PLAIN;
ALTER TABLE {frames} ALTER COLUMN vector SET STORAGE PLAIN;
"""
_OF_SPANS = """ FROM unnest(%(first)s::int8[], %(last)s::int8[], %(start_s)s::float8[],
    %(end_s)s::float8[]) AS span (first, last, start_s, end_s), LATERAL (SELECT * FROM {{{kind}}}
    AS of_span WHERE of_span.place BETWEEN span.first AND span.last{in_time} OFFSET 0) AS {row}"""
"""The server's planner takes a few ranges for half of a table: it is told to look up each."""
_IN_TIME = " AND of_span.pts_s >= span.start_s AND of_span.pts_s < span.end_s"


def table_names(fingerprint: Fingerprint) -> dict[str, str]:
    """Return the names of a fingerprint's tables: short, and nothing to be quoted."""
    key = fingerprint
    if not re.fullmatch(r"[0-9a-z_]{1,32}", fingerprint):
        key = Fingerprint(hashlib.sha256(fingerprint.encode()).hexdigest()[:32])
    kinds = ("videos", "chunks", "frames")
    return {kind: f"vectors_{key}_{kind}" for kind in kinds} | {"graph": f"vectors_{key}_graph"}


def products(
    queries: Float32[np.ndarray, "query dim"], row: str
) -> tuple[list[str], dict[str, str]]:
    """Return expressions of inner products with vectors of rows, and their values.

    A query is two half floats to each number: one would lose what stands behind the third digit.
    """
    expressions, values = [], {}
    for idx, query in enumerate(queries):
        high = query.astype(np.float16)
        values[f"high_{idx}"] = text_of(high)
        values[f"low_{idx}"] = text_of((query - high.astype(np.float32)).astype(np.float16))
        expressions.append(
            f"-(({row}.vector <#> %(high_{idx})s::halfvec) "
            f"+ ({row}.vector <#> %(low_{idx})s::halfvec))"
        )
    return expressions, values


def within(row: str, spans: Spans | None, *, in_time: bool) -> tuple[str, dict[str, Any]]:
    """Return from where rows that lie in spans are read, and its values.

    Args:
        row: `frame` or `chunk`.
        spans: All rows where `None`.
        in_time: Whether times are compared too, not places alone.
    """
    if spans is None:
        return f" FROM {{{row}s}} AS {row}", {}
    values = {
        "first": spans.first.tolist(),
        "last": spans.last.tolist(),
        "start_s": spans.start_s.tolist(),
        "end_s": spans.end_s.tolist(),
    }
    source = _OF_SPANS.format(kind=f"{row}s", row=row, in_time=_IN_TIME if in_time else "")
    return source, values


def multirange(spans: Spans) -> str:
    """Return spans of places as one value, in which the server finds a place by halving."""
    bounds = zip(spans.first.tolist(), spans.last.tolist(), strict=True)
    return "{" + ",".join(f"[{first},{last}]" for first, last in bounds) + "}"


def graph_statements(dim: int, n_chunks: int) -> tuple[str, ...]:
    """Return what builds the graph, each in no transaction: writers go on meanwhile."""
    wanted = round(1.3 * n_chunks * (2 * dim + 24 * _LINKS))
    n_bytes = min(max(wanted, _GRAPH_MEMORY[0]), _GRAPH_MEMORY[1])
    return (
        "DROP INDEX IF EXISTS {graph}",
        f"SET maintenance_work_mem = '{n_bytes >> 10}kB'",
        "SET lock_timeout = 0",
        "CREATE INDEX CONCURRENTLY {graph} ON {chunks} USING hnsw (centre halfvec_ip_ops) "
        f"WITH (m = {_LINKS}, ef_construction = {_BUILD_EFFORT})",
        "ANALYZE {chunks}",
    )


def graph_settings(count: int) -> str:
    """Return what is said before a search of the graph for so many chunks, in its transaction."""
    # The graph is what was chosen; the planner knows little of how many pass the filter.
    off = ("enable_seqscan", "enable_bitmapscan", "enable_sort")
    held = min(1000, max(_LEAST_HELD, count))
    return f"SET LOCAL hnsw.ef_search = {held}; " + "".join(f"SET LOCAL {it} = off; " for it in off)


def text_of(vector: np.ndarray) -> str:
    """Return a vector as pgvector reads it."""
    return "[" + ",".join(map(repr, vector.tolist())) + "]"
