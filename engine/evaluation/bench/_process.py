"""Measuring in a fresh process: peaks of memory of two ways do not mix."""

import multiprocessing
import resource
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

import psutil

P = ParamSpec("P")
T = TypeVar("T")


def in_fresh_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a function of a module returns in a process that has done nothing before."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(function, args, kwargs)


def forget_peak() -> int:
    """Let `peak_rss_bytes` count from now on, where Linux can; return the bytes held now."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return psutil.Process().memory_info().rss


def peak_rss_bytes() -> int:
    """Return the most memory that this process ever held, or held since `forget_peak`."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        # Bytes on macOS.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # What `getrusage` says of a child on Linux counts what its parent held when it was started.
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) * 1024
