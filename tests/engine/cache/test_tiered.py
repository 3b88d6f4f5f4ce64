"""Recall does not depend on which tier held a chunk, nor on which subset is asked for."""

import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.cache.budget import Budget, CacheConfig
from engine.cache.codec import pack
from engine.cache.disk import DiskTier
from engine.cache.memory import MemoryTier
from engine.cache.tiered import LatentCache
from engine.errors import CorruptLatentsError
from engine.records import SampleStats, Storage, VideoId
from engine.tensors import ChunkLatents, KvLatents, PackedChunk
from tests.engine.cache.samples import CAMERA, PEDIGREE, chunk

CPU = torch.device("cpu")


def cache(
    folder: Path, *, host_bytes: int = 1 << 20, storage: Storage = "native", n: int = 0
) -> LatentCache:
    config = CacheConfig(host_bytes=host_bytes, storage=storage)
    built = LatentCache(DiskTier(folder, PEDIGREE, durable=False), config, CPU)
    for ordinal in range(n):
        built.put(chunk(ordinal), activity=0.0, stats=SampleStats())
    return built


def in_memory(built: LatentCache, ordinal: int) -> tuple[ChunkLatents, ...]:
    """A chunk whose file is gone, or nothing when memory does not hold it."""
    try:
        return built.recall([chunk(ordinal).ref])
    except CorruptLatentsError:
        return ()


def packed(whole: ChunkLatents, storage: Storage) -> PackedChunk:
    return PackedChunk(
        ref=whole.ref,
        latents=pack(whole.latents, storage),
        frame_vectors=whole.frame_vectors,
        pts_s=whole.pts_s,
    )


def tier_bytes(whole: ChunkLatents, storage: Storage) -> int:
    return MemoryTier(torch.device("cpu")).size_of(packed(whole, storage))


def same(one: ChunkLatents, other: ChunkLatents) -> bool:
    assert isinstance(one.latents, KvLatents)
    assert isinstance(other.latents, KvLatents)
    return (
        one.ref == other.ref
        and torch.equal(one.latents.keys, other.latents.keys)
        and torch.equal(one.latents.values, other.latents.values)
        and torch.equal(one.frame_vectors, other.frame_vectors)
        and torch.equal(one.pts_s, other.pts_s)
    )


@pytest.mark.parametrize("storage", ["native", "int8"])
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(wanted=st.lists(st.integers(0, 11), unique=True))
def test_any_subset_comes_back_in_order_and_equal_to_never_evicted(
    tmp_path: Path, storage: Storage, wanted: list[int]
) -> None:
    roomy = cache(tmp_path / storage / "roomy", storage=storage, n=12)
    host_bytes = 3 * tier_bytes(chunk(0), storage)
    tight = cache(tmp_path / storage / "tight", host_bytes=host_bytes, storage=storage, n=12)
    kept = roomy.recall(chunk(ordinal).ref for ordinal in wanted)
    evicted = tight.recall(chunk(ordinal).ref for ordinal in wanted)
    assert [recalled.ref.ordinal for recalled in kept] == sorted(wanted)
    assert all(same(one, other) for one, other in zip(kept, evicted, strict=True))
    # What is still recalled without any file was held in memory, and within the budget.
    shutil.rmtree(tmp_path / storage / "tight")
    held = [recalled for ordinal in range(12) for recalled in in_memory(tight, ordinal)]
    assert sum(recalled.latents.nbytes for recalled in held) > 0
    assert sum(tier_bytes(recalled, storage) for recalled in held) <= host_bytes


@pytest.mark.parametrize("storage", ["native", "int8"])
def test_a_stream_remembers_exactly_what_a_recall_gives(tmp_path: Path, storage: Storage) -> None:
    built = cache(tmp_path, storage=storage, n=1)
    remembered = built.as_stored(chunk(0).latents)
    (recalled,) = cache(tmp_path, storage=storage).recall([chunk(0).ref])
    assert isinstance(remembered, KvLatents)
    assert isinstance(recalled.latents, KvLatents)
    assert torch.equal(remembered.keys, recalled.latents.keys)
    assert torch.equal(remembered.values, recalled.latents.values)


def test_another_process_recalls_what_was_put(tmp_path: Path) -> None:
    first = cache(tmp_path, n=3)
    second = cache(tmp_path)
    refs = [chunk(ordinal).ref for ordinal in range(3)]
    pairs = zip(first.recall(refs), second.recall(refs), strict=True)
    assert all(same(one, other) for one, other in pairs)


def test_videos_come_in_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    built = cache(tmp_path, n=2)
    other = VideoId("another")
    built.put(chunk(0, other), activity=0.0, stats=SampleStats())
    named = built.recall([chunk(1).ref, chunk(0, other).ref, chunk(0).ref])
    assert [(c.ref.video, c.ref.ordinal) for c in named] == [(CAMERA, 0), (CAMERA, 1), (other, 0)]


@pytest.mark.parametrize(("most", "expected"), [(None, 5), (8, 2), (11, 2), (12, 3), (3, 0)])
def test_the_tail_is_what_a_bounded_stream_still_remembers(
    tmp_path: Path, most: int | None, expected: int
) -> None:
    assert len(cache(tmp_path, n=5).tail(CAMERA, range(5), most)) == expected


def test_a_chunk_that_vanished_is_named(tmp_path: Path) -> None:
    built = cache(tmp_path, host_bytes=0, n=1)
    shutil.rmtree(tmp_path)
    with pytest.raises(CorruptLatentsError, match=r"00000000\.safetensors: the file is missing"):
        built.recall([chunk(0).ref])


def test_a_forgotten_video_is_gone_from_memory_too(tmp_path: Path) -> None:
    built = cache(tmp_path, n=3)
    built.forget(CAMERA)
    with pytest.raises(CorruptLatentsError):
        built.recall([chunk(0).ref])


def test_a_dropped_chunk_is_gone_from_memory_too(tmp_path: Path) -> None:
    built = cache(tmp_path, n=2)
    built.drop(chunk(0).ref)
    assert built.ordinals(CAMERA) == (1,)
    with pytest.raises(CorruptLatentsError):
        built.recall([chunk(0).ref])


def test_a_recalled_chunk_stays_in_memory_longer_than_one_put_later(tmp_path: Path) -> None:
    built = cache(tmp_path, host_bytes=3 * tier_bytes(chunk(0), "native"), n=3)
    built.recall([chunk(0).ref])
    built.put(chunk(3), activity=0.0, stats=SampleStats())
    shutil.rmtree(tmp_path)
    assert [ordinal for ordinal in range(4) if in_memory(built, ordinal)] == [0, 2, 3]


def test_the_least_recently_used_leaves_first() -> None:
    budget = Budget(300)
    refs = [chunk(ordinal).ref for ordinal in range(4)]
    for ref in refs[:3]:
        assert budget.admit(ref, 100) == ()
    budget.touch(refs[0])
    assert budget.admit(refs[3], 200) == (refs[1], refs[2])
    assert budget.used_bytes == 300


def test_what_is_larger_than_the_tier_does_not_empty_it() -> None:
    budget = Budget(300)
    budget.admit(chunk(0).ref, 200)
    assert budget.admit(chunk(1).ref, 301) is None
    assert budget.used_bytes == 200


@pytest.mark.gpu
@pytest.mark.parametrize("storage", ["native", "int8"])
def test_a_chunk_that_left_the_accelerator_comes_back_bit_for_bit(
    tmp_path: Path, storage: Storage
) -> None:
    one = tier_bytes(chunk(0), storage)
    config = CacheConfig(device_bytes=3 * one, host_bytes=3 * one, storage=storage)
    near = LatentCache(DiskTier(tmp_path, PEDIGREE, durable=False), config, torch.device("cuda"))
    for ordinal in range(12):
        near.put(chunk(ordinal), activity=0.0, stats=SampleStats())
    oracle = cache(tmp_path, storage=storage)
    refs = [chunk(ordinal).ref for ordinal in range(12)]
    for recalled, exact in zip(near.recall(refs), oracle.recall(refs), strict=True):
        assert isinstance(recalled.latents, KvLatents)
        assert isinstance(exact.latents, KvLatents)
        assert recalled.latents.keys.is_cuda
        assert torch.equal(recalled.latents.keys.cpu(), exact.latents.keys)
        assert torch.equal(recalled.latents.values.cpu(), exact.latents.values)


def test_a_chunk_counts_with_all_that_it_takes() -> None:
    whole = packed(chunk(0), "native")
    plain = MemoryTier(torch.device("cpu"))
    plain.put(whole)
    arrays = whole.latents.nbytes + whole.frame_vectors.nbytes + whole.pts_s.nbytes
    assert plain.used_bytes == plain.size_of(whole) > arrays


def test_page_locked_memory_counts_in_the_blocks_that_torch_makes() -> None:
    odd = packed(chunk(0, n_latents=33), "native")
    blocks = [1 << (tensor.nbytes - 1).bit_length() for _, tensor in odd.latents.tensors]
    more = MemoryTier(torch.device("cpu"), pinned=True).size_of(odd)
    assert more - MemoryTier(torch.device("cpu")).size_of(odd) == sum(blocks) - odd.latents.nbytes
    assert sum(blocks) > odd.latents.nbytes


def test_tiers_tell_what_they_hold(tmp_path: Path) -> None:
    built = cache(tmp_path, n=3)
    assert built.held_bytes == 3 * tier_bytes(chunk(0), "native")
    built.forget(CAMERA)
    assert built.held_bytes == 0
