"""Latents of one model stay readable when the sampling changes."""

from pathlib import Path

import torch

from engine.cache.codec import pack
from engine.cache.disk import DiskTier
from engine.cache.latent_file import PipelineInfo
from engine.records import ChunkRef, Fingerprint, SampleStats, TimeSpan, VideoId
from engine.tensors import PackedChunk, TokenLatents

VIDEO = VideoId("door")


def open_tier(root: Path, pipeline: str, model: str) -> DiskTier:
    pedigree = PipelineInfo(
        fingerprint=Fingerprint(pipeline),
        model=Fingerprint(model),
        family="fake",
        variant="tiny",
        compression_ratio=4,
    )
    return DiskTier(root, pedigree, durable=False)


def store(tier: DiskTier) -> ChunkRef:
    ref = ChunkRef(video=VIDEO, ordinal=0, span=TimeSpan(start_s=0.0, end_s=4.0))
    chunk = PackedChunk(
        ref=ref,
        latents=pack(TokenLatents(embeddings=torch.ones(2, 3)), "native"),
        frame_vectors=torch.ones(4, 8),
        pts_s=torch.arange(4, dtype=torch.float64),
    )
    tier.commit(chunk, activity=0.0, stats=SampleStats())
    return ref


def test_other_pipeline_of_the_same_model_is_read_where_it_lies(tmp_path: Path) -> None:
    ref = store(open_tier(tmp_path, "one-fps", "model"))
    tier = open_tier(tmp_path, "two-fps", "model")
    assert tier.get(ref) is None
    assert tier.attach(VIDEO, Fingerprint("one-fps"))
    assert tier.get(ref) is not None
    assert tier.videos() == (VIDEO,)


def test_latents_of_another_model_are_not_adopted(tmp_path: Path) -> None:
    ref = store(open_tier(tmp_path, "one-fps", "other model"))
    tier = open_tier(tmp_path, "two-fps", "model")
    assert not tier.attach(VIDEO, Fingerprint("one-fps"))
    assert tier.get(ref) is None


def test_forgetting_an_adopted_video_deletes_its_files(tmp_path: Path) -> None:
    written = open_tier(tmp_path, "one-fps", "model")
    store(written)
    tier = open_tier(tmp_path, "two-fps", "model")
    tier.attach(VIDEO, Fingerprint("one-fps"))
    tier.remove(VIDEO)
    assert written.ordinals(VIDEO) == ()
