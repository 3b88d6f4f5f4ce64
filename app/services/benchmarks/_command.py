"""Commands of Longwatch as a person starts them: each in a process of its own, timed to its end."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_LOADS: Final = frozenset({"ingest", "search", "ask"})
"""Commands that take a model."""

# The folder that holds `app`, so that the children run this package and no other.
_ROOT: Final = Path(__file__).resolve().parents[3]


def time_command(words: Sequence[str], home: Path, model: str) -> dict[str, float]:
    """Run a command to its end and return its wall and processor seconds.

    Raises:
        CalledProcessError: It failed.
    """
    command = [sys.executable, "-m", "app", *words]
    command += [] if "--help" in words else ["--home", str(home)]
    command += ["--model", model] if words[0] in _LOADS else []
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=_ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # Of this child alone: `getrusage` would add up all of them.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return {
        "wall_s": round(time.perf_counter() - started, 3),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
    }
