"""Fused adapters against the unfused product, under every spelling of their names."""

import pytest
import torch

from engine.errors import WeightsError
from engine.nn.lora import fuse

X = "model.layers.0.self_attn.q_proj"


def _parts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(12, 8), torch.randn(4, 8), torch.randn(12, 4)


@pytest.mark.parametrize("alpha", [0.0, 4.0, 32.0])
@pytest.mark.parametrize("base_name", [f"{X}.base_layer.weight", f"{X}.weight"])
@pytest.mark.parametrize("infix", ["", ".default"])
def test_fused_weight_equals_base_plus_adapter(alpha: float, base_name: str, infix: str) -> None:
    base, down, up = _parts()
    stored = {f"{X}.lora_B{infix}.weight": up, f"{X}.lora_A{infix}.weight": down, base_name: base}
    fused = dict(fuse(stored.items(), alpha, source="here"))
    rows = torch.randn(5, 8)
    expected = rows @ base.T + alpha / 4 * (rows @ down.T @ up.T)
    torch.testing.assert_close(rows @ fused[f"{X}.weight"].T, expected, atol=1e-5, rtol=1e-5)
    assert list(fused) == [f"{X}.weight"]


def test_half_precision_is_rounded_once_at_the_end() -> None:
    base, down, up = (part.bfloat16() for part in _parts())
    stored = {f"{X}.base_layer.weight": base, f"{X}.lora_A.weight": down, f"{X}.lora_B.weight": up}
    fused = dict(fuse(stored.items(), 4.0, source="here"))[f"{X}.weight"]
    assert torch.equal(fused, (base.float() + up.float() @ down.float()).bfloat16())


@pytest.mark.parametrize("lost", [f"{X}.base_layer.weight", f"{X}.lora_A.weight"])
def test_incomplete_adapter_is_named(lost: str) -> None:
    base, down, up = _parts()
    stored = {f"{X}.base_layer.weight": base, f"{X}.lora_A.weight": down, f"{X}.lora_B.weight": up}
    del stored[lost]
    with pytest.raises(WeightsError, match="q_proj"):
        dict(fuse(stored.items(), 4.0, source="here"))
