"""The vectors of one pipeline or encoder in PostgreSQL: what is written, and what has changed."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from engine.records import ChunkRef, Fingerprint, VideoId
from engine.vector_rows import (
    PLACE_BITS,
    TableChanges,
    TableIndex,
    VideoChange,
)
from storage.vector_copy import (
    FLOAT8,
    INT2,
    INT4,
    INT8,
    packed,
    row_type,
)
from storage.vector_search import Session, VectorReader
from storage.vector_sql import (
    INLINE,
    INLINE_DIM,
    MOST_GRAPH_DIM,
    SETS,
    TABLES,
    graph_statements,
    table_names,
    text_of,
)


class PgVectorTable(VectorReader):
    """The vectors of one pipeline or encoder, made where there are none."""

    def __init__(self, session: Session, fingerprint: Fingerprint, dim: int) -> None:
        super().__init__(session, table_names(fingerprint), dim)
        self._fingerprint = fingerprint
        self._make()

    def changes(self, since: int) -> TableChanges | None:
        """Return what has changed since a change; `None` where nothing has."""
        with self._session() as cursor:
            if self._state(cursor)[0] == since:
                return None
        with self._session(writes=True) as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            change, index = self._state(cursor)
            # An older state than what is known: the table was made anew, or restored.
            is_whole = since <= 0 or change < since
            since = 0 if is_whole else since
            rows = cursor.execute(
                self._sql(
                    "SELECT number, video, n_frames, mark, removed > %s, removed FROM {videos} "
                    "WHERE changed > %s ORDER BY number"
                ),
                (since, since),
            ).fetchall()
            videos = tuple(
                VideoChange(
                    number=row[0],
                    video=None if row[1] is None else VideoId(row[1]),
                    n_frames=row[2],
                    mark=row[3],
                    is_reread=row[4],
                    removed_at=row[5],
                )
                for row in rows
            )
            reread = [video.number << PLACE_BITS for video in videos if video.is_reread]
            form = row_type(place=INT8, start_s=FLOAT8, end_s=FLOAT8, n_frames=INT4)
            chunks = self._copied(
                cursor,
                form,
                "SELECT place, start_s, end_s, n_frames FROM {chunks} WHERE changed > %(since)s "
                "UNION SELECT chunk.place, chunk.start_s, chunk.end_s, chunk.n_frames "
                "FROM unnest(%(reread)s::int8[]) AS first JOIN {chunks} AS chunk "
                "ON chunk.place BETWEEN first AND first + (1::int8 << %(bits)s) - 1 "
                "ORDER BY place",
                {"since": since, "reread": reread, "bits": PLACE_BITS},
            )
        return TableChanges(
            change=change,
            is_whole=is_whole,
            index=index,
            videos=videos,
            places=chunks["place"].astype(np.int64),
            start_s=chunks["start_s"].astype(np.float64),
            end_s=chunks["end_s"].astype(np.float64),
            n_frames=chunks["n_frames"].astype(np.int64),
        )

    def add(
        self,
        chunks: Sequence[tuple[ChunkRef, Float32[np.ndarray, "_ dim"], Float64[np.ndarray, " _"]]],
    ) -> int:
        """Add chunks of one video with vectors and times of their frames; replaces earlier ones."""
        video = chunks[0][0].video
        halves = [vectors.astype(np.float16) for _, vectors, _ in chunks]
        total = np.sum([half.sum(axis=0, dtype=np.float64) for half in halves], axis=0)
        with self._session(writes=True) as cursor:
            number = self._made(cursor, video)
            base = number << PLACE_BITS
            places = np.array([base + ref.ordinal for ref, _, _ in chunks], np.int64)
            n_removed = self._delete(cursor, "place = ANY(%s)", places.tolist())
            counts = np.array([len(half) for half in halves], np.int64)
            content = packed(
                row_type(place=INT8, frame=INT2, pts_s=FLOAT8, vector=self._vector),
                place=np.repeat(places, counts),
                frame=np.concatenate([np.arange(count) for count in counts]),
                pts_s=np.concatenate([pts_s for _, _, pts_s in chunks]),
                vector=np.concatenate(halves),
            )
            with cursor.copy(self._sql("COPY {frames} FROM STDIN (FORMAT BINARY)")) as copy:
                copy.write(content)
            change = self._next_change(cursor)
            content = packed(
                row_type(
                    place=INT8,
                    start_s=FLOAT8,
                    end_s=FLOAT8,
                    n_frames=INT4,
                    changed=INT8,
                    centre=self._vector,
                ),
                place=places,
                start_s=np.array([ref.span.start_s for ref, _, _ in chunks]),
                end_s=np.array([ref.span.end_s for ref, _, _ in chunks]),
                n_frames=counts,
                changed=np.full(len(chunks), change),
                centre=np.stack([_centre(half) for half in halves]),
            )
            with cursor.copy(self._sql("COPY {chunks} FROM STDIN (FORMAT BINARY)")) as copy:
                copy.write(content)
            if n_removed:
                self._sum_up(cursor, number)
            else:
                cursor.execute(
                    self._sql(
                        "UPDATE {videos} SET n_frames = n_frames + %s, "
                        "total = coalesce(total + %s::vector, %s::vector) WHERE number = %s"
                    ),
                    (int(counts.sum()), text_of(total), text_of(total), number),
                )
            self._note_change(cursor, number, change, is_removal=n_removed > 0)
        return change

    def remove(self, video: VideoId, ordinal: int | None) -> int | None:
        """Remove a video or one of its chunks, and its mark; `None` where it is not there."""
        with self._session(writes=True) as cursor:
            number = self._locked(cursor, video)
            if number is None:
                return None
            base = number << PLACE_BITS
            if ordinal is None:
                self._delete(cursor, "place BETWEEN %s AND %s", base, base + (1 << PLACE_BITS) - 1)
                forgotten = "video = NULL, n_frames = 0, total = NULL, mark = NULL"
            elif self._delete(cursor, "place = %s", base + ordinal):
                self._sum_up(cursor, number)
                forgotten = "mark = NULL"
            else:
                return None
            cursor.execute(
                self._sql(f"UPDATE {{videos}} SET {forgotten} WHERE number = %s"), (number,)
            )
            change = self._next_change(cursor)
            self._note_change(cursor, number, change, is_removal=True)
        return change

    def note(self, marks: Mapping[VideoId, int]) -> None:
        """Note a number of each of some videos."""
        with self._session(writes=True) as cursor:
            cursor.execute(
                self._sql(
                    "UPDATE {videos} AS held SET mark = noted.mark FROM (SELECT held.number, "
                    "noted.mark FROM unnest(%s::text[], %s::int8[]) AS noted (video, mark) "
                    "JOIN {videos} AS held USING (video) ORDER BY held.number FOR UPDATE OF held) "
                    "AS noted WHERE noted.number = held.number"
                ),
                (list(marks), list(marks.values())),
            )

    def facts(self) -> tuple[int, TableIndex]:
        """Return the number of chunks, and what is known of their graph."""
        with self._session() as cursor:
            (n_chunks,) = cursor.execute(self._sql("SELECT count(*) FROM {chunks}")).fetchone()
            return int(n_chunks), self._state(cursor)[1]

    def build_graph(self) -> bool:
        """Build the graph if there is none; `False` where another process does so now.

        Writers go on meanwhile. One that was left half built, by a process that ended, is replaced.
        """
        if self.dim > MOST_GRAPH_DIM:
            return False
        key = int.from_bytes(hashlib.sha256(self._fingerprint.encode()).digest()[:8], signed=True)
        with self._session() as cursor:
            if not cursor.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()[0]:
                return False
            try:
                if self._state(cursor)[1].is_there:
                    return True
                (n_chunks,) = cursor.execute(self._sql("SELECT count(*) FROM {chunks}")).fetchone()
                for statement in graph_statements(self.dim, n_chunks):
                    cursor.execute(self._sql(statement))
            finally:
                cursor.execute("RESET maintenance_work_mem; RESET lock_timeout")
                cursor.execute("SELECT pg_advisory_unlock(%s)", (key,))
        return True

    def note_graph(self, recall: float, *, is_kept: bool) -> None:
        """Note what the graph was found to be worth, and drop one that is not kept."""
        with self._session(writes=True) as cursor:
            if not is_kept:
                cursor.execute(self._sql("DROP INDEX IF EXISTS {graph}"))
            cursor.execute(
                self._sql(
                    "UPDATE vector_sets SET graph_recall = %s, change = change + 1, "
                    "graph_chunks = (SELECT count(*) FROM {chunks}) WHERE fingerprint = %s"
                ),
                (recall, self._fingerprint),
            )

    def _make(self) -> None:
        """Make what is not there yet; two that do so at once take turns."""
        with self._session() as cursor:
            exists = cursor.execute("SELECT to_regclass('vector_sets') IS NOT NULL").fetchone()[0]
            if exists and self._is_listed(cursor):
                return
        with self._session(writes=True) as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('longwatch.vector_sets'))")
            cursor.execute(SETS)
            if self._is_listed(cursor):
                return
            storage = INLINE if self.dim <= INLINE_DIM else ""
            cursor.execute(self._sql(TABLES.format(dim=self.dim, storage=storage, **self._names)))
            cursor.execute(
                "INSERT INTO vector_sets (fingerprint, dim, change) VALUES (%s, %s, 1)",
                (self._fingerprint, self.dim),
            )

    def _is_listed(self, cursor: Any) -> bool:
        row = cursor.execute(
            "SELECT dim FROM vector_sets WHERE fingerprint = %s", (self._fingerprint,)
        ).fetchone()
        if row is not None and row[0] != self.dim:
            raise ValueError(f"{self._fingerprint} has vectors of {row[0]}, not {self.dim}")
        return row is not None

    def _state(self, cursor: Any) -> tuple[int, TableIndex]:
        change, n_chunks, recall, is_there = cursor.execute(
            "SELECT change, graph_chunks, graph_recall, coalesce((SELECT indisvalid FROM pg_index "
            "WHERE indexrelid = to_regclass(%s)), false) FROM vector_sets WHERE fingerprint = %s",
            (self._names["graph"], self._fingerprint),
        ).fetchone()
        return change, TableIndex(n_chunks=n_chunks, recall=recall, is_there=is_there)

    def _made(self, cursor: Any, video: VideoId) -> int:
        """Return the number of a video as `_locked`, of a new one where there is none."""
        number = self._locked(cursor, video)
        while number is None:
            make = self._sql("INSERT INTO {videos} (video) VALUES (%s) ON CONFLICT DO NOTHING")
            cursor.execute(make, (video,))
            number = self._locked(cursor, video)
        return number

    def _locked(self, cursor: Any, video: VideoId) -> int | None:
        """Return the number of a video, which nobody else changes until the transaction ends."""
        row = cursor.execute(
            self._sql("SELECT number FROM {videos} WHERE video = %s FOR UPDATE"), (video,)
        ).fetchone()
        return None if row is None else int(row[0])

    def _delete(self, cursor: Any, condition: str, *values: Any) -> int:
        """Delete chunks with their frames; return how many there were."""
        cursor.execute(self._sql(f"DELETE FROM {{frames}} WHERE {condition}"), values)
        cursor.execute(self._sql(f"DELETE FROM {{chunks}} WHERE {condition}"), values)
        return int(cursor.rowcount)

    def _sum_up(self, cursor: Any, number: int) -> None:
        """Sum up the vectors of a video anew."""
        base = number << PLACE_BITS
        cursor.execute(
            self._sql(
                "UPDATE {videos} SET (n_frames, total) = (SELECT count(*), sum(vector::vector) "
                "FROM {frames} WHERE place BETWEEN %s AND %s) WHERE number = %s"
            ),
            (base, base + (1 << PLACE_BITS) - 1, number),
        )

    def _next_change(self, cursor: Any) -> int:
        """Return the number of this change; others wait for theirs until it is committed."""
        row = cursor.execute(
            "UPDATE vector_sets SET change = change + 1 WHERE fingerprint = %s RETURNING change",
            (self._fingerprint,),
        ).fetchone()
        return int(row[0])

    def _note_change(self, cursor: Any, number: int, change: int, *, is_removal: bool) -> None:
        removed = change if is_removal else 0
        cursor.execute(
            self._sql(
                "UPDATE {videos} SET changed = %s, removed = greatest(removed, %s) "
                "WHERE number = %s"
            ),
            (change, removed, number),
        )


def _centre(vectors: np.ndarray) -> Float32[np.ndarray, " dim"]:
    """Return the direction of the mean of vectors, as long as they are on average."""
    wide = vectors.astype(np.float32)
    if not len(wide):
        return np.zeros(wide.shape[1], np.float32)
    mean = wide.mean(axis=0)
    length = float(np.linalg.norm(mean))
    if length == 0:
        return np.zeros(wide.shape[1], np.float32)
    centre: np.ndarray = mean * (float(np.linalg.norm(wide, axis=1).mean()) / length)
    return centre
