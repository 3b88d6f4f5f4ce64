"""Plant a sample of faults, run the tests that should notice, and print what they missed."""

import argparse
import contextlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.commands.init import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkItem, WorkResult

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_FACTOR = 4.0
"""Times the run without a fault; beyond that a fault has made a test hang, which is noticed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """Modules in which faults are planted, and the tests that should notice them."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


AREAS = {
    "storage": Area(
        modules=(
            "storage/jobs.py",
            "storage/accounts.py",
            "storage/videos.py",
            "storage/chunks.py",
        ),
        tests=("tests/storage",),
    ),
    "cache": Area(
        modules=("engine/cache/budget.py", "engine/cache/tiered.py", "engine/cache/disk.py"),
        tests=("tests/engine/cache", "tests/contracts/test_tiers.py"),
    ),
    "index": Area(
        modules=(
            "engine/index/_selection.py",
            "engine/index/_table.py",
            "engine/index/segments.py",
        ),
        tests=("tests/contracts/test_indexes.py",),
    ),
    "pipeline": Area(
        modules=(
            "engine/pipeline/ingest.py",
            "engine/pipeline/query.py",
            "engine/pipeline/retrieve.py",
            "engine/pipeline/scoring.py",
            "engine/pipeline/evidence.py",
            "engine/pipeline/answer.py",
        ),
        tests=("tests/engine/pipeline",),
    ),
    "media": Area(
        modules=("engine/media/sample.py", "engine/media/clip.py"),
        tests=(
            "tests/engine/media/test_sample.py",
            "tests/engine/media/test_clip.py",
            "tests/engine/media/test_decode.py",
        ),
    ),
    "models": Area(
        modules=(
            "engine/models/layers/attention.py",
            "engine/models/layers/rotary.py",
            "engine/models/video_xl/vst.py",
        ),
        tests=("tests/engine/models/layers", "tests/engine/models/video_xl"),
    ),
    "app": Area(
        modules=(
            "app/api/auth.py",
            "app/api/rate_limit.py",
            "app/services/access.py",
            "app/services/accounts.py",
            "app/services/scope.py",
        ),
        tests=("tests/app/api/test_auth.py", "tests/app/test_rules.py"),
    ),
}


def main() -> int:
    """Run the areas that were named, all by default; 0 however many faults were missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("areas", nargs="*", help=f"of {', '.join(AREAS)}; all by default")
    parser.add_argument("--each", type=int, default=20, help="faults an area")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    unknown = set(options.areas) - set(AREAS)
    if unknown:
        parser.error(f"no area {', '.join(sorted(unknown))}; there are {', '.join(AREAS)}")
    totals = [0, 0]
    with copied_tree():
        for name in options.areas or AREAS:
            noticed, missed = run_area(AREAS[name], n_faults=options.each, seed=options.seed)
            totals[0] += len(noticed)
            totals[1] += len(missed)
            print(f"{name}: {len(noticed)} of {len(noticed) + len(missed)} noticed", flush=True)
            for result in missed:
                print(result.diff, flush=True)
    print(f"all: {totals[0]} of {sum(totals)} noticed (seed {options.seed})")
    return 0


@contextmanager
def copied_tree() -> Iterator[None]:
    """Work in a copy of the tracked files: faults are never written into the checkout."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        for name in filter(None, listing.stdout.split("\0")):
            if (ROOT / name).is_file():
                target = Path(folder) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, target)
        with contextlib.chdir(folder):
            yield


def run_area(area: Area, *, n_faults: int, seed: int) -> tuple[list[WorkResult], list[WorkResult]]:
    """The faults that the tests noticed, and those that they missed.

    Raises:
        SystemExit: The tests fail without any fault.
    """
    # PYTHONPATH: an editable install would else find the code of the checkout.
    command = (
        f"env PYTHONPATH={Path.cwd()} {sys.executable} -B -m pytest -x -q -p no:cacheprovider "
        + " ".join(area.tests)
    )
    started = time.monotonic()
    if subprocess.run(command.split(), capture_output=True, check=False).returncode:
        raise SystemExit(f"the tests fail without any fault: {' '.join(area.tests)}")
    timeout_s = max(60.0, TIMEOUT_FACTOR * (time.monotonic() - started))
    noticed, missed = [], []
    for item in draw_faults(area.modules, n_faults=n_faults, seed=seed):
        result = mutate_and_test(item.mutations, command, timeout_s)
        survived = result.test_outcome is TestOutcome.SURVIVED
        (missed if survived else noticed).append(result)
    return noticed, missed


def draw_faults(modules: Sequence[str], *, n_faults: int, seed: int) -> list[WorkItem]:
    """A sample of the faults that Cosmic Ray knows, at most one a place in the code."""
    with use_db("mutants.sqlite", WorkDB.Mode.create) as database:
        init([Path(module) for module in modules], database, {})
        items = sorted(database.work_items, key=_position)
    Path("mutants.sqlite").unlink()
    generator = random.Random(seed)
    places: dict[tuple[str, int, int], list[WorkItem]] = {}
    for item in filter(_is_fault, items):
        places.setdefault(_position(item)[:3], []).append(item)
    chosen = generator.sample(sorted(places), min(n_faults, len(places)))
    return [generator.choice(places[position]) for position in chosen]


def _position(item: WorkItem) -> tuple[str, int, int, str, int]:
    mutation = item.mutations[0]
    row, column = mutation.start_pos
    operator = f"{mutation.operator_name} {mutation.operator_args}"
    return str(mutation.module_path), row, column, operator, mutation.occurrence


def _is_fault(item: WorkItem) -> bool:
    """Leave out what cannot be missed or does not matter: unions of types, and decorators."""
    mutation = item.mutations[0]
    lines = Path(mutation.module_path).read_text(encoding="utf-8").splitlines()
    is_decorator = lines[mutation.start_pos[0] - 1].lstrip().startswith("@")
    return "BitOr" not in mutation.operator_name and not is_decorator


if __name__ == "__main__":
    sys.exit(main())
