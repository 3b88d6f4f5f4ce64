"""The table beside the vectors of the exact index: which frame of which chunk each row is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64

from engine.chunk_refs import ChunkRefs
from engine.records import ChunkRef, Hit, Scope, ScoreStats, TimeSpan, VideoId
from engine.tensors import FrameScores


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """One entry per row of vectors."""

    chunk: Int64[np.ndarray, " row"]
    """Index of the row's chunk in `Rows.chunks`."""
    video: Int64[np.ndarray, " row"]
    """Index of its video in the order of `Rows.videos`."""
    pts_s: Float64[np.ndarray, " row"]


class Rows:
    """The frames behind the rows of an index, in the order in which they were added."""

    def __init__(self) -> None:
        self.chunks: list[ChunkRef] = []
        self.videos: dict[VideoId, int] = {}
        self._chunk_idx: dict[tuple[VideoId, int], int] = {}
        self._columns = _empty()
        self._pending: list[Columns] = []

    def __contains__(self, chunk: ChunkRef) -> bool:
        return (chunk.video, chunk.ordinal) in self._chunk_idx

    def add(self, chunk: ChunkRef, pts_s: Float64[np.ndarray, " row"]) -> None:
        """Append the frames of a chunk that is not there yet."""
        chunk_idx = len(self.chunks)
        video_idx = self.videos.setdefault(chunk.video, len(self.videos))
        self.chunks.append(chunk)
        self._chunk_idx[chunk.video, chunk.ordinal] = chunk_idx
        self._pending.append(
            Columns(
                chunk=np.full(len(pts_s), chunk_idx, dtype=np.int64),
                video=np.full(len(pts_s), video_idx, dtype=np.int64),
                pts_s=pts_s.astype(np.float64),
            )
        )

    @property
    def columns(self) -> Columns:
        """All rows; additions since the last read are joined now, not chunk by chunk."""
        if self._pending:
            self._columns = _concatenate([self._columns, *self._pending])
            self._pending = []
        return self._columns

    def matching(self, within: Scope) -> Bool[np.ndarray, " row"]:
        """Return which rows hold a frame that lies in a scope."""
        columns = self.columns
        inside = np.zeros(len(columns.pts_s), dtype=bool)
        for video, span in within:
            of_video = columns.video == self.videos.get(video, -1)
            inside |= of_video & (columns.pts_s >= span.start_s) & (columns.pts_s < span.end_s)
        return inside

    def refs(self, within: Scope | None) -> tuple[ChunkRef, ...]:
        """Return the chunks that reach into a scope, by video in order of arrival, then by time."""
        refs = self.chunks
        if within is not None:
            refs = [ref for ref in refs if any(_reaches_into(ref, *part) for part in within)]
        return tuple(sorted(refs, key=lambda ref: (self.videos[ref.video], ref.ordinal)))

    def keep(self, rows: Bool[np.ndarray, " row"]) -> "Rows":
        """Return a table of these rows alone."""
        kept = Rows()
        columns = self.columns
        for chunk_idx, chunk in enumerate(self.chunks):
            of_chunk = rows & (columns.chunk == chunk_idx)
            if of_chunk.any():
                kept.add(chunk, columns.pts_s[of_chunk])
        return kept

    def rows_of(self, video: VideoId, ordinal: int | None = None) -> Bool[np.ndarray, " row"]:
        """Return which rows belong to a video, or to one of its chunks."""
        if ordinal is None:
            return np.asarray(self.columns.video == self.videos.get(video, -1))
        return np.asarray(self.columns.chunk == self._chunk_idx.get((video, ordinal), -1))

    def hits(
        self, rows: Int64[np.ndarray, " hit"], scores: Float32[np.ndarray, " hit"], top: int
    ) -> tuple[Hit, ...]:
        """Return the best chunks of scored rows, each once, at its best frame; ties by age."""
        columns = self.columns
        best: dict[int, Hit] = {}
        for idx in np.lexsort((rows, -scores)):
            row = rows[idx]
            chunk_idx = int(columns.chunk[row])
            if chunk_idx not in best:
                # The dot product of two unit vectors may exceed 1 by a rounding error.
                score = float(np.clip(scores[idx], -1.0, 1.0))
                best[chunk_idx] = Hit(
                    chunk=self.chunks[chunk_idx], score=score, peak_s=float(columns.pts_s[row])
                )
            if len(best) == top:
                break
        return tuple(best.values())

    def frame_scores(
        self, rows: Int64[np.ndarray, " hit"], scores: Float32[np.ndarray, "query hit"]
    ) -> FrameScores:
        """Return scored rows with the frames that they are, by video and time."""
        columns, refs = self.columns, self.refs(None)
        place = {ref: idx for idx, ref in enumerate(refs)}
        chunk = np.array([place[self.chunks[idx]] for idx in columns.chunk[rows]], dtype=np.int64)
        order = np.lexsort((columns.pts_s[rows], chunk))
        return FrameScores(
            chunks=ChunkRefs.of(refs),
            chunk=torch.from_numpy(chunk[order]),
            pts_s=torch.from_numpy(columns.pts_s[rows][order]),
            scores=torch.from_numpy(np.ascontiguousarray(scores[:, order])),
        )

    def score_stats(
        self, rows: Int64[np.ndarray, " hit"], scores: Float32[np.ndarray, " hit"]
    ) -> tuple[ScoreStats, ...]:
        """Return mean and standard deviation of scored rows, per video."""
        video_idx = self.columns.video[rows]
        wide = scores.astype(np.float64)
        videos = list(self.videos)
        return tuple(
            ScoreStats(
                video=videos[idx],
                n_frames=int((video_idx == idx).sum()),
                mean=float(wide[video_idx == idx].mean()),
                std=float(wide[video_idx == idx].std()),
            )
            for idx in np.unique(video_idx)
        )


def _reaches_into(ref: ChunkRef, video: VideoId, span: TimeSpan) -> bool:
    return ref.video == video and ref.span.start_s < span.end_s and span.start_s < ref.span.end_s


def _empty() -> Columns:
    return Columns(
        chunk=np.empty(0, np.int64), video=np.empty(0, np.int64), pts_s=np.empty(0, np.float64)
    )


def _concatenate(parts: Sequence[Columns]) -> Columns:
    return Columns(
        chunk=np.concatenate([part.chunk for part in parts]),
        video=np.concatenate([part.video for part in parts]),
        pts_s=np.concatenate([part.pts_s for part in parts]),
    )
