"""A vector index of your own (`VectorIndex`): a list of frames, compared one by one."""

from dataclasses import replace
from statistics import fmean, pstdev

import torch
from ingest_and_ask import read_and_ask

from engine.chunk_refs import ChunkRefs
from engine.pipeline.engine import assemble
from engine.records import Hit, IndexResult, ScoreStats
from engine.tensors import FrameScores


class FrameList(list):  # of (chunk, vector, time)
    n_vectors, marks = property(len), ()

    def add(self, chunks):
        for chunk, vectors, pts_s in chunks:
            self.remove(chunk.video, chunk.ordinal)
            self.extend((chunk, *frame) for frame in zip(vectors, pts_s.tolist(), strict=True))
        self.sort(key=lambda row: (row[0].video, row[0].ordinal, row[2]))

    def remove(self, video, ordinal=None):
        self[:] = [r for r in self if r[0].video != video or ordinal not in (None, r[0].ordinal)]

    def search(self, query, top, *, within=None):
        frames, best, scores = self.scores(query[None], within=within), {}, {}
        columns = (frames.chunk, frames.scores[0], frames.pts_s)
        for idx, score, at_s in zip(*(column.tolist() for column in columns), strict=True):
            hit = Hit(chunk=frames.chunks[idx], score=score, peak_s=at_s)
            best[idx] = max(best.get(idx, hit), hit, key=lambda hit: hit.score)
            scores.setdefault(hit.chunk.video, []).append(score)
        stats = [
            ScoreStats(video=video, n_frames=len(row), mean=fmean(row), std=pstdev(row))
            for video, row in scores.items()
        ]
        hits = sorted(best.values(), key=lambda hit: -hit.score)
        return IndexResult(hits=tuple(hits[:top]), stats=tuple(stats))

    def scores(self, queries, *, within=None, most=None, rank=None):
        chunks = self.refs(within)
        rows = [row for row in self if chunks.find(row[0].video, row[0].ordinal)]
        return FrameScores(
            chunks=chunks,
            chunk=torch.tensor([chunks.index(row[0]) for row in rows], dtype=torch.int64),
            pts_s=torch.tensor([row[2] for row in rows], dtype=torch.float64),
            scores=queries @ torch.stack([r[1] for r in rows]).T if rows else queries[:, :0],
        )

    def frames(self, video, ordinal):
        """Know no vectors by heart: they are read from the chunk's file."""

    def refs(self, within=None):
        refs = ChunkRefs.of(dict.fromkeys(row[0] for row in self))
        return refs if within is None else refs.reaching_into(within)

    def save(self, path, fingerprint, marks=None):
        """Save nothing: `Engine.refresh` fills the index from the latent files."""


if __name__ == "__main__":
    read_and_ask(lambda config: replace(assemble(config), index=FrameList()), "Is there a dog?")
