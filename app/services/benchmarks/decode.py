"""The cost of reading sampled frames, beside bare PyAV, and whether memory stays flat.

Every ratio comes from one run on one machine, the ways taking turns; `bare` decodes every frame
with PyAV's own threads and converts the sampled ones to RGB, as a program would that wants one
frame a second.
"""

import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from app.sandbox.reader import SandboxedReader
from app.services.benchmarks._footage import draw_footage
from engine.media.baseline import repeat_video, sample_plainly
from engine.media.sample import FrameReader, SamplingConfig
from engine.media.source import MediaLimits

CONFIG: Final = SamplingConfig(thin_static=False)
LIMITS: Final = MediaLimits()
N_ROUNDS: Final = 3
BRIEF: Final = {"minutes": 15}
"""What all benchmarks together measure of this one."""


def measure(*, model: str | None = None, minutes: int = 60) -> dict[str, Any]:
    """Draw footage and read it in each way.

    Args:
        model: Not used: no model is loaded.
        minutes: Length of the footage; memory is watched over twice that.
    """
    with tempfile.TemporaryDirectory() as folder:
        footage = draw_footage(Path(folder) / "footage.mp4", minutes)
        twice = repeat_video(footage, 2, Path(folder) / "twice.mp4")
        return {"decode": _cost(footage), "memory": _memory(twice)}


def _cost(path: Path) -> dict[str, Any]:
    """Return the best wall and processor seconds of each way, and ratios to `bare`."""
    ways: dict[str, Callable[[Path], int]] = {
        "bare": lambda path: sample_plainly(path, CONFIG.fps),
        "in_process": _in_process,
        "in_sandbox": _in_sandbox,
        "keyframes": _at_keyframes,
    }
    wall: dict[str, float] = dict.fromkeys(ways, float("inf"))
    cpu: dict[str, float] = dict.fromkeys(ways, float("inf"))
    frames: dict[str, int] = {}
    for _ in range(N_ROUNDS):
        for name, way in ways.items():
            started, used = time.perf_counter(), cpu_s()
            frames[name] = way(path)
            wall[name] = min(wall[name], time.perf_counter() - started)
            cpu[name] = min(cpu[name], cpu_s() - used)
    return {
        "frames": frames,
        "wall_s": {name: round(value, 3) for name, value in wall.items()},
        "cpu_s": {name: round(value, 3) for name, value in cpu.items()},
        "wall_ratio": {name: round(value / wall["bare"], 3) for name, value in wall.items()},
        "cpu_ratio": {name: round(value / cpu["bare"], 3) for name, value in cpu.items()},
    }


def _in_process(path: Path) -> int:
    with FrameReader(str(path), CONFIG, limits=LIMITS) as reader:
        return sum(1 for _ in reader)


def _at_keyframes(path: Path) -> int:
    """Read the keyframes alone, of which the drawn footage has one in ten seconds."""
    config = replace(CONFIG, keyframe_s=10.0)
    with FrameReader(str(path), config, limits=LIMITS) as reader:
        return sum(1 for _ in reader)


def _in_sandbox(path: Path) -> int:
    with SandboxedReader(str(path), CONFIG, limits=LIMITS) as reader:
        return sum(1 for _ in reader)


def _memory(path: Path) -> dict[str, Any]:
    """Return the resident bytes of the child over a long read: early, late, most."""
    samples: list[tuple[float, int]] = []
    with SandboxedReader(str(path), CONFIG, limits=LIMITS) as reader:
        for frame in reader:
            if round(frame.pts_s) % 60 == 0:
                samples.append((frame.pts_s, _resident_bytes(reader.pid)))
    early = next(size for time_s, size in samples if time_s >= min(600.0, samples[-1][0] / 2))
    return {
        "media_s": round(samples[-1][0]),
        "early_bytes": early,
        "late_bytes": samples[-1][1],
        "most_bytes": max(size for _, size in samples),
        "growth": round(samples[-1][1] / early - 1, 4),
    }


def cpu_s() -> float:
    """Return the processor seconds of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()
