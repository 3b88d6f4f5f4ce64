"""Measures the variants of `longwatch train nano_baselines`: a table, a JSON file, a picture.

    python -m tests.bench.nano_baselines RUN --json FILE [--plot FILE] [--arms NAME...]

RUN is the folder that the recipe trained in. What the JSON file holds is not measured again, so a
command that was cut off goes on; `--arms` without a name only prints and draws what is there.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from engine.evaluation.plots import Panel, draw_side_by_side
from engine.training.nano.baselines import VARIANT_KINDS
from engine.training.nano.keep_strategies import KEEP_STRATEGIES
from engine.training.recipes.nano_baselines import PLAN, nano_folder
from tests.bench.baseline_probe import (
    NeedleCell,
    NeedleConfig,
    open_variant,
    probe_kinds,
    probe_needles,
)

RATIOS = (4, 8, 16)
LENGTHS = (64, 128, 256, 512)
LONG = NeedleConfig(lengths=(256,), n_needles=16, needle_frames=8)
SHOWN = (("whole", 8), ("pool", 8), ("uniform", 8), ("vst", 8))
"""The panels of the picture."""


def measure(run: Path, arm: str, ratio: int) -> dict[str, Any]:
    """Needles over length and depth, needles of a whole chunk, and every kind of question."""
    stage = open_variant(arm, PLAN, nano_folder(run), run)
    started = time.monotonic()
    grid = NeedleConfig(lengths=LENGTHS, n_needles=16)
    kinds = probe_kinds(stage, ratio)
    return {
        "rows_a_second": KEEP_STRATEGIES[arm].rows_per_frame(ratio),
        "needles": [_as_dict(cell) for cell in probe_needles(stage, ratio, grid)],
        "needles_of_8_frames": [_as_dict(cell) for cell in probe_needles(stage, ratio, LONG)],
        "kinds": {kind: {"right": right, "n": n} for kind, (right, n) in kinds.items()},
        "wall_s": round(time.monotonic() - started, 1),
    }


def as_markdown(report: Mapping[str, Any]) -> str:
    """The tables of the README: needles, then every kind of question over 64 frames."""
    needles = [*(f"needle, {n} frames" for n in LENGTHS), "8-frame needle, 256 frames"]
    found, kinds = [], []
    for name, each in _by_budget(report):
        cells = [_share(each["needles"], length) for length in LENGTHS]
        found.append((name, [*cells, _share(each["needles_of_8_frames"], 256)]))
        asked = [each["kinds"][kind] for kind in VARIANT_KINDS]
        kinds.append((name, [kind["right"] / kind["n"] for kind in asked]))
    return "\n\n".join((_table(needles, found), _table(list(VARIANT_KINDS), kinds)))


def _by_budget(report: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for arm in ("whole", "vst", "pool", "uniform"):
        ratios = report["arms"].get(arm, {"ratios": {}})["ratios"]
        for ratio in sorted(ratios, key=int):
            name = KEEP_STRATEGIES[arm].title + ("" if arm == "whole" else f", {ratio}x")
            yield f"{name} | {ratios[ratio]['rows_a_second']:g}", ratios[ratio]


def _table(heads: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]]) -> str:
    lines = ["| memory | kept a second | " + " | ".join(heads) + " |"]
    lines.append("|---" * (2 + len(heads)) + "|")
    lines += [f"| {name} | " + " | ".join(f"{x:.2f}" for x in cells) + " |" for name, cells in rows]
    return "\n".join(lines)


def draw(report: Mapping[str, Any], path: Path) -> None:
    """The four heat maps."""
    panels = []
    for arm, ratio in SHOWN:
        found = report["arms"][arm]["ratios"][str(ratio)]
        rows = found["rows_a_second"]
        kept = f"{rows:g} tokens kept a second"
        title = (
            KEEP_STRATEGIES[arm].title.capitalize() if arm != "vst" else f"VST, {ratio}x smaller"
        )
        shares = {(each["length_frames"], each["depth"]): each["right"] / each["n"]
                  for each in found["needles"]}  # fmt: skip
        panels.append(Panel(title=title, note=kept, shares=shares))
    draw_side_by_side(panels, path, heading="Is a single frame of a long video still remembered?")


def _share(cells: Sequence[Mapping[str, Any]], length: int) -> float:
    some = [cell for cell in cells if cell["length_frames"] == length]
    return float(sum(cell["right"] for cell in some) / sum(cell["n"] for cell in some))


def _as_dict(cell: NeedleCell) -> dict[str, Any]:
    return {
        "length_frames": cell.length_frames,
        "depth": cell.depth,
        "n": cell.n,
        "right": cell.right,
        "right_by_kind": dict(cell.right_by_kind),
    }


def main() -> None:
    """Measure, write, print, draw."""
    parser = argparse.ArgumentParser(description="Measure memories of equal training.")
    parser.add_argument("run", type=Path)
    parser.add_argument(
        "--arms", nargs="*", default=list(KEEP_STRATEGIES), choices=list(KEEP_STRATEGIES)
    )
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    report: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "threads": torch.get_num_threads(),
        "n_steps": PLAN.loop.n_steps,
        "arms": {},
    }
    if given.json.is_file():
        report = json.loads(given.json.read_text(encoding="utf-8"))
    # What the picture shows comes first.
    for ratio in sorted(RATIOS, key=lambda ratio: ratio != 8):
        for arm in given.arms:
            held = report["arms"].setdefault(
                arm, {"title": KEEP_STRATEGIES[arm].title, "ratios": {}}
            )
            if str(ratio) in held["ratios"] or (arm == "whole" and ratio != 8):
                continue
            held["ratios"][str(ratio)] = measure(given.run, arm, ratio)
            given.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
            print(f"{arm} at ratio {ratio}: {held['ratios'][str(ratio)]['wall_s']} s", flush=True)
    print(as_markdown(report))
    if given.plot:
        draw(report, given.plot)


if __name__ == "__main__":
    main()
