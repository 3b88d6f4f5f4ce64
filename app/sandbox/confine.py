"""Gives up what a media decoder never needs: memory, time, files and the network.

Runs first thing in a child process, on the standard library alone. The resource limits hold on
every POSIX system. The network namespace and Landlock are Linux's and may be missing in a
container; what could be set up is returned, so that `longwatch doctor` can say so. Where they
are missing, the allowlists of `engine/media/formats.py` still stand.

Source: landlock(7) and user_namespaces(7); the numbers below are the kernel's own interface.
"""

import ctypes
import os
import resource
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_NO_NEW_PRIVS = 38
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_VERSION, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
# Written to and told what to send; the right to the latter is known from version 5 on.
_USE_DEVICE = _READ_FILE | 1 << 1 | 1 << 15
# File rights that each version of the interface knows: later ones refuse more.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_OPEN_FILES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """The kernel's walls that stand around this process."""

    no_network: bool
    no_other_files: bool


def confine(
    *,
    memory_bytes: int,
    cpu_s: int,
    readable: Sequence[Path],
    network: bool,
    device: str | None = None,
) -> Confinement:
    """Limit this process for good; call before any thread is started.

    Args:
        memory_bytes: Address space, shared libraries included.
        cpu_s: Processor seconds over all threads.
        readable: Files, and folders with all below them, that may still be opened for reading;
            nothing may be written or made.
        network: Whether addresses may be connected to: for live feeds only.
        device: The one that may be used, of a webcam.
    """
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_CPU, cpu_s)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    libc = ctypes.CDLL(None, use_errno=True)
    unshare = getattr(libc, "unshare", None)
    no_network = (
        not network and unshare is not None and unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0
    )
    return Confinement(
        no_network=no_network,
        no_other_files=_landlock(libc, readable, network=network, device=device),
    )


def _limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))


def _landlock(
    libc: ctypes.CDLL, readable: Sequence[Path], *, network: bool, device: str | None
) -> bool:
    """Deny every file but the readable ones; False where the kernel cannot."""
    syscall = getattr(libc, "syscall", None)
    if syscall is None or os.uname().sysname != "Linux":
        return False
    version = syscall(_LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION)
    if version < 1:
        return False
    files = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    # Binding and connecting TCP sockets, known from version 4 on.
    sockets = 0 if network else 3
    attributes = struct.pack("QQ", files, sockets) if version >= 4 else struct.pack("Q", files)
    rules = syscall(_LANDLOCK_CREATE, attributes, len(attributes), 0)
    if rules < 0:
        return False
    for path in readable:
        if not _allow(syscall, rules, path, _READ_FILE | _READ_DIR):
            return False
    if device is not None and not _allow(syscall, rules, Path(device), _USE_DEVICE & files):
        return False
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    held = bool(syscall(_LANDLOCK_RESTRICT, rules, 0) == 0)
    os.close(rules)
    return held


def _allow(syscall: "ctypes._NamedFuncPointer", rules: int, path: Path, rights: int) -> bool:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return True
    if not path.is_dir():
        rights &= ~_READ_DIR
    rule = struct.pack("=Qi", rights, opened)
    added = syscall(_LANDLOCK_ADD, rules, _PATH_BENEATH, rule, 0)
    os.close(opened)
    return bool(added == 0)
