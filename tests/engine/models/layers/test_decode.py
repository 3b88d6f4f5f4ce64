"""Steps that stay on a device answer as steps through the host do."""

import pytest
import torch

from engine.models.layers import decode
from engine.models.layers.decode import DeviceSteps, Step
from engine.models.layers.decoder import Decoder
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.generate import _steps_on_host, first_step, steps_ahead
from engine.models.layers.picking import Picker
from engine.models.layers.shared_steps import SharedSteps
from engine.protocols import Sampling

CHUNKS = [range(2, 9), range(9, 12), range(12, 12)]


def _decoder(*, has_qk_norm: bool = False) -> Decoder:
    torch.manual_seed(0)
    config = DecoderConfig(
        vocab_size=256,
        width=16,
        mlp_width=24,
        n_layers=3,
        n_heads=4,
        n_kv_heads=2,
        head_dim=8,
        qkv_bias=True,
        has_qk_norm=has_qk_norm,
    )
    decoder = Decoder(config).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(torch.randn_like(parameter) / 2)
    return decoder


def _steps(
    sampling: Sampling,
    *,
    on_device: bool,
    n: int,
    chunks: list[range] | None = CHUNKS,
    is_qwen3: bool = False,
) -> list[Step]:
    """Return the steps behind one prompt, made either way."""
    decoder, prompt = _decoder(has_qk_norm=is_qwen3), torch.arange(16)
    with torch.inference_mode():
        buffer = decoder.buffer(3)
        # As behind grids, whose tokens share positions.
        buffer.shift = 7 if is_qwen3 else 0
        logits, mass = first_step(decoder, buffer, decoder.embed(prompt), chunks)
        picker = Picker(sampling, logits)
        if not on_device:
            shared = SharedSteps(decoder)
            steps = _steps_on_host(decoder, shared, buffer, picker, logits, mass, chunks)
            return [next(steps) for _ in range(n)]
        ahead = DeviceSteps(decoder, buffer, picker, max_tokens=n, chunks=chunks)
        return list(steps_ahead(ahead, logits, mass, n))


@pytest.mark.parametrize("is_qwen3", [False, True])
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_device_steps_answer_as_host_steps_do(temperature: float, is_qwen3: bool) -> None:
    sampling = Sampling(temperature=temperature, seed=3)
    host = _steps(sampling, on_device=False, n=20, is_qwen3=is_qwen3)
    device = _steps(sampling, on_device=True, n=20, is_qwen3=is_qwen3)
    assert [step.token_id for step in device] == [step.token_id for step in host]
    for ours, theirs in zip(device, host, strict=True):
        assert ours.mass is not None
        assert theirs.mass is not None
        assert torch.allclose(ours.mass, theirs.mass, atol=1e-6)


def test_the_mass_may_be_summed_over_a_few_layers_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = _steps(Sampling(), on_device=True, n=4)
    monkeypatch.setattr(decode, "MASS_ENTRIES", 1)
    for ours, theirs in zip(_steps(Sampling(), on_device=True, n=4), whole, strict=True):
        assert ours.mass is not None
        assert theirs.mass is not None
        assert torch.allclose(ours.mass, theirs.mass, atol=1e-6)


def test_without_chunks_no_mass_is_read() -> None:
    steps = _steps(Sampling(), on_device=True, n=3, chunks=None)
    assert [step.mass for step in steps] == [None, None, None]


def test_a_single_token_takes_no_step() -> None:
    (step,) = _steps(Sampling(), on_device=True, n=1)
    (expected,) = _steps(Sampling(), on_device=False, n=1)
    assert step.token_id == expected.token_id
