"""Benchmarks of a checkout: their figures are written down by machine."""

import datetime
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path

from app.schemas.evaluation import BenchResponse
from engine import plugins
from engine.errors import NotFoundError
from engine.files import atomic_write

RESULTS = Path("assets") / "bench"
PREFIX = "bench_"


def run_benchmarks(
    name: str | None, *, model: str | None, say: Callable[[str], None]
) -> BenchResponse:
    """Run benchmarks of this checkout and write their figures down by machine.

    Args:
        name: One of `tests/bench`, without its `bench_`; all when `None`.
        model: What the benchmarks that need one load; the settings' when `None`.
        say: Hears what is running.
    Raises:
        NotFoundError: No such benchmark, or this is no checkout.
    """
    try:
        from tests import bench
    except ImportError as error:
        raise NotFoundError(
            "benchmarks are not part of an installed package",
            hint="run this in a checkout of the repository",
        ) from error
    known = [each.removeprefix(PREFIX) for each in plugins.names(bench) if each.startswith(PREFIX)]
    if name is not None and name not in known:
        raise NotFoundError(f"no benchmark {name!r}", hint=f"there are {', '.join(known)}")
    figures = {}
    for each in known if name is None else [name]:
        say(f"measuring {each} ...")
        module = plugins.load(bench, PREFIX + each, defines=("measure",))
        figures[each] = {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "command": f"longwatch bench {each}",
            **module.measure(model=model),
        }
    path = _write(figures)
    return BenchResponse(machine=_machine(), figures=figures, file=str(path))


def _write(figures: dict[str, dict[str, object]]) -> Path:
    """Figures of earlier runs that were not measured again stay."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{_machine().replace(' ', '-').lower()}.json"
    kept = json.loads(path.read_text())["figures"] if path.is_file() else {}
    whole = {"machine": _machine(), "figures": {**kept, **figures}}
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(whole, indent=2, sort_keys=True) + "\n")
    return path


def _machine() -> str:
    """Processor and accelerator, as one would name the machine in a table."""
    import torch

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"{os.cpu_count()}-core {_processor()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
