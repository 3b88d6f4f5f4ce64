"""Stages: what learns, how fast, in which shares."""

from collections import Counter
from itertools import islice, pairwise

import pytest
from torch import nn

from engine.training.stages import Stage, draw_kinds, prepare, rate_at

STAGE = Stage(
    name="some", rates={"0.": 0.1, "2.": 0.01}, mixture={"video": 0.75, "text": 0.25}, max_clips=2
)


def test_only_the_named_parts_learn_each_at_its_rate() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    groups = prepare(net, STAGE)
    assert [group["lr"] for group in groups] == [0.1, 0.01]
    assert groups[0]["params"] == list(net[0].parameters())
    learning = [name for name, weight in net.named_parameters() if weight.requires_grad]
    assert learning == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_a_later_stage_thaws_what_an_earlier_one_froze() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    prepare(net, STAGE)
    prepare(net, Stage(name="next", rates={"1.": 1.0}, mixture={"video": 1.0}, max_clips=1))
    learning = [name for name, weight in net.named_parameters() if weight.requires_grad]
    assert learning == ["1.weight", "1.bias"]


def test_a_part_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"'2\.'"):
        prepare(nn.Sequential(nn.Linear(2, 2)), STAGE)


def test_a_part_learns_with_what_holds_it_and_what_it_holds() -> None:
    stage = Stage(name="s", rates={"vision.": 1.0}, mixture={"video": 1.0}, max_clips=1)
    assert stage.trains("vision.siglip.")
    assert not stage.trains("decoder.")


def test_kinds_come_in_their_shares_and_repeat_with_their_seed() -> None:
    drawn = list(islice(draw_kinds(STAGE, seed=1), 400))
    assert Counter(drawn)["video"] == pytest.approx(300, abs=30)
    assert drawn == list(islice(draw_kinds(STAGE, seed=1), 400))
    assert drawn != list(islice(draw_kinds(STAGE, seed=2), 400))


def test_rates_rise_and_then_fall_to_nothing() -> None:
    rates = [rate_at(step, 100, STAGE) for step in range(101)]
    assert rates[:4] == pytest.approx([1 / 3, 2 / 3, 1.0, 1.0])
    assert all(later < sooner for sooner, later in pairwise(rates[3:]))
    assert rates[-1] == pytest.approx(0)


@pytest.mark.parametrize(
    ("rates", "mixture", "said"),
    [({"a": 1.0}, {"video": 0.9}, "sum to 1"), ({}, {"video": 1.0}, "at least one part")],
)
def test_a_stage_must_add_up(rates: dict[str, float], mixture: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Stage(name="s", rates=rates, mixture=mixture, max_clips=1)  # type: ignore[arg-type]
