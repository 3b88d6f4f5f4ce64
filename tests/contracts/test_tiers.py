"""What every tier of memory promises."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.cache.codec import pack
from engine.cache.disk import DiskTier
from engine.cache.memory import MemoryTier
from engine.records import SampleStats
from engine.tensors import PackedChunk
from tests.engine.cache.samples import PEDIGREE, chunk

Tier = MemoryTier | DiskTier
TIERS: dict[str, Callable[[Path], Tier]] = {
    "memory": lambda _: MemoryTier(torch.device("cpu")),
    "disk": lambda folder: DiskTier(folder, PEDIGREE),
}


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest, tmp_path: Path) -> Tier:
    return TIERS[request.param](tmp_path)


def put(tier: Tier, held: PackedChunk) -> None:
    if isinstance(tier, DiskTier):
        tier.commit(held, activity=0.0, stats=SampleStats())
    else:
        tier.put(held)


def packed(ordinal: int) -> PackedChunk:
    whole = chunk(ordinal)
    return PackedChunk(
        ref=whole.ref,
        latents=pack(whole.latents, "int8"),
        frame_vectors=whole.frame_vectors,
        pts_s=whole.pts_s,
    )


def test_what_is_put_comes_back_bit_for_bit(tier: Tier) -> None:
    put(tier, packed(0))
    held = tier.get(packed(0).ref)
    assert held is not None
    assert held.ref == packed(0).ref
    assert torch.equal(held.frame_vectors, packed(0).frame_vectors)
    assert torch.equal(held.pts_s, packed(0).pts_s)
    assert (held.latents.storage, held.latents.dtype) == ("int8", "float32")
    for (name, given), (same_name, back) in zip(
        packed(0).latents.tensors, held.latents.tensors, strict=True
    ):
        assert name == same_name
        assert torch.equal(given, back)


def test_what_was_never_put_is_none(tier: Tier) -> None:
    assert tier.get(packed(0).ref) is None


def test_bytes_follow_what_is_held(tier: Tier) -> None:
    assert tier.used_bytes == 0
    put(tier, packed(0))
    one = tier.used_bytes
    put(tier, packed(0))
    assert tier.used_bytes == one > 0
    tier.drop(packed(0).ref)
    tier.drop(packed(0).ref)
    assert tier.used_bytes == 0
