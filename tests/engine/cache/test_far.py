"""Chunk files that several machines share: each has folders of its own, one store is behind all."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from engine.cache.disk import DiskTier
from engine.cache.stills import Still, StillStore
from engine.cache.vectors import StillVectors, VectorStore
from engine.errors import (
    AwayLatentsError,
    CorruptLatentsError,
    CorruptStillsError,
    TakenError,
    UnreachableError,
)
from engine.records import Fingerprint, SampleStats, VideoId
from tests.engine.cache.samples import CAMERA, PEDIGREE, chunk
from tests.engine.cache.test_disk import packed
from tests.support.far_files import FarFolder


@dataclass
class Machine:
    home: Path
    far: FarFolder
    tier: DiskTier
    stills: StillStore
    vectors: VectorStore


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], Machine]:
    def make(name: str) -> Machine:
        home = tmp_path / name
        far = FarFolder(home, tmp_path / "far")
        return Machine(
            home=home,
            far=far,
            tier=DiskTier(home / "latents", PEDIGREE, far=far),
            stills=StillStore(home / "stills", far=far),
            vectors=VectorStore(home / "vectors", Fingerprint("eyes"), far=far),
        )

    return make


def write(machine: Machine, ordinal: int, *, n_latents: int = 4) -> None:
    stored = packed(chunk(ordinal, n_latents=n_latents))
    machine.tier.commit(stored, activity=0.5, stats=SampleStats())


def test_what_one_machine_wrote_another_lists_and_recalls(
    machine: Callable[[str], Machine],
) -> None:
    a, b = machine("a"), machine("b")
    write(a, 0)
    write(a, 1)
    assert b.tier.ordinals(CAMERA) == (0, 1)
    assert b.tier.videos() == (CAMERA,)
    assert b.tier.sizes(CAMERA) == a.tier.sizes(CAMERA)
    assert b.tier.committed(CAMERA, 1) == a.tier.committed(CAMERA, 1)
    assert b.far.n_brought == 0, "a header is read without the file"
    recalled = b.tier.get(chunk(1).ref)
    assert recalled is not None
    path = b.tier.path(CAMERA, 1)
    assert path.read_bytes() == a.tier.path(CAMERA, 1).read_bytes()
    assert path.stat().st_mtime_ns == a.tier.path(CAMERA, 1).stat().st_mtime_ns


def test_vectors_are_read_without_the_latents(machine: Callable[[str], Machine]) -> None:
    a, b = machine("a"), machine("b")
    write(a, 0, n_latents=50_000)
    ref, vectors, pts_s = b.tier.frame_vectors(CAMERA, 0)
    assert ref == chunk(0).ref
    assert torch.equal(vectors, a.tier.frame_vectors(CAMERA, 0)[1])
    assert torch.equal(pts_s, a.tier.frame_vectors(CAMERA, 0)[2])
    assert b.far.n_bytes_read < 70_000 < a.tier.path(CAMERA, 0).stat().st_size
    assert not b.tier.path(CAMERA, 0).exists()


def test_the_second_writer_of_a_chunk_takes_the_first_ones(
    machine: Callable[[str], Machine],
) -> None:
    a, b = machine("a"), machine("b")
    write(a, 0)
    with pytest.raises(TakenError, match="another worker has written it first"):
        write(b, 0, n_latents=5)
    assert b.tier.path(CAMERA, 0).read_bytes() == a.tier.path(CAMERA, 0).read_bytes()
    # The same bytes once more are no quarrel.
    write(b, 0)


def test_a_store_that_is_away_loses_nothing_and_denies_nothing(
    machine: Callable[[str], Machine],
) -> None:
    a, b = machine("a"), machine("b")
    write(a, 0)
    b.far.is_away = True
    with pytest.raises(AwayLatentsError, match="it cannot be reached"):
        b.tier.get(chunk(0).ref)
    with pytest.raises(AwayLatentsError):
        b.tier.frame_vectors(CAMERA, 0)
    assert b.tier.ordinals(CAMERA) == (0,)
    with pytest.raises(UnreachableError):
        write(b, 1)
    assert b.tier.path(CAMERA, 1).exists(), "what was computed stays here"
    b.far.is_away = False
    assert b.tier.get(chunk(0).ref) is not None


def test_a_copy_that_is_damaged_here_is_fetched_again(machine: Callable[[str], Machine]) -> None:
    a = machine("a")
    write(a, 0)
    path = a.tier.path(CAMERA, 0)
    whole = path.read_bytes()
    for read in (lambda: a.tier.verify(CAMERA, 0), lambda: a.tier.get(chunk(0).ref)):
        path.write_bytes(whole[:-40] + bytes(40))
        read()
        assert path.read_bytes() == whole
    a.far.damage(path)
    path.unlink()
    with pytest.raises(CorruptLatentsError):
        a.tier.verify(CAMERA, 0)


def test_what_is_removed_is_removed_everywhere(machine: Callable[[str], Machine]) -> None:
    a, b = machine("a"), machine("b")
    for ordinal in range(3):
        write(a, ordinal)
    b.tier.drop(chunk(2).ref)
    assert b.tier.ordinals(CAMERA) == (0, 1)
    b.tier.remove(CAMERA)
    assert b.tier.ordinals(CAMERA) == ()
    assert machine("c").tier.videos() == ()


def test_stills_and_their_vectors_are_shared(machine: Callable[[str], Machine]) -> None:
    a, b = machine("a"), machine("b")
    a.stills.put(CAMERA, 0, [Still(pts_s=1.0, jpeg=b"one")], reading="f00d")
    stored = StillVectors(
        chunk=chunk(0).ref,
        reading="f00d",
        vectors=torch.ones(1, 3),
        pts_s=torch.tensor([1.0], dtype=torch.float64),
    )
    a.vectors.put(stored)
    assert (b.stills.videos(), b.stills.ordinals(CAMERA)) == ((CAMERA,), (0,))
    assert b.stills.at(CAMERA, 1.5).jpeg == b"one"
    assert b.stills.used_bytes() == a.stills.used_bytes()
    held = b.vectors.get(CAMERA, 0)
    assert held is not None
    assert b.vectors.reading(CAMERA, 0) == "f00d"
    b.stills.forget(CAMERA)
    b.vectors.forget(CAMERA)
    c = machine("c")
    assert (c.stills.videos(), c.vectors.videos()) == ((), ())


def test_stills_that_cannot_be_fetched_are_no_stills_that_are_missing(
    machine: Callable[[str], Machine],
) -> None:
    a, b = machine("a"), machine("b")
    a.stills.put(CAMERA, 0, [Still(pts_s=1.0, jpeg=b"one")])
    b.far.is_away = True
    for look in (
        lambda: b.stills.at(CAMERA, 1.0),
        lambda: b.stills.read(CAMERA, 0),
        lambda: b.stills.times(CAMERA),
    ):
        with pytest.raises(UnreachableError, match="it cannot be reached"):
            look()


def test_stills_of_the_store_expire_too(machine: Callable[[str], Machine]) -> None:
    a, b = machine("a"), machine("b")
    a.stills.put(CAMERA, 0, [Still(pts_s=1.0, jpeg=b"one")])
    n_bytes = a.stills.used_bytes()
    assert b.stills.expire(before=datetime.now(UTC), limit_bytes=None) == n_bytes
    assert machine("c").stills.ordinals(CAMERA) == ()


def test_damaged_stills_are_fetched_again(machine: Callable[[str], Machine]) -> None:
    a = machine("a")
    a.stills.put(CAMERA, 0, [Still(pts_s=1.0, jpeg=b"one")])
    path = a.stills.path(CAMERA, 0)
    path.write_bytes(path.read_bytes()[:-1])
    assert a.stills.verify(CAMERA, 0).times_s == (1.0,)
    a.far.damage(path)
    path.write_bytes(b"")
    with pytest.raises(CorruptStillsError):
        a.stills.verify(CAMERA, 0)
    assert a.stills.videos() == (VideoId("camera"),)


def vectors_of(camera: VideoId, ordinal: int = 0) -> StillVectors:
    part = chunk(ordinal)
    return StillVectors(
        chunk=part.ref,
        reading="eyes",
        vectors=torch.eye(4, dtype=torch.float16),
        pts_s=torch.arange(4, dtype=torch.float64),
    )


def test_damaged_vectors_are_fetched_again(machine: Callable[[str], Machine]) -> None:
    a, b = machine("a"), machine("b")
    a.vectors.put(vectors_of(CAMERA))
    assert b.vectors.get(CAMERA, 0) is not None
    b.vectors.path(CAMERA, 0).write_bytes(b"not vectors")
    assert b.vectors.get(CAMERA, 0) is not None
    assert a.vectors.ordinals(CAMERA) == (0,)


def test_a_machine_that_cannot_read_its_copy_takes_it_from_nobody(
    machine: Callable[[str], Machine],
) -> None:
    a, b = machine("a"), machine("b")
    a.vectors.put(vectors_of(CAMERA))
    # A disk in trouble: what has the name is no file that could be opened.
    b.vectors.path(CAMERA, 0).mkdir(parents=True)
    with pytest.raises(UnreachableError, match="cannot be read"):
        b.vectors.get(CAMERA, 0)
    assert a.vectors.get(CAMERA, 0) is not None
    assert machine("c").vectors.get(CAMERA, 0) is not None
