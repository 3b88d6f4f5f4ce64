"""What a power cut or a full disk may not take: committed chunks, and what memory says of them."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from engine.cache.budget import Budget, CacheConfig
from engine.cache.disk import DiskTier
from engine.cache.tiered import LatentCache
from engine.errors import CorruptLatentsError, DiskFullError
from engine.records import SampleStats
from tests.engine.cache.samples import CAMERA, PEDIGREE, chunk
from tests.support.disk_log import record_disk


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow past 100 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def put(cache: LatentCache, ordinal: int, *, n_latents: int = 4) -> None:
    cache.put(chunk(ordinal, n_latents=n_latents), activity=0.0, stats=SampleStats())


def test_chunk_is_flushed_before_it_gets_its_name_and_its_folders_after(tmp_path: Path) -> None:
    cache = LatentCache(DiskTier(tmp_path, PEDIGREE), CacheConfig(), torch.device("cpu"))
    with record_disk(tmp_path) as log:
        put(cache, 0)
    # Folders first: root/<fingerprint>/<video>, each new name in the folder above it.
    assert log.entries[:2] == [
        ("fsync", f"{tmp_path.name}/"),
        ("fsync", f"{PEDIGREE.fingerprint}/"),
    ]
    flush, rename, folder = log.entries[2:]
    verb, temporary, name = rename
    assert (verb, name) == ("rename", "00000000.safetensors")
    assert flush == ("fsync", temporary)
    assert folder == ("fsync", f"{CAMERA}/")


def test_cache_that_may_be_lost_waits_for_no_disk(tmp_path: Path) -> None:
    disk = DiskTier(tmp_path, PEDIGREE, durable=False)
    with record_disk(tmp_path) as log:
        put(LatentCache(disk, CacheConfig(), torch.device("cpu")), 0)
    assert [verb for verb, *_ in log.entries] == ["rename"]


def test_full_disk_leaves_the_chunk_that_was_to_be_written_again(tmp_path: Path) -> None:
    cache = LatentCache(DiskTier(tmp_path, PEDIGREE), CacheConfig(), torch.device("cpu"))
    put(cache, 0)
    (file,) = tmp_path.rglob("*.safetensors")
    before = file.read_bytes()
    with full_disk(), pytest.raises(DiskFullError):
        put(cache, 0, n_latents=8)
    assert file.read_bytes() == before
    assert [*file.parent.iterdir()] == [file]


def test_chunk_that_did_not_reach_the_disk_is_not_recalled_from_memory(tmp_path: Path) -> None:
    cache = LatentCache(DiskTier(tmp_path, PEDIGREE), CacheConfig(), torch.device("cpu"))
    with full_disk(), pytest.raises(DiskFullError):
        put(cache, 0)
    with pytest.raises(CorruptLatentsError, match="the file is missing"):
        cache.recall([chunk(0).ref])


def test_chunk_admitted_twice_counts_once() -> None:
    budget = Budget(300)
    for _ in range(20):
        assert budget.admit(chunk(0).ref, 30) == ()
    assert budget.used_bytes == 30
    assert budget.admit(chunk(1).ref, 300) == (chunk(0).ref,)


def test_chunk_put_again_and_again_leaves_room_for_a_larger_one(tmp_path: Path) -> None:
    config = CacheConfig(host_bytes=24_000)
    disk = DiskTier(tmp_path, PEDIGREE, durable=False)
    cache = LatentCache(disk, config, torch.device("cpu"))
    for _ in range(20):
        put(cache, 0)
    put(cache, 1, n_latents=32)
    recalled = cache.recall([chunk(0).ref, chunk(1).ref])
    assert [kept.latents.n_latents for kept in recalled] == [4, 32]
