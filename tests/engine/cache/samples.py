"""Chunks with seeded contents."""

import torch

from engine.cache.latent_file import PipelineInfo
from engine.records import ChunkRef, Fingerprint, TimeSpan, VideoId
from engine.tensors import ChunkLatents, KvLatents

CAMERA = VideoId("camera")
PEDIGREE = PipelineInfo(
    fingerprint=Fingerprint("f00d"),
    model=Fingerprint("c0102"),
    family="colour",
    variant="tiny",
    compression_ratio=2,
)


def chunk(ordinal: int, video: VideoId = CAMERA, *, n_latents: int = 4) -> ChunkLatents:
    generator = torch.Generator().manual_seed(1000 * len(video) + ordinal)
    start_s = 4.0 * ordinal
    return ChunkLatents(
        ref=ChunkRef(
            video=video, ordinal=ordinal, span=TimeSpan(start_s=start_s, end_s=start_s + 4.0)
        ),
        latents=KvLatents(
            keys=torch.randn(2, 2, n_latents, 8, generator=generator),
            values=torch.randn(2, 2, n_latents, 8, generator=generator),
        ),
        frame_vectors=torch.randn(4, 6, generator=generator),
        pts_s=start_s + torch.arange(4, dtype=torch.float64),
    )
