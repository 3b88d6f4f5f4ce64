"""Memory of a day of one camera: a drawn stream read as fast as it goes, chunk after chunk.

Processes read the same stream side by side. One has a host tier that is full within ten minutes:
whatever grows in it has no bound. One has the tier of the settings, which fills all day, and one
leaves free memory to the C library instead of returning it to the system as ingest does. Figures:
anonymous resident memory ten minutes into the stream and at its end (pages of files, among them
the vectors of a saved index, come and go as the kernel likes), what the tiers of latents are known
to hold of the difference, and how much of the growth is left without them; small tensors take more
memory than their bytes, of nano a fifth.
"""

import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import psutil

from app.config.settings import load_settings
from app.services.benchmarks._footage import DrawnStream
from app.services.context import ServiceContext
from app.services.ingest import SAVE_INDEX_EVERY
from engine.evaluation.scratch_engine import scratch_engine
from engine.pipeline.ingest import TRIM_CHUNKS, ingest
from engine.records import VideoId

CAMERA: Final = VideoId("camera")
FIRST_S: Final = 600.0
"""From here on memory is to stay as it is."""
FULL_TIER_BYTES: Final = 1 << 20
BRIEF: Final = {"hours": 2.0}
"""What all benchmarks together measure of this one."""


def measure(*, model: str | None = None, hours: float = 24.0) -> dict[str, Any]:
    """Read a drawn stream of one frame a second, in each of the ways.

    Args:
        model: That reads it; the settings' when `None`.
        hours: Length of the stream, more than a sixth of an hour.
    """
    ways: dict[str, tuple[int | None, int | None]] = {
        "_full_tier": (TRIM_CHUNKS, FULL_TIER_BYTES),
        "": (TRIM_CHUNKS, None),
        "_left_to_the_library": (None, None),
    }
    with multiprocessing.get_context("spawn").Pool(len(ways)) as pool:
        jobs = {
            suffix: pool.apply_async(_read, (model, hours, *way)) for suffix, way in ways.items()
        }
        runs = {suffix: job.get() for suffix, job in jobs.items()}
    figures = {
        f"{name}{suffix}": value for suffix, run in runs.items() for name, value in run.items()
    }
    return {"hours": hours, **figures}


def _read(
    model: str | None, hours: float, trim_chunks: int | None, host_bytes: int | None
) -> dict[str, Any]:
    frames = DrawnStream(round(hours * 3600))
    tier = {} if host_bytes is None else {"cache.host_bytes": host_bytes}
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings({"model": model, **tier}, home=Path(folder) / "home")
        context = ServiceContext(settings)
        engine = scratch_engine(context.engine, Path(folder) / "day")
        chunks = ingest(engine, CAMERA, frames, stills=context.stills, trim_chunks=trim_chunks)
        first_bytes = first_held = 0
        cpu_s: list[float] = []
        for committed in chunks:
            if committed.ref.ordinal % SAVE_INDEX_EVERY == SAVE_INDEX_EVERY - 1:
                engine.save_index()
            cpu_s.append(time.process_time())
            if not first_bytes and committed.ref.span.end_s >= FIRST_S:
                first_bytes, first_held = _anonymous_bytes(), engine.cache.held_bytes
        end_bytes, held = _anonymous_bytes(), engine.cache.held_bytes - first_held
        context.close()
    tenth = max(1, len(cpu_s) // 10)
    return {
        "chunks": len(cpu_s),
        "resident_minute_10_bytes": first_bytes,
        "resident_end_bytes": end_bytes,
        "held_more_bytes": held,
        "resident_growth": round(end_bytes / first_bytes - 1, 4),
        "growth_beyond_held": round((end_bytes - held) / first_bytes - 1, 4),
        "cpu_s": round(cpu_s[-1] - cpu_s[0], 1),
        "chunk_cpu_last_over_first_tenth": round(
            (cpu_s[-1] - cpu_s[-1 - tenth]) / (cpu_s[tenth] - cpu_s[0]), 3
        ),
    }


def _anonymous_bytes() -> int:
    """Return resident memory of this process that no file stands behind."""
    state = psutil.Process().memory_info()
    # On Linux the shared part is what files and other processes stand behind.
    return int(state.rss - getattr(state, "shared", 0))
