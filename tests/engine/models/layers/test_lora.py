"""Fused adapters against the unfused product, under every spelling of their names."""

import pytest
import torch

from engine.errors import WeightsError
from engine.models.layers.lora import adapters, fuse

X = "model.layers.0.self_attn.q_proj"


def _parts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(12, 8), torch.randn(4, 8), torch.randn(12, 4)


def _fused(stored: dict[str, torch.Tensor], alpha: float) -> dict[str, torch.Tensor]:
    adapted = adapters(stored.items(), source="here")
    return dict(fuse(stored.items(), adapted, alpha, source="here"))


@pytest.mark.parametrize("alpha", [0.0, 4.0, 32.0])
@pytest.mark.parametrize("base_name", [f"{X}.base_layer.weight", f"{X}.weight"])
@pytest.mark.parametrize("infix", ["", ".default"])
def test_fused_weight_equals_base_plus_adapter(alpha: float, base_name: str, infix: str) -> None:
    base, down, up = _parts()
    stored = {f"{X}.lora_B{infix}.weight": up, f"{X}.lora_A{infix}.weight": down, base_name: base}
    fused = _fused(stored, alpha)
    rows = torch.randn(5, 8)
    expected = rows @ base.T + alpha / 4 * (rows @ down.T @ up.T)
    torch.testing.assert_close(rows @ fused[f"{X}.weight"].T, expected, atol=1e-5, rtol=1e-5)
    assert list(fused) == [f"{X}.weight"]


def test_what_is_not_adapted_passes_through_under_its_bare_name() -> None:
    base, down, up = _parts()
    stored = {
        f"{X}.base_layer.weight": base,
        f"{X}.base_layer.bias": base[0],
        "model.norm.weight": up,
        f"{X}.lora_A.weight": down,
        f"{X}.lora_B.weight": up,
    }
    fused = _fused(stored, 4.0)
    assert set(fused) == {f"{X}.weight", f"{X}.bias", "model.norm.weight"}
    assert torch.equal(fused["model.norm.weight"], up)


def test_half_precision_is_rounded_once_at_the_end() -> None:
    base, down, up = (part.bfloat16() for part in _parts())
    stored = {f"{X}.base_layer.weight": base, f"{X}.lora_A.weight": down, f"{X}.lora_B.weight": up}
    fused = _fused(stored, 4.0)[f"{X}.weight"]
    assert torch.equal(fused, (base.float() + up.float() @ down.float()).bfloat16())


@pytest.mark.parametrize("lost", [f"{X}.base_layer.weight", f"{X}.lora_A.weight"])
def test_incomplete_adapter_is_named(lost: str) -> None:
    base, down, up = _parts()
    stored = {f"{X}.base_layer.weight": base, f"{X}.lora_A.weight": down, f"{X}.lora_B.weight": up}
    del stored[lost]
    with pytest.raises(WeightsError, match="q_proj"):
        _fused(stored, 4.0)
