"""Frames per second, bytes per hour, time to first token: measured on a running engine."""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psutil

from engine.pipeline.answer import answer
from engine.pipeline.assemble import Engine
from engine.pipeline.ingest import FrameSource, ingest
from engine.pipeline.retrieve import Scope
from engine.protocols import Sampling
from engine.records import Answer, AnswerTiming, Recall, VideoId


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSpeed:
    """One video taken in; times are wall clock on this machine, decoding included."""

    video_s: float
    n_frames: int
    n_chunks: int
    wall_s: float
    chunk_ms_first_tenth: float
    chunk_ms_last_tenth: float
    latent_bytes: int
    rss_bytes_early: int
    """Resident memory of the process after a tenth of the chunks."""
    rss_bytes_end: int

    @property
    def frames_per_s(self) -> float:
        """Sampled frames a second."""
        return self.n_frames / self.wall_s

    @property
    def realtime_factor(self) -> float:
        """Seconds of video a second."""
        return self.video_s / self.wall_s

    @property
    def bytes_per_hour(self) -> float:
        """Bytes of latent files that an hour of such video leaves."""
        return self.latent_bytes * 3600 / self.video_s

    @property
    def chunk_growth(self) -> float:
        """Time per chunk at the end over that at the start: 1 when cost does not grow."""
        return self.chunk_ms_last_tenth / self.chunk_ms_first_tenth

    @property
    def memory_growth(self) -> float:
        """Resident memory at the end over that after a tenth."""
        return self.rss_bytes_end / self.rss_bytes_early


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Median and 95th percentile of milliseconds."""

    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSpeed:
    """Questions on what is ingested already, the first one left out as warm-up."""

    n: int
    retrieve: Quantiles
    first_token: Quantiles
    total: Quantiles


def measure_ingest(engine: Engine, video: VideoId, frames: FrameSource) -> IngestSpeed:
    """Take a video in and time it, chunk by chunk."""
    process = psutil.Process()
    marks, rss = [time.perf_counter()], [0]
    n_frames = latent_bytes = 0
    video_s = 0.0
    for committed in ingest(engine, video, frames):
        marks.append(time.perf_counter())
        rss.append(process.memory_info().rss)
        n_frames += committed.n_frames
        latent_bytes += committed.file_bytes
        video_s = committed.ref.span.end_s
    if len(marks) < 3:
        raise ValueError("a measurement needs at least two chunks")
    n_chunks = len(marks) - 1
    tenth = max(1, n_chunks // 10)
    return IngestSpeed(
        video_s=video_s,
        n_frames=n_frames,
        n_chunks=n_chunks,
        wall_s=marks[-1] - marks[0],
        # The first chunk pays for what is set up once.
        chunk_ms_first_tenth=(marks[1 + tenth] - marks[1]) * 1000 / tenth,
        chunk_ms_last_tenth=(marks[-1] - marks[-1 - tenth]) * 1000 / tenth,
        latent_bytes=latent_bytes,
        rss_bytes_early=rss[1 + tenth],
        rss_bytes_end=rss[-1],
    )


def measure_questions(
    engine: Engine,
    questions: Sequence[str],
    *,
    scope: Scope | None = None,
    recall: Recall | None = None,
    max_tokens: int = 32,
) -> QuestionSpeed:
    """Ask one question after the other; the first one only warms up."""
    if len(questions) < 2:
        raise ValueError("a measurement needs a question to warm up and one to time")
    sampling = Sampling(max_tokens=max_tokens)
    timings = list(_timings(engine, questions, scope, recall, sampling))[1:]
    return QuestionSpeed(
        n=len(timings),
        retrieve=quantiles([each.retrieve_ms for each in timings]),
        first_token=quantiles([each.first_token_ms for each in timings]),
        total=quantiles([each.total_ms for each in timings]),
    )


def quantiles(values_ms: Sequence[float]) -> Quantiles:
    """Median and 95th percentile; the largest value where there are fewer than twenty."""
    ordered = sorted(values_ms)
    place = min(len(ordered) - 1, round(0.95 * len(ordered)))
    return Quantiles(p50_ms=statistics.median(ordered), p95_ms=ordered[place])


def _timings(
    engine: Engine,
    questions: Sequence[str],
    scope: Scope | None,
    recall: Recall | None,
    sampling: Sampling,
) -> Iterator[AnswerTiming]:
    for question in questions:
        *_, said = answer(engine, question, scope=scope, recall=recall, sampling=sampling)
        assert isinstance(said, Answer)
        yield said.timing
