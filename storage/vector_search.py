"""Searches of the vectors of one pipeline or encoder in PostgreSQL."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from engine.vector_rows import ChunkScores, FrameRows, Spans
from storage.vector_copy import FLOAT4, FLOAT8, INT2, INT8, halfvec, row_type, unpacked
from storage.vector_sql import graph_settings, multirange, products, text_of, within

Session = Callable[..., AbstractContextManager[Any]]
"""Opens a cursor of the driver; with `writes`, in a transaction."""


class VectorReader:
    """The tables of one pipeline or encoder, for reading."""

    def __init__(self, session: Session, names: Mapping[str, str], dim: int) -> None:
        self.dim = dim
        self._session = session
        self._names = names
        self._vector = halfvec(dim)

    def chunk_scores(
        self,
        query: Float32[np.ndarray, " dim"],
        spans: Spans | None,
    ) -> ChunkScores:
        """Return how the frames of spans score, chunk by chunk; those of all where `None`."""
        form = row_type(place=INT8, n_frames=INT8, best=FLOAT8, sums=FLOAT8, squares=FLOAT8)
        source, values = within("frame", spans, in_time=True)
        score, queries = products(query[None], "frame")
        with self._session() as cursor:
            rows = self._copied(
                cursor,
                form,
                f"SELECT place, count(*), max(score), sum(score), sum(score * score) FROM (SELECT "
                f"frame.place, {score[0]} AS score {source} OFFSET 0) "
                "AS scored GROUP BY place ORDER BY place",
                values | queries,
            )
        return ChunkScores(
            places=rows["place"].astype(np.int64),
            n_frames=rows["n_frames"].astype(np.int64),
            best=rows["best"].astype(np.float64),
            sums=rows["sums"].astype(np.float64),
            squares=rows["squares"].astype(np.float64),
        )

    def frame_scores(
        self,
        queries: Float32[np.ndarray, "query dim"],
        spans: Spans | None,
    ) -> FrameRows:
        """Return the inner products of queries with each frame of spans."""
        source, values = within("frame", spans, in_time=True)
        scores, halves = products(queries, "frame")
        names = [f"score_{idx}" for idx in range(len(queries))]
        form = row_type(place=INT8, frame=INT2, pts_s=FLOAT8, **dict.fromkeys(names, FLOAT4))
        listed = ", ".join(f"({score})::float4" for score in scores)
        with self._session() as cursor:
            rows = self._copied(
                cursor,
                form,
                f"SELECT frame.place, frame.frame, frame.pts_s, {listed} {source}",
                values | halves,
            )
        rows = rows[np.lexsort((rows["frame"], rows["pts_s"], rows["place"]))]
        return FrameRows(
            places=rows["place"].astype(np.int64),
            pts_s=rows["pts_s"].astype(np.float64),
            values=np.stack([rows[name] for name in names], axis=1).astype(np.float32),
        )

    def frames(
        self, places: Int64[np.ndarray, " chosen"], frame: Int64[np.ndarray, " chosen"] | None
    ) -> FrameRows:
        """Return the vectors of the frames of chunks, or of one frame of each."""
        chosen = "" if frame is None else " AND of_chunk.frame = chosen.frame"
        numbers = np.zeros(len(places), np.int64) if frame is None else frame
        form = row_type(place=INT8, frame=INT2, pts_s=FLOAT8, vector=self._vector)
        with self._session() as cursor:
            rows = self._copied(
                cursor,
                form,
                "SELECT frame.place, frame.frame, frame.pts_s, frame.vector FROM "
                "unnest(%(places)s::int8[], %(frames)s::int8[]) AS chosen (place, frame), "
                "LATERAL (SELECT * FROM {frames} AS of_chunk WHERE of_chunk.place = chosen.place"
                f"{chosen} OFFSET 0) AS frame",
                {"places": places.tolist(), "frames": numbers.tolist()},
            )
        rows = rows[np.lexsort((rows["frame"], rows["place"]))]
        return FrameRows(
            places=rows["place"].astype(np.int64),
            pts_s=rows["pts_s"].astype(np.float64),
            values=rows["vector"]["values"].astype(np.float32),
        )

    def nearest(
        self, query: Float32[np.ndarray, " dim"], spans: Spans | None, count: int, *, by_graph: bool
    ) -> Int64[np.ndarray, " found"]:
        """Return the places of the chunks whose centres score best: by the graph, or of all."""
        values: dict[str, Any] = {"query": text_of(query), "count": count}
        settings = ""
        if not by_graph:
            source, of_spans = within("chunk", spans, in_time=False)
            values |= of_spans
        else:
            settings, source = graph_settings(count), " FROM {chunks} AS chunk"
            if spans is not None:
                source += " WHERE %(ranges)s::int8multirange @> chunk.place"
                values["ranges"] = multirange(spans)
        with self._session() as cursor:
            # One message, and so one transaction, in which alone the settings hold.
            cursor.execute(
                self._sql(
                    f"{settings}SELECT chunk.place {source} "
                    "ORDER BY chunk.centre <#> %(query)s::halfvec LIMIT %(count)s"
                ),
                values,
            )
            while cursor.nextset():
                pass
            rows = cursor.fetchall()
        return np.array([place for (place,) in rows], np.int64)

    def totals(
        self, numbers: Sequence[int]
    ) -> Mapping[int, tuple[int, Float32[np.ndarray, " dim"]]]:
        """Return the number of frames of videos and the sum of their vectors."""
        form = np.dtype([("dim", INT2), ("unused", INT2), ("values", FLOAT4, (self.dim,))])
        with self._session() as cursor:
            rows = self._copied(
                cursor,
                row_type(number=INT8, n_frames=INT8, total=form),
                "SELECT number, n_frames, total FROM {videos} "
                "WHERE number = ANY(%(numbers)s) AND n_frames > 0",
                {"numbers": list(numbers)},
            )
        totals = rows["total"]["values"].astype(np.float32)
        counted = zip(rows["number"].tolist(), rows["n_frames"].tolist(), totals, strict=True)
        return {number: (n_frames, total) for number, n_frames, total in counted}

    def _copied(
        self, cursor: Any, form: np.dtype[Any], query: str, values: Mapping[str, Any]
    ) -> np.ndarray:
        """Return what a query selects, as rows of a form."""
        statement = f"COPY ({self._sql(query)}) TO STDOUT (FORMAT BINARY)"
        with cursor.copy(statement, values) as copy:
            rows: np.ndarray = unpacked(form, b"".join(copy))
        return rows

    def _sql(self, statement: str) -> str:
        return statement.format(**self._names)
