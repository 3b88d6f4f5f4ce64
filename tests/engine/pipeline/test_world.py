"""Footage of a model's narrow world, told from other footage: many videos as one by one."""

import torch
from torch.nn.functional import normalize

from engine.index.segments import SegmentedIndex
from engine.pipeline.world import ModelWorld, evenly_spaced, is_of_world, videos_of_world
from engine.records import ChunkRef, TimeSpan, VideoId

DIM, FRAMES, CHUNKS = 8, 5, 40
WORLD = ModelWorld(sentence="", phrases=("a", "b"), least_cosine=0.8)


def chunk_of(video: str, ordinal: int) -> ChunkRef:
    span = TimeSpan(start_s=float(FRAMES * ordinal), end_s=float(FRAMES * (ordinal + 1)))
    return ChunkRef(video=VideoId(video), ordinal=ordinal, span=span)


def test_many_videos_are_told_as_each_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    phrases = normalize(torch.randn(2, DIM, generator=generator), dim=1)
    index = SegmentedIndex(DIM)
    shares = {"drawn": 0.1, "mixed": 0.9, "strange": 5.0}
    footage = {}
    for video, noise in shares.items():
        frames = phrases[torch.arange(CHUNKS * FRAMES) % 2]
        frames = normalize(frames + noise * torch.randn(frames.shape, generator=generator), dim=1)
        footage[video] = frames.view(CHUNKS, FRAMES, DIM)
        for ordinal in range(CHUNKS):
            ref = chunk_of(video, ordinal)
            pts_s = ref.span.start_s + torch.arange(FRAMES, dtype=torch.float64)
            index.add([(ref, footage[video][ordinal], pts_s)])
    verdicts = videos_of_world(WORLD, phrases, index, [*map(VideoId, shares), VideoId("unread")])
    alone = {
        video: is_of_world(
            WORLD, phrases, [frames[idx] for idx in evenly_spaced(range(CHUNKS), 12)]
        )
        for video, frames in footage.items()
    }
    assert verdicts == alone
    assert alone["drawn"]
    assert not alone["strange"]
