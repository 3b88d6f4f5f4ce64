"""An hour of video through the whole product, beside a bare decode; then questions about it.

Figures: wall time of ingest over wall time of PyAV decoding the same frames; resident memory
after a sixth of the way and at the end; time per chunk in the first and the last tenth; bytes of
stills, and the time of a tile made from them; time to the first token of a question, and how often
it could be asked while the video is read once more.
"""

import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from app.config.settings import load_settings
from app.progress import Unattended
from app.services.benchmarks._footage import draw_footage
from app.services.benchmarks.decode import cpu_s
from app.services.context import ServiceContext
from app.services.ingest import add_source, read_video
from app.services.pictures import kept_still
from app.services.scope import resolve_scope
from engine.evaluation.latency import measure_questions
from engine.media.baseline import sample_plainly

QUESTIONS: Final = (
    "Is there a red car?",
    "What code is on the blue star card?",
    "Which way does the person in green go?",
    "When does the dog appear?",
    "How many trucks are there?",
)
TILES: Final = 200
TILE_PX: Final = 320
"""The width that pages ask for."""
BRIEF: Final = {"minutes": 20}
"""What all benchmarks together measure of this one."""


def measure(*, model: str | None = None, minutes: int = 60) -> dict[str, Any]:
    """Draw footage, ingest it, and ask.

    Args:
        model: That reads and answers; the settings' when `None`.
        minutes: Length of the footage, at least 2.
    """
    with tempfile.TemporaryDirectory() as folder:
        footage = draw_footage(Path(folder) / "footage.mp4", minutes)
        context = ServiceContext(load_settings({"model": model}, home=Path(folder) / "home"))
        try:
            return {"media_s": minutes * 60, **_measure(context, footage)}
        finally:
            context.close()


def _measure(context: ServiceContext, footage: Path) -> dict[str, Any]:
    fps = context.engine.sampling.fps  # Loading the model is not part of reading a video.
    n_frames, before_s = _timed_bare(footage, fps)
    reading = _ingest(context, footage)
    # On both sides of the ingest, because the machine may be busier at one time.
    bare_s = min(before_s, _timed_bare(footage, fps)[1])
    reading["ingest_over_bare_decode"] = round(reading["ingest_s"] / bare_s, 3)
    tiles = _show_tiles(context)
    answering = _ask(context)
    reread_ms = reading["ingest_s"] * 1000 + answering["answer_p50_ms"]
    return {
        "frames": n_frames,
        "bare_decode_s": round(bare_s, 2),
        **reading,
        **tiles,
        **answering,
        "rereading_over_asking": round(reread_ms / answering["answer_p50_ms"]),
    }


def _timed_bare(footage: Path, fps: float) -> tuple[int, float]:
    started = time.perf_counter()
    return sample_plainly(footage, fps), time.perf_counter() - started


class _Mark(NamedTuple):
    """Clocks and memory when a chunk was committed."""

    wall_s: float
    cpu_s: float
    rss_bytes: int


class _Recorder(Unattended):
    """A job that nobody stops; it notes a mark for each chunk."""

    def __init__(self) -> None:
        self.marks: list[_Mark] = []
        self._process = psutil.Process()

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        rss_bytes = self._process.memory_info().rss
        self.marks.append(_Mark(time.perf_counter(), time.process_time(), rss_bytes))


def _ingest(context: ServiceContext, footage: Path) -> dict[str, Any]:
    recorder = _Recorder()
    used, started = cpu_s(), time.perf_counter()
    video = read_video(context, add_source(context, str(footage)), recorder)
    wall_s, marks = time.perf_counter() - started, recorder.marks
    sixth_bytes, end_bytes = marks[len(marks) // 6].rss_bytes, marks[-1].rss_bytes
    return {
        "ingest_s": round(wall_s, 2),
        "ingest_cpu_s": round(cpu_s() - used, 2),
        "chunks": video.n_chunks,
        "latent_bytes": video.latent_bytes,
        "resident_sixth_bytes": sixth_bytes,
        "resident_end_bytes": end_bytes,
        "resident_growth": round(end_bytes / sixth_bytes - 1, 4),
        "chunk_time_last_over_first_tenth": _growth([mark.wall_s for mark in marks]),
        "chunk_cpu_last_over_first_tenth": _growth([mark.cpu_s for mark in marks]),
    }


def _growth(times_s: list[float]) -> float:
    """Return the time per chunk in the last tenth over that in the first."""
    tenth = max(2, len(times_s) // 10)
    return round((times_s[-1] - times_s[-tenth]) / (times_s[tenth] - times_s[1]), 3)


def _show_tiles(context: ServiceContext) -> dict[str, Any]:
    """Make tiles of moments all over the video, as a page of search results has them made."""
    (video,) = context.catalog.videos.list()
    generator = random.Random(0)
    times_ms = []
    for _ in range(TILES):
        moment_s = generator.uniform(0.0, video.ingested_s)
        started = time.perf_counter()
        assert kept_still(context, video, moment_s, TILE_PX) is not None
        times_ms.append((time.perf_counter() - started) * 1000)
    return {
        "still_bytes": context.stills.used_bytes(),
        "tile_p50_ms": round(statistics.median(times_ms), 2),
        "tile_p95_ms": round(statistics.quantiles(times_ms, n=20)[-1], 2),
    }


def _ask(context: ServiceContext) -> dict[str, Any]:
    # With `recall` given the model answers even here, where the footage shows nothing it knows.
    speed = measure_questions(
        context.engine,
        [QUESTIONS[0], *QUESTIONS * 4],
        scope=resolve_scope(context),
        recall="top",
    )
    return {
        "questions": speed.n,
        "retrieve_p50_ms": round(speed.retrieve.p50_ms, 1),
        "first_token_p50_ms": round(speed.first_token.p50_ms, 1),
        "first_token_p95_ms": round(speed.first_token.p95_ms, 1),
        "answer_p50_ms": round(speed.total.p50_ms, 1),
    }
