"""The command line of the report.

python -m tests.bench.nano_report [--model FOLDER] [--real FILE...] [--only PART...] [--quick]
                                  [--json FILE] [--failures FILE.png]
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from app.services.evaluation import describe_rates, describe_rows
from engine.evaluation import grounding
from engine.evaluation.abstention import claims, rates_by_setting
from engine.evaluation.needle_grid import drawn_haystack
from engine.media.frame import Frame
from engine.pipeline.engine import Engine
from engine.records import Recall
from engine.synthetic.recordings import recordings
from tests.bench.nano_report.failures import write_failures
from tests.bench.nano_report.library import STORY_SEED, open_engine, real_frames
from tests.bench.nano_report.needles import needles
from tests.bench.nano_report.tables import as_markdown
from tests.bench.nano_report.world import Asked, own_world, search

SHIPPED = Path(__file__).resolve().parents[3] / "assets" / "models" / "nano"
CLAIM_SEED = 6000
"""Apart from the seeds that calibration uses."""
PARTS = ("needles", "own_world", "search", "evidence", "not_found")
_WORLDS: tuple[tuple[float, int, Recall | None], ...] = (
    (64.0, 24, None),
    (256.0, 6, None),
    (1024.0, 1, None),
    (64.0, 24, "all"),
)
"""Seconds, stories, and how much is recalled."""

Say = Callable[[str], None]


def measure(
    engine: Engine, part: str, real: Sequence[Frame], *, quick: bool, say: Say
) -> tuple[Any, list[Asked]]:
    """One part of the report, and what was asked about stories for it."""
    lengths = (64,) if quick else (64, 256, 1024)
    footage = [frame.pixels for frame in real]
    say(part.replace("_", " "))
    if part == "needles":
        return list(_all_needles(engine, real, quick=quick, say=say)), []
    if part == "own_world":
        return _all_worlds(engine, quick=quick, say=say)
    if part == "search":
        return search(engine, 1 if quick else 3, 256.0 if quick else 1024.0), []
    if part == "evidence":
        return _all_signals(engine, footage, lengths), []
    given = recordings(1.0, footage, lengths=lengths, frames_each=512, seed=CLAIM_SEED)
    rows = rates_by_setting(list(claims(engine, given)))
    return [each.model_dump() for each in describe_rates(rows)], []


def _all_worlds(
    engine: Engine, *, quick: bool, say: Say
) -> tuple[list[dict[str, object]], list[Asked]]:
    worlds, asked = [], []
    for duration_s, n_stories, recall in _WORLDS[:1] if quick else _WORLDS:
        say(f"questions about {duration_s:.0f} s, recall {recall or 'by wording'}")
        world, some = own_world(engine, 4 if quick else n_stories, duration_s, recall)
        worlds.append(world)
        asked += some
    return worlds, asked


def _all_needles(
    engine: Engine, real: Sequence[Frame], *, quick: bool, say: Say
) -> Iterator[dict[str, object]]:
    lengths, few = ((64, 256), 6) if quick else ((64, 256, 1024), 15)
    drawn = list(drawn_haystack(max(lengths), fps=1.0, seed=STORY_SEED))
    hays: list[tuple[str, Sequence[Frame]]] = [("drawn", drawn)]
    hays += [("real, held out", real)] if real else []
    plans: list[tuple[Recall, int, Sequence[int]]] = [("top", 8, lengths), ("all", 8, lengths[:2])]
    plans += [] if quick else [("top", 16, lengths[1:]), ("all", 16, lengths[1:2])]
    for name, frames in hays:
        for recall, ratio, some in plans:
            say(f"needles in {name}, recall {recall}, ratio {ratio}")
            yield needles(engine, frames, name, some, recall, ratio, few)


def _all_signals(engine: Engine, footage: Sequence[Any], lengths: Sequence[int]) -> list[Any]:
    each = grounding.FRAMES_EACH
    apart = recordings(1.0, footage, lengths=(256,), frames_each=each, seed=grounding.SEED + 500)
    weight = grounding.best_weight(engine, apart)
    given = recordings(1.0, footage, lengths=lengths, frames_each=each, seed=grounding.SEED)
    trials = list(grounding.measure(engine, given, grounding.signal_configs(engine, weight)))
    groups: tuple[Callable[[grounding.Trial], str], ...] = (
        lambda trial: "all",
        grounding.by_setting,
        grounding.by_kind,
    )
    rows = (row for group in groups for row in grounding.tabulate(trials, group))
    return [row.model_dump() for row in describe_rows(list(rows))]


def _machine() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {torch.get_num_threads()} thread(s)"


def main() -> None:
    """Measure, print the tables, write the numbers and the failures."""
    parser = argparse.ArgumentParser(description="Measure nano as its card reports it.")
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--real", type=Path, nargs="*", default=[], metavar="FILE")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--quick", action="store_true", help="few cases, to see that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="written after every part")
    parser.add_argument("--resume", action="store_true", help="keep the parts that --json holds")
    parser.add_argument("--failures", type=Path, metavar="FILE.png")
    given = parser.parse_args()
    report: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "machine": _machine()}
    if given.resume and given.json and given.json.exists():
        report = json.loads(given.json.read_text(encoding="utf-8"))
    asked: list[Asked] = []
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(given.model, Path(folder), 8)
        real = real_frames(given.real)
        for part in (each for each in given.only if each not in report):
            report[part], some = measure(
                engine, part, real, quick=given.quick, say=lambda text: print(text, flush=True)
            )
            asked += some
            if given.json:
                given.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(as_markdown(report))
    if given.failures:
        print(f"{write_failures(given.failures, asked)} failures drawn")


if __name__ == "__main__":
    main()
