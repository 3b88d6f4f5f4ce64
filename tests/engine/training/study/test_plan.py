"""Plans of studies: what is trained, and what is wrong with a plan."""

import copy
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InputRefusedError
from engine.training.study.plan import parse_plan
from tests.support.study_plan import PLAN

EXAMPLE = Path(__file__).parents[4] / "examples" / "study_nano.toml"


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    plan = copy.deepcopy(PLAN)
    change(plan)
    return plan


def test_one_at_a_time_changes_one_decision_of_the_base() -> None:
    names = [variant.name for variant in parse_plan(PLAN).variants()]
    assert names[:5] == [
        "small-only-1-0.5-even-joint-0",
        "small-only-1-0.5-even-joint-1",
        "small-only-4-0.5-even-joint-0",
        "small-only-1-2-even-joint-0",
        "small-only-1-0.5-even-two-0",
    ]
    assert len(names) == 10


def test_a_full_grid_combines_all_options() -> None:
    plan = parse_plan(PLAN | {"design": "full", "base_seeds": 1})
    assert len(list(plan.variants())) == 2 * 2 * 2 * 2


def test_the_example_is_a_plan() -> None:
    plan = parse_plan(tomllib.loads(EXAMPLE.read_text(encoding="utf-8")))
    variants = list(plan.variants())
    assert len(variants) == 21
    assert len({variant.name for variant in variants}) == 21


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (PLAN | {"speed": 1}, "unknown key 'speed'"),
        (PLAN | {"design": "some"}, "design of the plan must not be 'some'"),
        (PLAN | {"base_seeds": 0}, "base_seeds of the plan must not be 0"),
        (changed(lambda plan: plan.pop("sizes")), "names no sizes"),
        (changed(lambda plan: plan["sizes"].pop("large")), "two sizes at least"),
        (changed(lambda plan: plan["sizes"]["small"].pop("width")), "sizes.small"),
        (changed(lambda plan: plan["sizes"]["small"].update(depth=2)), "has no 'depth'"),
        (changed(lambda plan: plan["sizes"]["small"].update(width=0)), "must not be 0"),
        (changed(lambda plan: plan["sizes"]["small"].update(width=30)), "multiple of 8"),
        (changed(lambda plan: plan["sizes"]["small"].update(width=True)), "must not be True"),
        (changed(lambda plan: plan["mixtures"]["even"].update(smell=1.0)), "has no 'smell'"),
        (changed(lambda plan: plan["stages"]["two"][0].update(learns="it")), "must not be 'it'"),
        (changed(lambda plan: plan["stages"].update(none=[])), "stages.none"),
        (changed(lambda plan: plan["decisions"].update(colour=["red"])), "no decision 'colour'"),
        (changed(lambda plan: plan["decisions"].update(tokens_a_frame=[3])), "tokens_a_frame"),
        (changed(lambda plan: plan["decisions"].update(stages=["joint"] * 2)), "different ones"),
        (changed(lambda plan: plan["decisions"].update(stages="joint")), "must be a list"),
        (changed(lambda plan: plan["measure"].update(recalled_chunks=[9])), "from 1 to 8"),
    ],
)
def test_what_is_wrong_with_a_plan_is_named(plan: dict[str, Any], said: str) -> None:
    with pytest.raises(InputRefusedError, match=said):
        parse_plan(plan)
