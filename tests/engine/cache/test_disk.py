"""Files of chunks: self-describing, whole or absent, and honest about damage."""

import os
import resource
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.cache.codec import pack
from engine.cache.disk import DiskTier
from engine.errors import CorruptLatentsError, DiskFullError, LimitExceededError
from engine.records import ChunkCommitted, Fingerprint, SampleStats, VideoId
from engine.tensors import ChunkLatents, PackedChunk
from tests.engine.cache.samples import CAMERA, PEDIGREE, chunk


def packed(whole: ChunkLatents) -> PackedChunk:
    return PackedChunk(
        ref=whole.ref,
        latents=pack(whole.latents, "native"),
        frame_vectors=whole.frame_vectors,
        pts_s=whole.pts_s,
    )


def commit(tier: DiskTier, ordinal: int, video: VideoId = CAMERA) -> ChunkCommitted:
    stats = SampleStats(frames_sampled=4 * (ordinal + 1))
    return tier.commit(packed(chunk(ordinal, video)), activity=0.25, stats=stats)


def test_a_row_can_be_rebuilt_from_the_file_alone(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path, PEDIGREE)
    said = commit(tier, 7)
    again = DiskTier(tmp_path, PEDIGREE).committed(CAMERA, 7)
    assert again == said
    assert (said.activity, said.n_frames, said.n_latents) == (0.25, 4, 4)
    assert said.file_bytes == tier.path(CAMERA, 7).stat().st_size


def test_reading_a_record_lists_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A day has thousands of chunks, whose folder would be listed once for each.
    tier = DiskTier(tmp_path, PEDIGREE)
    commit(tier, 0)
    listed: list[object] = []
    scandir, listdir = os.scandir, os.listdir
    monkeypatch.setattr(os, "scandir", lambda path: (listed.append(path), scandir(path))[1])
    monkeypatch.setattr(os, "listdir", lambda path: (listed.append(path), listdir(path))[1])
    assert tier.committed(CAMERA, 0).ref.ordinal == 0
    assert listed == []


def test_the_same_chunk_always_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = DiskTier(tmp_path / "one", PEDIGREE), DiskTier(tmp_path / "other", PEDIGREE)
    for ordinal in range(5):
        commit(one, ordinal)
        commit(other, ordinal)
        path = one.path(CAMERA, ordinal)
        assert path.read_bytes() == other.path(CAMERA, ordinal).read_bytes()


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path, PEDIGREE)
    ref = commit(tier, 0).ref
    path = tier.path(CAMERA, 0)
    whole = path.read_bytes()
    for place in range(0, len(whole), 61):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with pytest.raises(CorruptLatentsError) as failure:
            tier.get(ref)
        assert failure.value.path == str(path)


@pytest.mark.parametrize("kept_bytes", [0, 5, 300, -1])
def test_a_cut_file_is_corrupt(tmp_path: Path, kept_bytes: int) -> None:
    tier = DiskTier(tmp_path, PEDIGREE)
    ref = commit(tier, 0).ref
    path = tier.path(CAMERA, 0)
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(CorruptLatentsError):
        tier.get(ref)


def test_latents_of_another_pipeline_are_refused(tmp_path: Path) -> None:
    commit(DiskTier(tmp_path, PEDIGREE), 0)
    (tmp_path / "f00d").rename(tmp_path / "beef")
    other = replace(PEDIGREE, fingerprint=Fingerprint("beef"))
    with pytest.raises(CorruptLatentsError, match="pipeline f00d"):
        DiskTier(tmp_path, other).committed(CAMERA, 0)


def test_a_video_of_another_pipeline_of_the_same_model_is_adopted(tmp_path: Path) -> None:
    denser = replace(PEDIGREE, fingerprint=Fingerprint("beef"))
    commit(DiskTier(tmp_path, denser), 0)
    tier = DiskTier(tmp_path, PEDIGREE)
    assert tier.ordinals(CAMERA) == ()
    assert tier.attach(CAMERA, denser.fingerprint)
    assert tier.committed(CAMERA, 0).fingerprint == "beef"


def test_a_video_of_another_model_is_not(tmp_path: Path) -> None:
    foreign = replace(PEDIGREE, fingerprint=Fingerprint("beef"), model=Fingerprint("c0ffee"))
    commit(DiskTier(tmp_path, foreign), 0)
    tier = DiskTier(tmp_path, PEDIGREE)
    assert not tier.attach(CAMERA, foreign.fingerprint)
    assert tier.videos() == ()


def test_vectors_are_read_without_the_latents(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path, PEDIGREE)
    commit(tier, 0)
    ref, vectors, pts_s = tier.frame_vectors(CAMERA, 0)
    assert ref == chunk(0).ref
    assert torch.equal(vectors, chunk(0).frame_vectors)
    assert torch.equal(pts_s, chunk(0).pts_s)


def test_a_full_disk_loses_nothing_that_was_there(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path, PEDIGREE)
    committed = commit(tier, 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (committed.file_bytes - 100, hard))
    try:
        with pytest.raises(DiskFullError, match="no space left"):
            commit(tier, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert tier.committed(CAMERA, 0) == committed
    assert os.listdir(tier.path(CAMERA, 0).parent) == ["00000000.safetensors"]
    commit(tier, 1)


def test_the_limit_of_the_tier_is_kept(tmp_path: Path) -> None:
    one = commit(DiskTier(tmp_path / "measure", PEDIGREE), 0).file_bytes
    tier = DiskTier(tmp_path / "limited", PEDIGREE, limit_bytes=2 * one + 50)
    commit(tier, 0)
    commit(tier, 1)
    with pytest.raises(LimitExceededError, match="latents on disk"):
        commit(tier, 2)
    tier.drop(chunk(0).ref)
    commit(tier, 2)


def test_a_removed_video_leaves_nothing(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path, PEDIGREE)
    commit(tier, 0)
    commit(tier, 0, VideoId("other"))
    tier.remove(CAMERA)
    assert tier.videos() == (VideoId("other"),)
    assert tier.ordinals(CAMERA) == ()
    assert len(list(tier.folder.iterdir())) == 1


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x" * 200, "a\x00b"])
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="video id"):
        DiskTier(tmp_path, PEDIGREE).path(VideoId(name), 0)
