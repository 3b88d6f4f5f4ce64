"""Adapters: nothing before the first step, what they learnt in the weights afterwards."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.models.layers.allocation import matrices_in
from engine.models.video_xl.model import VARIANTS, write_tiny
from engine.models.video_xl.net import VideoXlNet, build, load_net
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


def test_over_four_bits_adapters_learn_and_merge_into_what_was_read() -> None:
    plain, adapted, rows = net(), net(), torch.randn(1, 9, 48)
    adapted.requires_grad_(False)
    added = add_adapters(adapted.decoder, replace(CONFIG, base="nf4"), seed=1)
    before = run_causal(adapted.decoder, rows)
    # Rows behind the final norm have a size of 1.
    error = (before.detach() - run_causal(plain.decoder, rows).detach()).abs().mean()
    assert 0 < float(error) < 0.2
    before.square().sum().backward()
    gradients = {name: weight.grad for name, weight in added.named_parameters()}
    assert all(grad is not None for grad in gradients.values())
    # The first layer's are reached through the 4 bits of all others.
    assert all(bool(grad.any()) for name, grad in gradients.items() if name.startswith("0.qkv.up"))
    with torch.no_grad():
        for weight in added.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    products = [{name: pair.product() * 2.0 for name, pair in layer.items()} for layer in added]
    merge_adapters(adapted.decoder, read=net().decoder)
    names = [name for name, _ in plain.named_parameters()]
    assert [name for name, _ in adapted.named_parameters()] == names
    for old, new, product in zip(
        plain.decoder.stack(), adapted.decoder.stack(), products, strict=True
    ):
        torch.testing.assert_close(new.down.weight, old.down.weight + product["down"])
        torch.testing.assert_close(
            new.attention.qkv.weight, old.attention.qkv.weight + product["qkv"]
        )


def test_four_bits_are_not_merged_into() -> None:
    model = net()
    add_adapters(model.decoder, replace(CONFIG, base="nf4"), seed=1)
    with pytest.raises(AssertionError, match="what was read"):
        merge_adapters(model.decoder)


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


def test_projections_that_are_in_four_bits_when_read_get_the_same_adapters(tmp_path: Path) -> None:
    write_tiny(tmp_path)
    with matrices_in("nf4", but=r".*\.vst_qkv"):
        read = load_net(tmp_path, torch.device("cpu"), torch.float32)
    turned = load_net(tmp_path, torch.device("cpu"), torch.float32)
    for model in (read, turned):
        add_adapters(model.decoder, replace(CONFIG, base="nf4"), seed=1)
    expected = dict(turned.named_parameters())
    assert [name for name, _ in read.named_parameters()] == list(expected)
    assert all(torch.equal(weight, expected[name]) for name, weight in read.named_parameters())
