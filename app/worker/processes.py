"""Names of worker processes, and which of them are dead: their jobs are taken over at once."""

import os
import platform
from pathlib import Path

import psutil


def this_process() -> str:
    """Return the name of this process, which is its owner's part of a lease."""
    return f"{_machine()}:{os.getpid()}"


def is_dead(lease: str | None) -> bool:
    """Return whether the process that holds a lease is known to be gone.

    Of other machines nobody knows, and a process that inherited the number looks alive: then the
    lease decides.
    """
    machine, _, pid = (lease or "").rpartition("#")[0].rpartition(":")
    if machine != _machine() or not pid.isdecimal():
        return False
    try:
        return psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def this_machine() -> str:
    """Return what tells this machine from others, whatever its containers are called."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return platform.node()


def _machine() -> str:
    """Return the name of this machine or container, within which a process id is unique.

    Machines may share a name, and outside of containers all have the same number of namespace:
    the start of the machine tells them apart.
    """
    try:
        return f"{platform.node()}/{this_machine()[:8]}.{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return platform.node()
