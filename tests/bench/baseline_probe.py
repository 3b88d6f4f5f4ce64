"""Needles and questions for a trained variant, answered from the whole video without retrieval.

Everything is held out: clips, cards, real footage. An answer counts if it is right to the letter.
Videos are compressed by the one-pass form, which is proven equal to streaming.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from engine.errors import NotFoundError
from engine.training.nano.baselines import VARIANT_KINDS, WEIGHTS, BaselinePlan, VariantStage
from engine.training.nano.chunks import Chunk, Facts, draw_chunk, thing_of
from engine.training.nano.frame_bank import CHUNK_FRAMES
from engine.training.nano.questions import QaPair, QuestionSampler
from engine.training.nano.run import open_features

NEEDLE_KINDS = ("colour", "shape", "code")
CHUNKS_PER_PASS = 128
"""Bounds the memory of a pass."""
PAST_CHUNKS = 8
"""How far a chunk looks back; the product's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedleConfig:
    """Where needles are planted."""

    lengths: tuple[int, ...] = (64, 128, 256, 512)
    """Frames of a video, at one a second."""
    depths: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    """Which chunk shows the needle: 0 the first, 1 the last."""
    n_needles: int = 40
    """Cards in a cell, each in a video of its own, each asked for colour, shape and code."""
    needle_frames: int = 1
    """How long a needle is shown: one frame at any place of its chunk, or up to the whole chunk."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.needle_frames <= CHUNK_FRAMES:
            raise ValueError(f"needle_frames must be 1 to {CHUNK_FRAMES}, not {self.needle_frames}")
        if any(length < 1 or length % CHUNK_FRAMES for length in self.lengths):
            raise ValueError(f"lengths must be whole chunks of {CHUNK_FRAMES}, not {self.lengths}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedleCell:
    """One length and one depth."""

    length_frames: int
    depth: float
    n: int
    """Questions."""
    right: int
    right_by_kind: Mapping[str, int]


def open_variant(variant: str, plan: BaselinePlan, nano: Path, output: Path) -> VariantStage:
    """Open a trained variant over the held-out frame bank.

    Raises:
        NotFoundError: It has not been trained to its end.
    """
    weights = output / variant / WEIGHTS
    if not weights.is_file():
        raise NotFoundError(
            f"{output} holds no trained variant {variant!r}",
            hint="resume the recipe nano_baselines and let it finish",
        )
    held_out = open_features(nano, "test")
    tokenizer = Tokenizer.from_file(str(nano / "vocabulary.json"))
    stage = VariantStage(variant, plan.nano, held_out, held_out, tokenizer)
    stage.module.load_state_dict(load_file(weights))
    stage.module.eval()
    return stage


def probe_needles(stage: VariantStage, ratio: int, config: NeedleConfig) -> Iterator[NeedleCell]:
    """Measure cell after cell; every variant and ratio gets the same videos and questions."""
    for length in config.lengths:
        for depth in config.depths:
            rng = np.random.default_rng([config.seed, 61, length])
            videos, questions = [], []
            for _ in range(config.n_needles):
                video, pairs = _planted(rng, stage.held_out.facts, length, depth, config)
                videos.append(video)
                questions.append(pairs)
            flags = _answer_all(stage, rng, videos, questions, ratio)
            right = [sum(row[idx] for row in flags) for idx in range(len(NEEDLE_KINDS))]
            yield NeedleCell(
                length_frames=length,
                depth=depth,
                n=len(NEEDLE_KINDS) * len(videos),
                right=sum(right),
                right_by_kind=dict(zip(NEEDLE_KINDS, right, strict=True)),
            )


def probe_kinds(
    stage: VariantStage, ratio: int, *, length_frames: int = 64, n_videos: int = 60, seed: int = 0
) -> dict[str, tuple[int, int]]:
    """Count right answers and questions by kind over videos with cards, actors and footage."""
    rng = np.random.default_rng([seed, 62, length_frames])
    facts = stage.held_out.facts
    videos, questions = [], []
    for _ in range(n_videos):
        chunks = [
            draw_chunk(rng, facts, real=0.5, cards=0.8)
            for _ in range(length_frames // CHUNK_FRAMES)
        ]
        sampler = QuestionSampler(rng, chunks, held_out=True)
        pairs = [pair for kind in VARIANT_KINDS for pair in sampler.ask(2, {kind: 1.0})
                 if pair.kind == kind]  # fmt: skip
        videos.append(chunks)
        questions.append(pairs)
    counts: dict[str, tuple[int, int]] = {}
    flags = _answer_all(stage, rng, videos, questions, ratio)
    for pairs, row in zip(questions, flags, strict=True):
        for pair, is_right in zip(pairs, row, strict=True):
            right, n = counts.get(pair.kind, (0, 0))
            counts[pair.kind] = (right + is_right, n + 1)
    return counts


def _planted(
    rng: np.random.Generator, facts: Facts, length: int, depth: float, config: NeedleConfig
) -> tuple[list[Chunk], list[QaPair]]:
    """Draw a video with one card, the needle, and the questions about it."""
    n_chunks = length // CHUNK_FRAMES
    video = [draw_chunk(rng, facts, real=0.5, cards=0.0) for _ in range(n_chunks)]
    card = int(rng.integers(len(facts.cards)))
    start = int(rng.integers(CHUNK_FRAMES - config.needle_frames + 1))
    position = round(depth * (n_chunks - 1))
    needle = Chunk(video[position].clip, ((card, start, config.needle_frames),),
                   (thing_of(facts.cards[card], start),))  # fmt: skip
    video[position] = needle
    sampler = QuestionSampler(rng, [needle], is_canonical=True)
    return video, [pair for kind in NEEDLE_KINDS for pair in sampler.ask(1, {kind: 1.0})]


@torch.no_grad()
def _answer_all(
    stage: VariantStage,
    rng: np.random.Generator,
    videos: Sequence[Sequence[Chunk]],
    questions: Sequence[Sequence[QaPair]],
    ratio: int,
) -> list[list[bool]]:
    videos_per_pass = max(1, CHUNKS_PER_PASS // len(videos[0]))
    flags: list[list[bool]] = []
    for start in range(0, len(videos), videos_per_pass):
        batch = slice(start, start + videos_per_pass)
        with torch.autocast("cpu", torch.bfloat16):
            flags += stage.answer_whole_videos(
                rng, videos[batch], questions[batch], ratio=ratio, past=PAST_CHUNKS
            )
    return flags
