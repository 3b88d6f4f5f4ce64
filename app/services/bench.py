"""Runs that are started by hand: benchmarks of a checkout, and training recipes."""

import datetime
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.render import ProgressUpdate
from app.schemas.evaluation import BenchResponse
from app.schemas.training import TrainResponse
from app.timefmt import format_duration
from engine import plugins
from engine.errors import NotFoundError
from engine.files import atomic_write

if TYPE_CHECKING:
    from engine.training.loop import Progress

RESULTS = Path("assets") / "bench"
PREFIX = "bench_"
MODEL = "model"
"""Where every recipe that makes a checkpoint folder leaves it, inside its own."""


def train_recipe(
    name: str,
    output: Path,
    *,
    resume: bool,
    report: Callable[[ProgressUpdate], None],
    say: Callable[[str], None],
) -> TrainResponse | None:
    """Run a training recipe; what it leaves lies in `output/NAME`.

    Args:
        name: A file of `engine/training/recipes`.
        output: Above the folder of the run.
        resume: Go on from the last checkpoint; without it a run starts afresh.
        report: Hears how far each stage is.
        say: Hears what is not progress: samples that cannot be used.
    Returns:
        What the run left; `None` in every process of it but the main one.
    Raises:
        NotFoundError: No such recipe; the message lists what there is.
        MissingCapabilityError: A launcher has started several processes, which nothing joins here.
    """
    from engine.training import recipes
    from engine.training.distributed import join, run_together

    recipe = plugins.load(recipes, name, defines=("run",))
    # A launcher's word about the processes that it has started; it configures nothing.
    is_main = int(os.environ.get("WORLD_SIZE") or 1) == 1 or join().is_main
    folder = output / name
    measured: dict[str, float] = {}
    n_steps = skipped = 0
    for line in run_together(recipe.run, folder, resume=resume):
        n_steps = max(n_steps, line.step)
        measured.update(line.scores)
        skipped += line.skipped
        if line.n_steps:
            report(
                ProgressUpdate(
                    what=f"{name}: {line.stage}",
                    done=line.step,
                    total=line.n_steps,
                    note=line.note or _standing(line),
                )
            )
        else:
            say(f"{name}: {line.note}")
    if not is_main:
        return None
    model = folder / MODEL
    return TrainResponse(
        recipe=name,
        output=str(folder),
        steps=n_steps,
        measured=measured,
        skipped=skipped,
        model=str(model) if model.is_dir() else None,
        curves=[str(path) for path in sorted(folder.glob("**/curves.png"))],
    )


def _standing(line: "Progress") -> str:
    """Loss, rate, speed and the time that is left at that speed."""
    rate = f"step {line.step}, loss {line.loss:.3f}, rate {line.learning_rate:.1e}"
    if not line.wall_s:
        return rate
    steps_per_s = line.step / line.wall_s
    left_s = (line.n_steps - line.step) / steps_per_s
    return f"{rate}, {steps_per_s:.2g} steps/s, {format_duration(left_s)} left"


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
