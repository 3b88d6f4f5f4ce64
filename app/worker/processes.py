"""Names of worker processes, and which of them are dead: their jobs are taken over at once."""

import os
import platform

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


def _machine() -> str:
    """Return the name of this machine or container, within which a process id is unique."""
    try:
        return f"{platform.node()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return platform.node()
