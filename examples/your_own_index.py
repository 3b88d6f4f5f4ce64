"""A vector index of your own (`VectorIndex`): a list of frames, compared one by one."""

from dataclasses import replace
from statistics import fmean, pstdev

from ingest_and_ask import read_and_ask

from engine.pipeline.engine import assemble
from engine.records import Hit, IndexResult, ScoreStats


class FrameList(list):  # of (chunk, vector, time)
    n_vectors = property(len)

    def add(self, chunk, vectors, pts_s):
        self[:] = [row for row in self if row[0] != chunk]
        self.extend((chunk, *frame) for frame in zip(vectors, pts_s.tolist(), strict=True))

    def remove(self, video):
        self[:] = [row for row in self if row[0].video != video]

    def search(self, query, top, *, within=None):
        best, scores = {}, {}
        for chunk, vector, at_s in self:
            spans = [span for video, span in within or () if video == chunk.video]
            if within is None or any(span.contains(at_s) for span in spans):
                hit = Hit(chunk=chunk, score=float(vector @ query), peak_s=at_s)
                best[chunk] = max(best.get(chunk, hit), hit, key=lambda hit: hit.score)
                scores.setdefault(chunk.video, []).append(hit.score)
        stats = [
            ScoreStats(video=video, n_frames=len(row), mean=fmean(row), std=pstdev(row))
            for video, row in scores.items()
        ]
        hits = sorted(best.values(), key=lambda hit: -hit.score)
        return IndexResult(hits=tuple(hits[:top]), stats=tuple(stats))

    def refs(self, within=None):
        chunks = {row[0] for row in self}
        if within is not None:
            reached = ((chunk, *part) for chunk in chunks for part in within)
            chunks = {
                c for c, video, span in reached if c.video == video and c.span.overlap_s(span)
            }
        return tuple(sorted(chunks, key=lambda chunk: (chunk.video, chunk.ordinal)))

    def save(self, path, fingerprint):
        """Save nothing: `Engine.refresh` fills the index from the latent files."""


if __name__ == "__main__":
    read_and_ask(lambda config: replace(assemble(config), index=FrameList()), "Is there a dog?")
