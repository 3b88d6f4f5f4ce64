"""Kills between one change of the disk or the database and the next.

A random moment hits the few that matter too seldom. So changes are counted (renames, deletions,
new folders, files opened for writing, statements and commits), and a child is killed right before
the one of a given number. Nothing is patched: Python's audit events and SQLAlchemy's tell.

The use case runs in a forked child, so that many kills do not load torch as often.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import Engine, event

from engine.files import sha256_of

LONGEST_S = 300
"""Life of a child. One that was forked while another thread held a lock waits for that for ever; it
dies of this, which is a kill like any other."""
_MOVES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir")
_STATEMENTS = ("INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP")


def count_changes(root: Path, work: Callable[[], object]) -> int:
    """Return how many changes below a folder, and of databases, `work` makes in a child."""
    reading, writing = os.pipe()
    status = _run(root, work, lambda number: os.write(writing, b".") and None)
    os.close(writing)
    assert status == 0, "the use case fails without a kill"
    n_changes = 0
    while block := os.read(reading, 1 << 16):
        n_changes += len(block)
    os.close(reading)
    return n_changes


def run_killed(root: Path, work: Callable[[], object], at_change: int) -> None:
    """Run `work` in a child that is killed right before a change, counted from 0."""

    def strike(number: int) -> None:
        if number == at_change:
            os.kill(os.getpid(), signal.SIGKILL)

    _run(root, work, strike)


def moments(n_changes: int, n_kills: int | None) -> Iterator[int]:
    """Yield so many changes, evenly over all of them, first and last included; `None` is all."""
    if n_kills is None or n_kills >= n_changes:
        yield from range(n_changes)
    else:
        yield from sorted({round(k * (n_changes - 1) / (n_kills - 1)) for k in range(n_kills)})


def chunk_digests(home: Path) -> dict[str, str]:
    """Digests of the latents and stills of a home folder, by their paths."""
    paths = [*(home / "latents").rglob("*.safetensors"), *(home / "stills").rglob("*.zip")]
    return {str(path.relative_to(home)): sha256_of(path) for path in sorted(paths)}


def _run(root: Path, work: Callable[[], object], on_change: Callable[[int], None]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(LONGEST_S)
            _observe(root.resolve(), on_change)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def _observe(root: Path, on_change: Callable[[int], None]) -> None:
    """Call `on_change` with the number of each change before it is made; in a child alone."""
    n_changes = 0

    def count() -> None:
        nonlocal n_changes
        number, n_changes = n_changes, n_changes + 1
        on_change(number)

    def audit(name: str, arguments: tuple[object, ...]) -> None:
        is_change = name in _MOVES or (name == "open" and _writes(arguments[2]))
        if is_change and _is_below(root, arguments[0]):
            count()

    def statement(*arguments: object) -> None:
        if str(arguments[2]).split()[0] in _STATEMENTS:
            count()

    event.listen(Engine, "before_cursor_execute", statement)
    event.listen(Engine, "commit", lambda connection: count())
    sys.addaudithook(audit)


def _writes(flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def _is_below(root: Path, path: object) -> bool:
    if not isinstance(path, str | bytes | os.PathLike):
        return False
    # Deletions of whole folders name their files below an open one.
    name = os.fsdecode(path)
    return not os.path.isabs(name) or Path(name).is_relative_to(root)
