"""An hour of video through the whole pipeline, beside a bare decode; then questions on it.

Figures: wall time of ingest over wall time of PyAV decoding the same frames; resident memory
after a sixth of the way and at the end; time per chunk in the first and the last tenth; time to
the first token of a question, and how often it could be asked while the video is read once more.
"""

import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import psutil

from app.config.settings import load_settings
from app.services.context import ServiceContext
from app.services.scope import resolve_scope
from app.worker.foreground import ingest_now
from engine.evaluation.latency import measure_questions
from tests.bench.bench_decode import bare
from tests.support.synthetic import patrol_video, repeated_video

QUESTIONS = (
    "Is there a red car?",
    "What code is on the blue star card?",
    "Which way does the person in green go?",
    "When does the dog appear?",
    "How many trucks are there?",
)


def measure(*, model: str | None = None, minutes: int = 60) -> dict[str, Any]:
    """Draw the footage, ingest it, ask."""
    with tempfile.TemporaryDirectory() as folder:
        footage = _footage(Path(folder), minutes)
        n_frames, before_s = _timed_bare(footage)
        service = ServiceContext(load_settings({"model": model}, home=Path(folder) / "home"))
        try:
            _ = service.engine  # Loading the model is not part of reading a video.
            read = _ingest(service, footage)
            # On both sides of the ingest, because the machine may be busier at one time.
            bare_s = min(before_s, _timed_bare(footage)[1])
            read["ingest_over_bare_decode"] = round(read["ingest_s"] / bare_s, 3)
            asked = _ask(service)
            reread_ms = read["ingest_s"] * 1000 + asked["answer_p50_ms"]
            return {
                "media_s": minutes * 60,
                "frames": n_frames,
                "bare_decode_s": round(bare_s, 2),
                **read,
                **asked,
                "rereading_over_asking": round(reread_ms / asked["answer_p50_ms"]),
            }
        finally:
            service.close()


def _timed_bare(footage: Path) -> tuple[int, float]:
    started = time.perf_counter()
    return bare(footage), time.perf_counter() - started


def _footage(folder: Path, minutes: int) -> Path:
    minute = patrol_video(folder / "minute.mp4", 60)
    with av.open(minute) as container:
        seconds = float((container.duration or 0) / av.time_base)
    n_times = max(1, round(minutes * 60 / seconds))
    return repeated_video(minute, n_times, folder / "footage.mp4")


def _ingest(service: ServiceContext, footage: Path) -> dict[str, Any]:
    process = psutil.Process()
    marks: list[tuple[float, float, int]] = []

    def note(step: object) -> None:
        marks.append((time.perf_counter(), time.process_time(), process.memory_info().rss))

    used = _cpu_s()
    started = time.perf_counter()
    document = ingest_now(service, [str(footage)], report=note).videos[0]
    wall_s = time.perf_counter() - started
    sixth, end = marks[len(marks) // 6][2], marks[-1][2]
    return {
        "ingest_s": round(wall_s, 2),
        "ingest_cpu_s": round(_cpu_s() - used, 2),
        "chunks": document.chunks,
        "latent_bytes": document.latent_bytes,
        "resident_sixth_bytes": sixth,
        "resident_end_bytes": end,
        "resident_growth": round(end / sixth - 1, 4),
        "chunk_time_last_over_first_tenth": _growth([wall for wall, _, _ in marks]),
        "chunk_cpu_last_over_first_tenth": _growth([cpu for _, cpu, _ in marks]),
    }


def _growth(times: list[float]) -> float:
    """Time per chunk in the last tenth over that in the first."""
    tenth = max(2, len(times) // 10)
    return round((times[-1] - times[-tenth]) / (times[tenth] - times[1]), 3)


def _ask(service: ServiceContext) -> dict[str, Any]:
    # With `recall` given the model answers even here, where nothing it knows is to be seen.
    speed = measure_questions(
        service.engine, [QUESTIONS[0], *QUESTIONS * 4], scope=resolve_scope(service), recall="top"
    )
    return {
        "questions": speed.n,
        "retrieve_p50_ms": round(speed.retrieve.p50_ms, 1),
        "first_token_p50_ms": round(speed.first_token.p50_ms, 1),
        "first_token_p95_ms": round(speed.first_token.p95_ms, 1),
        "answer_p50_ms": round(speed.total.p50_ms, 1),
    }


def _cpu_s() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)
