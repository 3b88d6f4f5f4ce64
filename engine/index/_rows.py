"""What every backend keeps beside its vectors: which frame of which chunk each row is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from engine.records import ChunkRef, Hit, ScoreStats, TimeSpan, VideoId

Scope = Sequence[tuple[VideoId, TimeSpan]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """One entry per row of vectors."""

    chunk: Int64[np.ndarray, " row"]
    """Place of the row's chunk in `Rows.chunks`."""
    video: Int64[np.ndarray, " row"]
    pts_s: Float64[np.ndarray, " row"]


class Rows:
    """The frames behind the rows of an index, in the order in which they were added."""

    def __init__(self) -> None:
        self.chunks: list[ChunkRef] = []
        self.videos: dict[VideoId, int] = {}
        self._places: dict[tuple[VideoId, int], int] = {}
        self._columns = _empty()
        self._pending: list[Columns] = []

    def __contains__(self, chunk: ChunkRef) -> bool:
        return (chunk.video, chunk.ordinal) in self._places

    def add(self, chunk: ChunkRef, pts_s: Float64[np.ndarray, " row"]) -> None:
        """Append the frames of a chunk that is not there yet."""
        place = len(self.chunks)
        video = self.videos.setdefault(chunk.video, len(self.videos))
        self.chunks.append(chunk)
        self._places[chunk.video, chunk.ordinal] = place
        self._pending.append(
            Columns(
                chunk=np.full(len(pts_s), place, dtype=np.int64),
                video=np.full(len(pts_s), video, dtype=np.int64),
                pts_s=pts_s.astype(np.float64),
            )
        )

    @property
    def columns(self) -> Columns:
        """All rows; what was added since the last look is joined now, not chunk by chunk."""
        if self._pending:
            self._columns = _joined([self._columns, *self._pending])
            self._pending = []
        return self._columns

    def matching(self, within: Scope) -> Bool[np.ndarray, " row"]:
        """The rows whose frame lies in a scope."""
        columns = self.columns
        inside = np.zeros(len(columns.pts_s), dtype=bool)
        for video, span in within:
            of_video = columns.video == self.videos.get(video, -1)
            inside |= of_video & (columns.pts_s >= span.start_s) & (columns.pts_s < span.end_s)
        return inside

    def refs(self, within: Scope | None) -> tuple[ChunkRef, ...]:
        """The chunks that reach into a scope, by video in the order of arrival, then by time."""
        found = self.chunks
        if within is not None:
            found = [ref for ref in found if any(_reaches(ref, *part) for part in within)]
        return tuple(sorted(found, key=lambda ref: (self.videos[ref.video], ref.ordinal)))

    def keep(self, rows: Bool[np.ndarray, " row"]) -> "Rows":
        """These rows alone, numbered afresh."""
        kept = Rows()
        columns = self.columns
        for place, chunk in enumerate(self.chunks):
            of_chunk = rows & (columns.chunk == place)
            if of_chunk.any():
                kept.add(chunk, columns.pts_s[of_chunk])
        return kept

    def rows_of(self, video: VideoId, ordinal: int | None = None) -> Bool[np.ndarray, " row"]:
        """The rows of a video, or of one of its chunks."""
        if ordinal is None:
            return np.asarray(self.columns.video == self.videos.get(video, -1))
        return np.asarray(self.columns.chunk == self._places.get((video, ordinal), -1))

    def hits(
        self, rows: Int64[np.ndarray, " hit"], scores: Float32[np.ndarray, " hit"], top: int
    ) -> tuple[Hit, ...]:
        """The best chunks of scored rows, each once, at its best frame; ties by age."""
        columns = self.columns
        best: dict[int, Hit] = {}
        for place in np.lexsort((rows, -scores)):
            row = rows[place]
            chunk = int(columns.chunk[row])
            if chunk not in best:
                score = float(np.clip(scores[place], -1.0, 1.0))
                best[chunk] = Hit(
                    chunk=self.chunks[chunk], score=score, peak_s=float(columns.pts_s[row])
                )
            if len(best) == top:
                break
        return tuple(best.values())

    def spread(
        self, rows: Int64[np.ndarray, " hit"], scores: Float32[np.ndarray, " hit"]
    ) -> tuple[ScoreStats, ...]:
        """Mean and deviation of scored rows, per video."""
        videos = self.columns.video[rows]
        wide = scores.astype(np.float64)
        names = list(self.videos)
        return tuple(
            ScoreStats(
                video=names[video],
                n_frames=int((videos == video).sum()),
                mean=float(wide[videos == video].mean()),
                std=float(wide[videos == video].std()),
            )
            for video in np.unique(videos)
        )


def _reaches(ref: ChunkRef, video: VideoId, span: TimeSpan) -> bool:
    return ref.video == video and ref.span.start_s < span.end_s and span.start_s < ref.span.end_s


def _empty() -> Columns:
    return Columns(
        chunk=np.empty(0, np.int64), video=np.empty(0, np.int64), pts_s=np.empty(0, np.float64)
    )


def _joined(parts: Sequence[Columns]) -> Columns:
    return Columns(
        chunk=np.concatenate([part.chunk for part in parts]),
        video=np.concatenate([part.video for part in parts]),
        pts_s=np.concatenate([part.pts_s for part in parts]),
    )
