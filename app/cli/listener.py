"""The terminal as the listener of a command."""

from collections.abc import Callable

from app.cli.terminal import ProgressBars
from app.progress import ProgressUpdate


class TerminalListener:
    """Shows what a command tells while it runs, here or at a server."""

    def __init__(self, bars: ProgressBars | None, on_token: Callable[[str], None]) -> None:
        self._bars = bars
        self._on_token = on_token

    def progress(self, update: ProgressUpdate) -> None:
        """Draw the bar of a piece of work further."""
        if self._bars is not None:
            self._bars.step(update)

    def token(self, text: str) -> None:
        """Print the next words of an answer."""
        self._on_token(text)

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        if self._bars is not None:
            self._bars.say(text)
