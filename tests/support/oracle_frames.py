"""Families whose frames stand among times, against transformers' implementations of them."""

import random
from collections.abc import Mapping
from typing import Any

import torch

from engine.models.frame_model import FrameModel
from engine.protocols import Sampling
from engine.records import ChunkRef, TimeSpan, Turn, VideoId
from engine.tensors import ChunkLatents, FrameBatch

FRAMES = [8, 3]
"""A full chunk and a short last one, whose last frame has no second one beside it."""


def pictures(seed: int, n: int) -> torch.Tensor:
    """Noise in one of several aspects."""
    generator = torch.Generator().manual_seed(seed)
    height, width = random.Random(seed).choice([(36, 60), (60, 36), (24, 24), (31, 77)])
    return torch.randint(0, 256, (n, 3, height, width), dtype=torch.uint8, generator=generator)


def chunks_of(model: FrameModel, pixels: torch.Tensor, step_s: float) -> list[ChunkLatents]:
    """Chunks of `FRAMES` frames each, so many seconds apart."""
    recalled, first = list[ChunkLatents](), 0
    for ordinal, n in enumerate(FRAMES):
        pts_s = torch.arange(first, first + n, dtype=torch.float64) * step_s
        tokens = model.encode(FrameBatch(pixels=pixels[first : first + n], pts_s=pts_s))
        span = TimeSpan(start_s=float(pts_s[0]), end_s=float(pts_s[-1]) + step_s)
        recalled.append(
            ChunkLatents(
                ref=ChunkRef(video=VideoId("v"), ordinal=ordinal, span=span),
                latents=model.compress(tokens, model.open_stream()),
                frame_vectors=tokens.frame_vectors,
                pts_s=pts_s,
            )
        )
        first += n
    return recalled


def placeholders(
    model: FrameModel, visual_id: int, question: str, recalled: list[ChunkLatents], *turns: Turn
) -> list[int]:
    """Ids of our prompt, with theirs in the place of visual tokens."""
    prompt = model.prompt(question, recalled, turns)
    ids = list(prompt.before)
    sizes = [
        chunk.latents.n_latents // model.parts_of(chunk)
        for chunk in recalled
        for _ in range(model.parts_of(chunk))
    ]
    for label, size in zip(prompt.labels, sizes, strict=True):
        ids += [*label, *[visual_id] * size]
    return ids + list(prompt.after)


def assert_same_answer(
    theirs: Any, ours: FrameModel, batch: Mapping[str, Any], question: str, recalled: Any
) -> None:
    """Compare what both say, greedily."""
    # A random config of theirs would end at an id that is a letter here.
    ends = {"eos_token_id": sorted(ours._stop), "pad_token_id": 256}
    steps = theirs.generate(**batch, **ends, max_new_tokens=6, do_sample=False)
    answer = ours.tokenizer.decode(steps[0, batch["input_ids"].shape[1] :].tolist())
    tokens = ours.generate(question, recalled, Sampling(max_tokens=6))
    said = "".join(token.text for token in tokens)
    # A letter that is not whole when the answer ends is left out.
    assert said == answer or said == answer.rstrip("\ufffd")
