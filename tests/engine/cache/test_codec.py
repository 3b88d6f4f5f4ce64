"""Stored form: what goes in comes out, or comes out as near as eight bits allow."""

import pytest
import torch

from engine.cache.codec import pack, unpack
from engine.tensors import KvLatents, TokenLatents

CPU = torch.device("cpu")


def latents(dtype: torch.dtype = torch.float32) -> KvLatents:
    generator = torch.Generator().manual_seed(3)
    keys = torch.randn(2, 2, 5, 8, generator=generator)
    keys[..., 3] *= 40  # Rotary models have a few channels far larger than the rest.
    values = torch.randn(2, 2, 5, 8, generator=generator)
    return KvLatents(keys=keys.to(dtype), values=values.to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_native_storage_keeps_every_bit(dtype: torch.dtype) -> None:
    given = latents(dtype)
    back = unpack(pack(given, "native"), CPU)
    assert isinstance(back, KvLatents)
    assert torch.equal(back.keys, given.keys)
    assert torch.equal(back.values, given.values)


def test_eight_bits_err_by_half_a_step_of_their_own_channel() -> None:
    given = latents()
    back = unpack(pack(given, "int8"), CPU)
    assert isinstance(back, KvLatents)
    key_step = given.keys.abs().amax(dim=2, keepdim=True) / 127
    value_step = given.values.abs().amax(dim=3, keepdim=True) / 127
    assert ((back.keys - given.keys).abs() <= key_step / 2 + 1e-6).all()
    assert ((back.values - given.values).abs() <= value_step / 2 + 1e-6).all()


def test_eight_bits_of_many_latents_take_half_the_bytes_of_sixteen() -> None:
    wide = torch.randn(4, 4, 180, 128).to(torch.bfloat16)
    packed = pack(KvLatents(keys=wide, values=wide), "int8")
    assert packed.nbytes < 0.53 * 2 * wide.nbytes


def test_zeros_stay_zero_in_eight_bits() -> None:
    back = unpack(pack(TokenLatents(embeddings=torch.zeros(3, 4)), "int8"), CPU)
    assert isinstance(back, TokenLatents)
    assert torch.equal(back.embeddings, torch.zeros(3, 4))


def test_a_dtype_that_no_file_can_hold_is_refused() -> None:
    wide = TokenLatents(embeddings=torch.zeros(3, 4, dtype=torch.float64))
    with pytest.raises(ValueError, match="float64"):
        pack(wide, "native")
