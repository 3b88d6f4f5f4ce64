"""Adapters: nothing before the first step, what they learnt in the weights afterwards."""

from typing import Any

import pytest
import torch

from engine.models.video_xl.model import VARIANTS
from engine.models.video_xl.net import VideoXlNet, build
from engine.training.finetune.causal_loss import run_causal
from engine.training.finetune.lora import LowRankConfig, add_adapters, merge_adapters
from tests.support.random_video_xl import initialise

CONFIG = LowRankConfig(rank=4, alpha=8.0, dropout=0.0)


def net() -> VideoXlNet:
    model = build(VARIANTS["tiny"], torch.device("cpu"), torch.float32)
    return initialise(model, seed=3)


def test_adapters_add_nothing_before_they_learn_and_the_same_once_merged() -> None:
    plain, adapted, rows = net(), net(), torch.randn(1, 9, 48)
    added = add_adapters(adapted.decoder, CONFIG, seed=1)
    before = run_causal(plain.decoder, rows)
    assert torch.equal(run_causal(adapted.decoder, rows), before)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in added.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    learnt = run_causal(adapted.decoder, rows)
    assert not torch.allclose(learnt, before, atol=1e-2)
    merge_adapters(adapted.decoder)
    torch.testing.assert_close(run_causal(adapted.decoder, rows), learnt, atol=1e-4, rtol=1e-4)
    names = [name for name, _ in plain.named_parameters()]
    assert [name for name, _ in adapted.named_parameters()] == names
    for name, weight in plain.named_parameters():
        is_projection = "vst" not in name and any(
            part in name for part in ("qkv.weight", "out.weight", "gate_up", "down")
        )
        is_decoder = name.startswith("decoder.layers")
        other = adapted.get_parameter(name)
        assert torch.equal(weight, other) != (is_projection and is_decoder), name


def test_every_projection_has_a_pair_and_each_part_of_a_fused_one_its_own() -> None:
    model = net()
    first = add_adapters(model.decoder, CONFIG, seed=1)[0]
    shapes = {
        name: tuple(weight.shape) for name, weight in first.named_parameters() if ".up." in name
    }
    assert shapes == {
        "qkv.up.q": (48, 4),
        "qkv.up.k": (24, 4),
        "qkv.up.v": (24, 4),
        "out.up.whole": (48, 4),
        "gate_up.up.gate": (64, 4),
        "gate_up.up.up": (64, 4),
        "down.up.whole": (48, 4),
    }


def test_dropout_thins_only_while_learning() -> None:
    model, rows = net(), torch.randn(1, 9, 48)
    added = add_adapters(model.decoder, LowRankConfig(rank=4, alpha=8.0, dropout=0.5), seed=1)
    with torch.no_grad():
        for parameter in added.parameters():
            parameter.add_(0.1)
    added.train()
    assert not torch.equal(run_causal(model.decoder, rows), run_causal(model.decoder, rows))
    added.eval()
    assert torch.equal(run_causal(model.decoder, rows), run_causal(model.decoder, rows))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rank": 0, "alpha": 1.0}, "rank"),
        ({"rank": 4, "alpha": 0.0}, "alpha"),
        ({"rank": 4, "alpha": 1.0, "dropout": 1.0}, "dropout"),
    ],
)
def test_values_that_make_no_adapter_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LowRankConfig(**values)
