"""Puts needles and questions to a trained arm: answers from the full memory, without retrieval.

Everything is held out: clips, cards, real footage. An answer counts if it is right to the letter.
The memory is folded by the one-pass form, which is proven equal to streaming.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from engine.training.nano.baselines import KINDS, ArmStage
from engine.training.nano.chunks import Chunk, Facts, draw_chunk, thing_of
from engine.training.nano.frame_bank import CHUNK_FRAMES
from engine.training.nano.questions import QaPair, QuestionSampler

NEEDLE_KINDS = ("colour", "shape", "code")
CHUNKS_A_PASS = 128
"""Bounds the memory of a pass."""


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


def probe_needles(stage: ArmStage, ratio: int, config: NeedleConfig) -> Iterator[NeedleCell]:
    """Cell after cell; every arm and ratio gets the same videos, needles and questions."""
    for length in config.lengths:
        for depth in config.depths:
            rng = np.random.default_rng([config.seed, 61, length])
            videos, quizzes = [], []
            for _ in range(config.n_needles):
                video, quiz = _planted(rng, stage.held_out.facts, length, depth, config)
                videos.append(video)
                quizzes.append(quiz)
            found = _ask_all(stage, rng, videos, quizzes, ratio)
            hits = [sum(fine[at] for fine in found) for at in range(len(NEEDLE_KINDS))]
            yield NeedleCell(
                length_frames=length,
                depth=depth,
                n=len(NEEDLE_KINDS) * len(videos),
                right=sum(hits),
                right_by_kind=dict(zip(NEEDLE_KINDS, hits, strict=True)),
            )


def probe_kinds(
    stage: ArmStage, ratio: int, *, length_frames: int = 64, n_videos: int = 60, seed: int = 0
) -> dict[str, tuple[int, int]]:
    """Right answers and questions of every kind about videos with cards, actors and footage."""
    rng = np.random.default_rng([seed, 62, length_frames])
    facts = stage.held_out.facts
    videos, quizzes = [], []
    for _ in range(n_videos):
        chunks = [
            draw_chunk(rng, facts, real=0.5, cards=0.8)
            for _ in range(length_frames // CHUNK_FRAMES)
        ]
        quiz = QuestionSampler(rng, chunks, held_out=True)
        asked = [each for kind in KINDS for each in quiz.ask(2, {kind: 1.0})
                 if each.kind == kind]  # fmt: skip
        videos.append(chunks)
        quizzes.append(asked)
    hits: dict[str, tuple[int, int]] = {}
    found = _ask_all(stage, rng, videos, quizzes, ratio)
    for asked, fine in zip(quizzes, found, strict=True):
        for each, is_right in zip(asked, fine, strict=True):
            right, n = hits.get(each.kind, (0, 0))
            hits[each.kind] = (right + is_right, n + 1)
    return hits


def _planted(
    rng: np.random.Generator, facts: Facts, length: int, depth: float, config: NeedleConfig
) -> tuple[list[Chunk], list[QaPair]]:
    """A video without any other card, and what is asked about its needle."""
    n_chunks = length // CHUNK_FRAMES
    video = [draw_chunk(rng, facts, real=0.5, cards=0.0) for _ in range(n_chunks)]
    card = int(rng.integers(len(facts.cards)))
    start = int(rng.integers(CHUNK_FRAMES - config.needle_frames + 1))
    at = round(depth * (n_chunks - 1))
    needle = Chunk(video[at].clip, ((card, start, config.needle_frames),),
                   (thing_of(facts.cards[card], start),))  # fmt: skip
    video[at] = needle
    quiz = QuestionSampler(rng, [needle], is_canonical=True)
    return video, [each for kind in NEEDLE_KINDS for each in quiz.ask(1, {kind: 1.0})]


@torch.no_grad()
def _ask_all(
    stage: ArmStage,
    rng: np.random.Generator,
    videos: list[list[Chunk]],
    quizzes: list[list[QaPair]],
    ratio: int,
) -> list[list[bool]]:
    at_once = max(1, CHUNKS_A_PASS // len(videos[0]))
    found: list[list[bool]] = []
    for start in range(0, len(videos), at_once):
        some = slice(start, start + at_once)
        with torch.autocast("cpu", torch.bfloat16):
            found += stage.ask(rng, videos[some], quizzes[some], ratio)
    return found
