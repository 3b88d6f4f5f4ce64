"""How much reading sampled frames costs, beside bare PyAV, and whether its memory stays flat.

    python -m tests.bench.bench_decode [--minutes 60] [--source VIDEO]

Prints one JSON document. Every ratio comes from one run on one machine, the sides taking turns;
`bare` decodes every frame with PyAV's own threads and converts the sampled ones to RGB, as a
program would that wants one frame a second.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av

from app.sandbox.reader import SandboxedReader
from engine.media.sample import FrameReader, SamplingConfig
from engine.media.source import MediaLimits
from tests.support.synthetic import patrol_video, repeated_video

CONFIG = SamplingConfig(thin_static=False)
LIMITS = MediaLimits()
ROUNDS = 3


def bare(path: Path) -> int:
    """Frames sampled at 1 fps the plain way."""
    n, due = 0, 0.0
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            if frame.time >= due:
                frame.to_ndarray(format="rgb24")
                n, due = n + 1, due + 1 / CONFIG.fps
    return n


def in_process(path: Path) -> int:
    """The same through our reader."""
    with FrameReader(str(path), CONFIG, limits=LIMITS) as reader:
        return sum(1 for _ in reader)


def in_sandbox(path: Path) -> int:
    """The same from the confined child."""
    with SandboxedReader(str(path), CONFIG, limits=LIMITS) as reader:
        return sum(1 for _ in reader)


def cost(path: Path) -> dict[str, object]:
    """Best wall seconds and CPU seconds of each side, and ratios to `bare`."""
    sides: dict[str, Callable[[Path], int]] = {
        "bare": bare,
        "in_process": in_process,
        "in_sandbox": in_sandbox,
    }
    wall: dict[str, float] = dict.fromkeys(sides, float("inf"))
    cpu: dict[str, float] = dict.fromkeys(sides, float("inf"))
    frames: dict[str, int] = {}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            started, used = time.perf_counter(), _cpu_s()
            frames[name] = side(path)
            wall[name] = min(wall[name], time.perf_counter() - started)
            cpu[name] = min(cpu[name], _cpu_s() - used)
    return {
        "frames": frames,
        "wall_s": {name: round(value, 3) for name, value in wall.items()},
        "cpu_s": {name: round(value, 3) for name, value in cpu.items()},
        "wall_ratio": {name: round(value / wall["bare"], 3) for name, value in wall.items()},
        "cpu_ratio": {name: round(value / cpu["bare"], 3) for name, value in cpu.items()},
    }


def memory(path: Path) -> dict[str, object]:
    """Resident bytes of the child over a long read: early, late, most."""
    samples: list[tuple[float, int]] = []
    with SandboxedReader(str(path), CONFIG, limits=LIMITS) as reader:
        for frame in reader:
            if round(frame.pts_s) % 60 == 0:
                samples.append((frame.pts_s, _resident_bytes(reader.pid)))
    early = next(size for at_s, size in samples if at_s >= min(600.0, samples[-1][0] / 2))
    return {
        "media_s": round(samples[-1][0]),
        "early_bytes": early,
        "late_bytes": samples[-1][1],
        "most_bytes": max(size for _, size in samples),
        "growth": round(samples[-1][1] / early - 1, 4),
    }


def _cpu_s() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def measure(
    *, model: str | None = None, minutes: int = 60, source: Path | None = None
) -> dict[str, object]:
    """Draw or take the footage and measure; no model is loaded.

    Args:
        model: Not used; every benchmark is given one.
        minutes: Length of the footage; memory is watched over twice that.
        source: Footage to repeat; drawn when `None`.
    """
    with tempfile.TemporaryDirectory() as folder:
        short = source or patrol_video(Path(folder) / "minute.mp4", 60)
        with av.open(short) as container:
            seconds = float((container.duration or 0) / av.time_base)
        n_times = max(1, round(minutes * 60 / seconds))
        footage = repeated_video(short, n_times, Path(folder) / "footage.mp4")
        long = repeated_video(footage, 2, Path(folder) / "long.mp4")
        return {"decode": cost(footage), "memory": memory(long)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--source", type=Path, help="footage to repeat; drawn if left out")
    given = parser.parse_args()
    print(json.dumps(measure(minutes=given.minutes, source=given.source), indent=2))


if __name__ == "__main__":
    main()
