"""Stages: what learns, and how fast."""

import pytest
from torch import nn

from engine.training.finetune.stage_config import StageConfig, select_parts

STAGE = StageConfig(
    name="some", rates={"0.": 0.1, "2.": 0.01}, mixture={"video": 0.75, "text": 0.25}, max_clips=2
)


def test_only_the_named_parts_learn_each_at_its_rate() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    parts, lr_shares = select_parts(net, STAGE)
    assert lr_shares == {"0.": 1.0, "2.": pytest.approx(0.1)}
    assert list(parts["0"].parameters()) == list(net[0].parameters())
    learning = [name for name, weight in net.named_parameters() if weight.requires_grad]
    assert learning == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_a_later_stage_thaws_what_an_earlier_one_froze() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    select_parts(net, STAGE)
    select_parts(
        net, StageConfig(name="next", rates={"1.": 1.0}, mixture={"video": 1.0}, max_clips=1)
    )
    learning = [name for name, weight in net.named_parameters() if weight.requires_grad]
    assert learning == ["1.weight", "1.bias"]


def test_a_part_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"'2\.'"):
        select_parts(nn.Sequential(nn.Linear(2, 2)), STAGE)


def test_a_part_learns_with_what_holds_it_and_what_it_holds() -> None:
    stage = StageConfig(name="s", rates={"vision.": 1.0}, mixture={"video": 1.0}, max_clips=1)
    assert stage.trains("vision.siglip.")
    assert not stage.trains("decoder.")


@pytest.mark.parametrize(
    ("rates", "mixture", "message"),
    [({"a": 1.0}, {"video": 0.9}, "sum to 1"), ({}, {"video": 1.0}, "at least one part")],
)
def test_a_stage_must_add_up(
    rates: dict[str, float], mixture: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        StageConfig(name="s", rates=rates, mixture=mixture, max_clips=1)  # type: ignore[arg-type]
