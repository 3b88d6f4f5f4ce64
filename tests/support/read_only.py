"""Places that cannot be written to, really: a read-only mount, and the files of another user."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534
_MOUNT = (
    'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && '
    '(! touch "$1/probe" 2>/dev/null) && shift && exec "$@"'
)


def run_on_read_only_mount(
    folder: Path, command: Sequence[str]
) -> "subprocess.CompletedProcess[str]":
    """Run a command of Longwatch where `folder` is mounted read-only, for it alone.

    Skips the test where namespaces are not allowed, or there are none.
    """
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    probe = [*namespace, _MOUNT, "sh", str(folder), "true"]
    if not shutil.which("unshare") or subprocess.run(probe, check=False).returncode:
        pytest.skip("this machine lets nobody mount a folder read-only")
    longwatch = [sys.executable, "-m", "app", *command]
    return subprocess.run(
        [*namespace, _MOUNT, "sh", str(folder), *longwatch],
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def open_folder() -> Iterator[Path]:
    """Make a folder that other users may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="longwatch-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def close_to_writers(home: Path) -> None:
    """Let everybody read a folder and nobody write to it; root is stopped by `become_reader`."""
    for path in (home, *home.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


def become_reader() -> None:
    """Give up, in a forked child, the rights that make modes mean nothing."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
