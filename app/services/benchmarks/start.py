"""The start of commands: how long a person waits for each.

Figures of each command, from a process of its own to its end: the least wall and processor seconds
of several rounds. The commands take turns, so that a machine that is busy for a while is busy for
all of them; on such a machine the processor seconds say more. Commands `at a server` are run by one
that is up already; `serve` is timed until it says where it listens.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from app.services.benchmarks._command import time_command
from app.services.benchmarks._footage import draw_minute
from app.services.benchmarks.web import start_server
from storage.files import HomeFolder

QUESTION: Final = "Is there a person?"
COLD: Final[Mapping[str, Sequence[str]]] = {
    "help": ("--help",),
    "videos list": ("videos", "list"),
    "search": ("search", QUESTION, "--alone"),
    "ask": ("ask", QUESTION, "--alone"),
}
WARM: Final[Mapping[str, Sequence[str]]] = {
    "ask at a server": ("ask", QUESTION),
    "videos list at a server": ("videos", "list"),
}


def measure(*, model: str | None = None, n_rounds: int = 5) -> dict[str, Any]:
    """Ingest a drawn minute, then start each command again and again.

    Args:
        model: What the commands load; the shipped one when `None`.
        n_rounds: Starts of each command.
    """
    model = model or "nano"
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / "home"
        clip = draw_minute(Path(name) / "clip.mp4", fps=5, size_px=(184, 320))
        time_command(["ingest", str(clip)], home, model)
        figures = _least(COLD, home, model, n_rounds)
        starts = [_serve(home, model) for _ in range(n_rounds)]
        figures["serve"] = {key: min(start[key] for start in starts) for key in starts[0]}
        with start_server(home, model=model):
            _wait_for(HomeFolder(home).run / "server.json")
            # The first question loads the model.
            time_command([*WARM["ask at a server"]], home, model)
            figures |= _least(WARM, home, model, n_rounds)
    return figures


def _least(
    commands: Mapping[str, Sequence[str]], home: Path, model: str, n_rounds: int
) -> dict[str, Any]:
    least: dict[str, dict[str, float]] = {}
    for _ in range(n_rounds):
        for name, words in commands.items():
            figures = time_command(words, home, model)
            earlier = least.get(name, figures)
            least[name] = {key: min(earlier[key], value) for key, value in figures.items()}
    return least


def _serve(home: Path, model: str) -> dict[str, float]:
    """Start a server and return what it took until its link can be opened."""
    started = time.perf_counter()
    with start_server(home, model=model) as server:
        wall_s = time.perf_counter() - started
        spent = psutil.Process(server.process.pid).cpu_times()
    return {"wall_s": round(wall_s, 3), "cpu_s": round(spent.user + spent.system, 3)}


def _wait_for(path: Path, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {path} after {timeout_s:g} s")
        time.sleep(0.05)
