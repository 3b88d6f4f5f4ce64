"""The terminal of a command: results on stdout, progress and failures on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from app.cli.render import printable
from app.cli.render_benchmarks import render
from app.progress import ProgressUpdate
from app.schemas.errors import ErrorDetail, ErrorResponse

PLAIN_WIDTH = 140
"""Columns of output that goes to a file or a pipe."""

LINE_EVERY_S = 10.0
"""Seconds between two lines of work that no bar can show."""


class Document(Protocol):
    """Anything with a JSON form; pydantic models are."""

    def model_dump_json(self, *, indent: int | None = None) -> str:
        """Return the document as JSON text."""
        ...


class ProgressBars:
    """Progress on stderr: a bar for each piece of work, or lines where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tasks: dict[str, TaskID] = {}
        self._told_at: dict[str, float] = {}
        self._bars: Progress | None = None
        if console.is_terminal:
            self._bars = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[note]}", style="dim", markup=False),
                TimeElapsedColumn(),
                console=console,
            )

    def step(self, step: ProgressUpdate) -> None:
        """Draw one piece of work further; the first step of a new `what` opens it."""
        what, note = printable(step.what), printable(step.note)
        if self._bars is None:
            self._tell(what, step, note)
            return
        if what not in self._tasks:
            self._bars.start()
            self._tasks[what] = self._bars.add_task(what, note="")
        self._bars.update(self._tasks[what], completed=step.done, total=step.total, note=note)

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(text)

    def close(self) -> None:
        """Leave the bars as they stand."""
        if self._bars is not None:
            self._bars.stop()

    def _tell(self, what: str, step: ProgressUpdate, note: str) -> None:
        now = time.monotonic()
        finished = step.total is not None and step.done >= step.total
        if finished or now - self._told_at.setdefault(what, now) >= LINE_EVERY_S:
            self._told_at[what] = now
            share = "" if not step.total else f"{min(1.0, step.done / step.total):4.0%} "
            self._console.print(f"{what}: {share}{note}")


class Terminal:
    """The output of a command: results, progress and failures."""

    def __init__(self, *, json: bool) -> None:
        self._json = json
        # A name is shown as it is: brackets and colons in it mean nothing.
        plain = partial(Console, highlight=False, markup=False, emoji=False)
        self._out = plain(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
        self._err = plain(stderr=True, soft_wrap=True)

    @property
    def is_interactive(self) -> bool:
        """Whether somebody sits there who can answer."""
        return sys.stdin.isatty() and self._err.is_terminal

    def explain(self, document: object) -> None:
        """Print on stderr what is going to happen."""
        self._err.print(render(document))

    def show(self, document: Document) -> None:
        """Print the result on stdout."""
        if self._json:
            sys.stdout.write(document.model_dump_json(indent=2) + "\n")
            sys.stdout.flush()
        else:
            self._out.print(render(document))

    def say(self, text: str = "", *, style: str | None = None) -> None:
        """Print a line for people: on stdout, or on stderr beside a JSON document."""
        (self._err if self._json else self._out).print(text, style=style)

    def fail(self, code: str, message: str, hint: str | None, exit_code: int) -> int:
        """Print a failure in one sentence, and return its exit code."""
        sentence = message if hint is None else f"{message} ({hint})"
        self._err.print(f"longwatch: {' '.join(sentence.split())}")
        if self._json:
            self.show(ErrorResponse(error=ErrorDetail(code=code, message=message, hint=hint)))
        return exit_code

    @contextmanager
    def progress(self) -> Iterator[ProgressBars]:
        """Show bars on stderr while the body runs."""
        board = ProgressBars(self._err)
        try:
            yield board
        finally:
            board.close()

    @contextmanager
    def streaming(self) -> Iterator[Callable[[str], None]]:
        """Give a function that writes answer tokens as they come; silent beside JSON."""
        if self._json:
            yield lambda text: None
            return

        def write(text: str) -> None:
            sys.stdout.write(printable(text))
            sys.stdout.flush()

        yield write
        write("\n")
