"""Stored form: what goes in comes out, or comes out as near as its bits allow."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.cache.codec import pack, unpack
from engine.cache.quantise import BITS
from engine.records import Storage
from engine.tensors import KvLatents, PackedLatents, TokenLatents

FORMATS: list[Storage] = ["int8", "int4", "int3"]

CPU = torch.device("cpu")


def latents(dtype: torch.dtype = torch.float32) -> KvLatents:
    generator = torch.Generator().manual_seed(3)
    keys = torch.randn(2, 2, 5, 8, generator=generator)
    keys[..., 3] *= 40  # Rotary models have a few channels far larger than the rest.
    values = torch.randn(2, 2, 5, 8, generator=generator)
    return KvLatents(keys=keys.to(dtype), values=values.to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_native_storage_keeps_every_bit(dtype: torch.dtype) -> None:
    whole = latents(dtype)
    back = unpack(pack(whole, "native"), CPU)
    assert isinstance(back, KvLatents)
    assert torch.equal(back.keys, whole.keys)
    assert torch.equal(back.values, whole.values)


@pytest.mark.parametrize("storage", FORMATS)
def test_few_bits_err_by_half_a_step_of_their_own_channel(storage: Storage) -> None:
    whole = latents()
    back = unpack(pack(whole, storage), CPU)
    assert isinstance(back, KvLatents)
    for before, after in ((whole.keys, back.keys), (whole.values, back.values)):
        reach = before.amax(dim=2, keepdim=True) - before.amin(dim=2, keepdim=True)
        step = 1.1 * reach / (2 ** BITS[storage] - 1)
        assert ((after - before).abs() <= step / 2 + 1e-6).all()


@pytest.mark.parametrize("storage", FORMATS)
def test_a_bias_of_a_channel_costs_nothing(storage: Storage) -> None:
    whole = latents()
    bias = torch.zeros(8)
    bias[2], bias[5] = 921.0, -605.0
    back = unpack(pack(KvLatents(keys=whole.keys + bias, values=whole.values), storage), CPU)
    assert isinstance(back, KvLatents)
    reach = whole.keys.amax(dim=2, keepdim=True) - whole.keys.amin(dim=2, keepdim=True)
    step = 1.1 * reach / (2 ** BITS[storage] - 1)
    # A range may be finer than the zero point's 16 bits can place it beside such a bias.
    finest = bias.abs() / 32_000 * 1.1
    error = (back.keys - bias - whole.keys).abs()
    assert (error <= torch.maximum(step, finest) / 2 + 1e-4).all()


@pytest.mark.parametrize(("storage", "share"), [("int8", 0.52), ("int4", 0.28), ("int3", 0.215)])
def test_few_bits_of_many_latents_take_their_share_of_sixteen(
    storage: Storage, share: float
) -> None:
    wide = torch.randn(4, 4, 180, 128).to(torch.bfloat16)
    packed = pack(KvLatents(keys=wide, values=wide), storage)
    assert packed.nbytes < share * 2 * wide.nbytes


@pytest.mark.parametrize("storage", FORMATS)
@given(n_latents=st.integers(1, 19), seed=st.integers(0, 9))
def test_any_number_of_latents_comes_back(storage: Storage, n_latents: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    grid = torch.randint(0, 2 ** BITS[storage], (n_latents, 3), generator=generator).float()
    # Where a channel spans its grid, the step is the power of two next to 1, and codes are exact.
    grid[0] = 0
    back = unpack(pack(TokenLatents(embeddings=grid), storage), CPU)
    assert isinstance(back, TokenLatents)
    assert back.embeddings.shape == grid.shape
    assert (back.embeddings - grid).abs().amax() <= 0.55


@pytest.mark.parametrize("storage", FORMATS)
def test_zeros_stay_zero_in_few_bits(storage: Storage) -> None:
    back = unpack(pack(TokenLatents(embeddings=torch.zeros(3, 4)), storage), CPU)
    assert isinstance(back, TokenLatents)
    assert torch.equal(back.embeddings, torch.zeros(3, 4))


def test_the_first_eight_bit_form_is_still_read() -> None:
    codes = torch.tensor([[127, -127]], dtype=torch.int8)
    packed = PackedLatents(
        storage="int8",
        dtype="float32",
        n_latents=1,
        tensors=(("embeddings", codes), ("embeddings.scale", torch.tensor([[0.5]]))),
    )
    back = unpack(packed, CPU)
    assert isinstance(back, TokenLatents)
    assert back.embeddings.tolist() == [[63.5, -63.5]]


def test_a_dtype_that_no_file_can_hold_is_refused() -> None:
    wide = TokenLatents(embeddings=torch.zeros(3, 4, dtype=torch.float64))
    with pytest.raises(ValueError, match="float64"):
        pack(wide, "native")


@pytest.mark.parametrize("storage", ["native", *BITS])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_places_stay_whole_numbers(storage: Storage, dtype: torch.dtype) -> None:
    places = torch.stack((torch.arange(5) // 4, torch.arange(5) % 4 + 300), 1).to(torch.int16)
    keys = latents(dtype)
    tokens = TokenLatents(embeddings=torch.randn(5, 8).to(dtype), places=places)
    pairs = KvLatents(keys=keys.keys, values=keys.values, places=places)
    for kept in (tokens, pairs):
        packed = pack(kept, storage)
        assert packed.nbytes > places.nbytes
        back = unpack(packed, torch.device("cpu"))
        assert type(back) is type(kept)
        assert back.places is not None
        assert back.places.dtype == torch.int16
        assert torch.equal(back.places, places)
    assert unpack(pack(keys, storage), torch.device("cpu")).places is None
