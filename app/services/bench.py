"""Benchmarks of speed and memory: run by name, their figures written down by machine.

A benchmark is a file of `engine/evaluation/bench` or `app/services/benchmarks`. Where all are run,
one that takes long is run in brief: with the arguments that its `BRIEF` names.
"""

import datetime
import json
import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch

from app.schemas.evaluation import BenchResponse
from app.services import benchmarks
from engine import plugins
from engine.errors import InputRefusedError, NotFoundError
from engine.evaluation import bench
from engine.files import atomic_write

PACKAGES: Final = (bench, benchmarks)
_ROOT = Path(__file__).resolve().parents[2]


def run_benchmarks(
    name: str | None,
    *,
    model: str | None,
    say: Callable[[str], None],
    database_url: str | None = None,
    upstream: Path | None = None,
    upstream_python: Path | None = None,
) -> BenchResponse:
    """Run benchmarks and write their figures down by machine.

    Args:
        name: One of `benchmark_names`; all when `None`.
        model: What the benchmarks that need one load; the settings' when `None`.
        say: Hears what is running.
        database_url: A PostgreSQL for those that need one; without it all others are run.
        upstream: A clone of the published code, for `prefill`.
        upstream_python: The interpreter for it.
    Raises:
        NotFoundError: No such benchmark.
        InputRefusedError: It needs a PostgreSQL, and none is named; or the code cannot be used.
    """
    code = {"upstream": upstream, "upstream_python": upstream_python}
    known = benchmark_names()
    if name is not None and name not in known:
        raise NotFoundError(f"no benchmark {name!r}", hint=f"there are {', '.join(known)}")
    if any(code.values()) and (upstream is None or name not in (None, "prefill")):
        raise InputRefusedError(
            "the published code is run beside prefill alone, and needs its clone and interpreter",
            hint="longwatch bench prefill --upstream DIR --upstream-python FILE",
        )
    figures: dict[str, dict[str, Any]] = {}
    path = results_folder(_ROOT)
    for chosen in known if name is None else [name]:
        package = next(package for package in PACKAGES if chosen in plugins.names(package))
        module = plugins.load(package, chosen, defines=("measure",))
        brief = getattr(module, "BRIEF", {}) if name is None else {}
        where: dict[str, Any] = code if chosen == "prefill" else {}
        if getattr(module, "NEEDS_DATABASE", False):
            if database_url is None and name is None:
                continue
            if database_url is None:
                raise InputRefusedError(
                    f"{chosen} is measured on a PostgreSQL, and none is named",
                    hint="longwatch bench pgvector --database-url postgresql://user@host/name",
                )
            where = {"database_url": database_url}
        say(f"measuring {chosen} ...")
        started, load = time.monotonic(), _load()
        measured = module.measure(model=model, **brief, **where)
        figures[chosen] = {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "command": "longwatch bench" if brief else f"longwatch bench {chosen}",
            "load_before": load,
            "took_s": round(time.monotonic() - started),
            **measured,
        }
        # One after the other: what is measured stays where a later one fails.
        path = write_figures(results_folder(_ROOT), machine_name(), figures)
    return BenchResponse(machine=machine_name(), figures=figures, file=str(path))


def benchmark_names() -> tuple[str, ...]:
    """Return the names of all benchmarks, sorted."""
    return tuple(sorted(name for package in PACKAGES for name in plugins.names(package)))


def results_folder(root: Path) -> Path:
    """Return where figures are kept: in a checkout among its assets, else where the user is.

    Args:
        root: The folder that holds the package `app`.
    """
    if (root / "pyproject.toml").is_file():
        return root / "assets" / "bench"
    return Path.cwd() / "bench"


def write_figures(folder: Path, machine: str, figures: dict[str, dict[str, Any]]) -> Path:
    """Write figures into the machine's file; others that stand there already stay.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    words = re.sub(r"\((?:r|tm)\)", "", machine.lower()).split()
    path = folder / f"{'-'.join(words)}.json"
    earlier = json.loads(path.read_text(encoding="utf-8"))["figures"] if path.is_file() else {}
    document = {"machine": machine, "figures": {**earlier, **figures}}
    with atomic_write(path) as temporary:
        temporary.write_text(
            json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8"
        )
    return path


def _load() -> float | None:
    """Return how many processes wait for a processor, over the last minute; `None` if unknown."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def machine_name() -> str:
    """Return processor and accelerator, as one would name the machine in a table."""
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"{os.cpu_count()}-core {_processor()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
