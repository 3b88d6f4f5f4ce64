"""Every recipe with a memory plan says it before it starts on an accelerator."""

import re
from pathlib import Path
from typing import Any

import pytest

from engine import plugins
from engine.models.registry import load_family
from engine.training import recipes
from tests.support.short_training import settings, write_data

FAMILIES = {"finetune": "video_xl"}
"""Families of recipes that are named otherwise."""
RECIPES = {
    name: recipe
    for name in plugins.names(recipes)
    if hasattr(recipe := plugins.load(recipes, name, defines=("run",)), "plan")
}


@pytest.mark.parametrize("name", RECIPES)
def test_an_accelerator_is_told_the_plan_before_it_starts(name: str, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    load_family(FAMILIES.get(name, name)).write_tiny(tmp_path / "base")
    write_data(tmp_path, {"video": 3, "image": 1, "text": 1})
    values: dict[str, Any] = {"device": "meta", "steps": 1, "samples_per_step": 1}
    if name in ("finetune", "video_xl"):
        values["max_frames"] = 4
    output = settings(tmp_path / name, recipe.CONFIG, **values)
    line = next(recipe.run(output, resume=False))
    assert line.stage == "memory"
    assert re.match(r"memory planned: \d+\.\d GB \(weights 0\.0 GB, gradients", line.note)


def test_on_a_cpu_nothing_is_planned(tmp_path: Path) -> None:
    recipe = RECIPES["pllava"]
    load_family("pllava").write_tiny(tmp_path / "base")
    write_data(tmp_path, {"video": 2})
    output = settings(tmp_path / "pllava", recipe.CONFIG, device="cpu", steps=1, rank=2)
    assert next(recipe.run(output, resume=False)).stage != "memory"
