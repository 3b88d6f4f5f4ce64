"""Cores and memory that this process may use: of the machine, or less where it runs in a container.

A container sees the processors and the memory of its machine; what it may use of them stands in the
files of its control groups, version 2 or 1, and those of every group around it hold as well.
Source: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

ROOT: Final = Path("/")


def usable_cores(root: Path = ROOT) -> int:
    """Return the cores that this process may keep busy, at least one.

    Args:
        root: Of the file system with `proc` and `sys`.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # Only Linux has it.
        cores = os.cpu_count() or 1
    shares = [float(cores)]
    for group in _groups(root, "cpu"):
        quota, period = (_read(group / "cpu.max").split() or ["max", ""])[:2]
        if quota == "max":
            quota = _read(group / "cpu.cfs_quota_us")
            period = _read(group / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):
            shares.append(int(quota) / int(period))
    return max(1, math.floor(min(shares)))


def total_memory_bytes(root: Path = ROOT) -> int:
    """Return the memory that this process may have at most, with all that runs in its groups."""
    return min([int(psutil.virtual_memory().total), *(limit for _, limit in _limits(root))])


def available_memory_bytes(root: Path = ROOT) -> int:
    """Return the memory that is free for this process; files that were only read count as free."""
    free = [int(psutil.virtual_memory().available)]
    for group, limit in _limits(root):
        used = _read(group / "memory.current") or _read(group / "memory.usage_in_bytes")
        read_once = dict(
            line.split(maxsplit=1) for line in _read(group / "memory.stat").splitlines()
        ).get("inactive_file", "0")
        if used.isdecimal() and read_once.isdecimal():
            free.append(max(0, limit - int(used) + int(read_once)))
    return min(free)


def _limits(root: Path) -> Iterator[tuple[Path, int]]:
    """Yield the groups around this process that bound its memory, with their bounds."""
    for group in _groups(root, "memory"):
        limit = _read(group / "memory.max") or _read(group / "memory.limit_in_bytes")
        if limit.isdecimal():
            yield group, int(limit)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folder of this process's group for a controller, and of every group around it."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        # Version 2 has no list of controllers. Inside a container its own group is the top.
        top = root / "sys/fs/cgroup" / (controller if controllers else "")
        group = top / name.lstrip("/")
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(top))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
