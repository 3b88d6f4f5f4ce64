"""Memory persistence: how long a fact stays answerable, and where its moment is still found.

Facts are shown once in one long stream, each so many seconds before its end, and asked about when
it has ended. The same stream is remembered in several ways at equal bytes (`memories`). The
haystack's frames go through the towers once and repeat; a stream is never held in memory.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from engine.evaluation.levels import Attempt
from engine.evaluation.memories import (
    Memory,
    MemoryPlan,
    block_frames,
    plan_memory,
    remembered,
)
from engine.evaluation.metrics import best_iou, is_referenced, recall_at
from engine.evaluation.needle import ANSWER_TOKENS, Haystack
from engine.evaluation.scratch_engine import scratch_engine
from engine.media.frame import Frame
from engine.pipeline.answer import answer
from engine.pipeline.encode import encode_frames
from engine.pipeline.engine import Engine
from engine.pipeline.ingest import ingest_encoded
from engine.pipeline.resume import resume_point
from engine.protocols import Sampling
from engine.records import ALL_TIME, Answer, Recall, Scope, TimeSpan, VideoId
from engine.synthetic.facts import ANSWER, Fact, draw_facts, draw_picture
from engine.synthetic.questions import is_right
from engine.tensors import VisualTokens

REF_GRAINS_S: Final = (10, 60, 300)
"""Seconds of Ref@N."""
SPACING_CHUNKS: Final = 4
"""Chunks from one card to the next of the same age: none helps to find another."""
_VIDEO: Final = VideoId("stream")


@dataclass(frozen=True, slots=True, kw_only=True)
class PersistenceConfig:
    """The stream, its facts, and the ways to remember it."""

    ages_s: tuple[float, ...]
    """Seconds between a fact and the question about it."""
    facts: int = 6
    """Facts of each age."""
    hops: int = 1
    shown_frames: int = 1
    """Sampled frames that show a card."""
    memories: tuple[Memory, ...] = ("summary",)
    ratio: int | None = None
    """Of the summary; the model's when `None`."""
    recall: Recall = "top"
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.ages_s or min(self.ages_s) <= 0:
            raise ValueError(f"ages must be positive seconds, not {self.ages_s}")
        if self.facts < 1 or self.shown_frames < 1:
            raise ValueError("facts and shown_frames must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class FactResult:
    """One fact, asked when the stream had ended."""

    memory: Memory
    age_s: float
    fact: int
    """Number of the fact, the same in every memory."""
    question: str
    wanted: str
    answer: str
    attempt: Attempt
    tiou: float
    """Mean over the steps of the best IoU of shown evidence with the card's moment."""
    references: Mapping[int, bool]
    """Whether every card's moment lies within so many seconds of shown evidence."""
    kept_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planted:
    """A fact in the stream."""

    number: int
    fact: Fact
    age_s: float
    moments: tuple[TimeSpan, ...]
    """Of its cards."""


def measure_persistence(
    engine: Engine,
    hay: Haystack,
    config: PersistenceConfig,
    folder: Path,
    *,
    known: frozenset[tuple[Memory, int]] = frozenset(),
) -> Iterator[FactResult]:
    """Ask every fact of every memory; an interrupted run goes on with the same folder.

    Args:
        engine: Whose model and settings to measure; its library stays untouched.
        hay: Frames that repeat behind one another; none of them may show a card.
        config: What is planted, kept and asked.
        folder: Takes the latents of each memory, and keeps them between runs.
        known: Memories and facts that an earlier run has measured.
    Cost: each memory folds its stream once; the questions are small beside that.
    """
    planted, frames_of, n_frames = _plant(engine, hay, config)
    ratio = config.ratio or engine.compression_ratio
    for memory in config.memories:
        if all((memory, fact.number) in known for fact in planted):
            continue
        plan = plan_memory(memory, engine.model.card, n_frames, ratio=ratio)
        home = folder / memory
        home.mkdir(parents=True, exist_ok=True)
        scratch = scratch_engine(engine, home, compression_ratio=plan.ratio)
        _ingest(scratch, plan, hay, frames_of, n_frames)
        for fact in planted:
            if (memory, fact.number) not in known:
                yield _ask(scratch, plan, fact, config)


def stream_frames(config: PersistenceConfig, hay_fps: float, chunk_frames: int) -> int:
    """Return how many frames the stream of a measurement has."""
    step = SPACING_CHUNKS * chunk_frames
    # The cards of the oldest fact stand before its age, never after.
    return round(max(config.ages_s) * hay_fps) + 3 * config.facts * step + chunk_frames


def _plant(
    engine: Engine, hay: Haystack, config: PersistenceConfig
) -> tuple[tuple[_Planted, ...], Mapping[int, VisualTokens], int]:
    """Return the facts with their moments, the frames that show them, and the stream's length."""
    size, fps = engine.model.card.chunk_frames, hay.fps
    n_frames = stream_frames(config, fps, size)
    facts = draw_facts(config.facts * len(config.ages_s), hops=config.hops, seed=config.seed)
    rng = np.random.default_rng([config.seed, 17])
    frames_of: dict[int, VisualTokens] = {}
    planted = []
    for number, fact in enumerate(facts):
        age_s = config.ages_s[number % len(config.ages_s)]
        place = number // len(config.ages_s)
        moments = []
        for card_idx, card in enumerate(fact.cards):
            back = (place * len(fact.cards) + card_idx) * SPACING_CHUNKS * size
            first = n_frames - 1 - round(age_s * fps) - back
            # By lot within a chunk: what is thinned must not hit every fact, or miss every one.
            first = max(0, first - int(rng.integers(size)))
            picture = draw_picture(card, config.seed * 1000 + number * 10 + card_idx)
            shown = encode_frames(engine.model, [Frame(pixels=picture, pts_s=0.0)])
            for idx in range(first, min(first + config.shown_frames, n_frames)):
                frames_of[idx] = shown
            end_s = (first + config.shown_frames) / fps
            moments.append(TimeSpan(start_s=first / fps, end_s=end_s))
        planted.append(_Planted(number=number, fact=fact, age_s=age_s, moments=tuple(moments)))
    return tuple(planted), frames_of, n_frames


def _ingest(
    engine: Engine,
    plan: MemoryPlan,
    hay: Haystack,
    frames_of: Mapping[int, VisualTokens],
    n_frames: int,
) -> None:
    """Fold what a memory keeps, behind the chunks that an earlier run has kept."""
    card = engine.model.card
    size = block_frames(plan, card)
    point = resume_point(engine, _VIDEO)
    starts = range(plan.first_frame, n_frames, size)[point.ordinal :]
    blocks = (_stretch(hay, frames_of, start, min(start + size, n_frames)) for start in starts)
    for _ in ingest_encoded(engine, _VIDEO, remembered(plan, blocks, hay.fps), resume=point):
        pass
    engine.save_index()


def _stretch(
    hay: Haystack, frames_of: Mapping[int, VisualTokens], start: int, end: int
) -> VisualTokens:
    """Return frames of the stream: the haystack's, repeated, but for those that show a card."""
    order = torch.arange(start, end) % hay.n_frames
    embeddings, vectors = hay.tokens.embeddings[order], hay.tokens.frame_vectors[order]
    for idx in range(start, end):
        if idx in frames_of:
            embeddings[idx - start] = frames_of[idx].embeddings[0]
            vectors[idx - start] = frames_of[idx].frame_vectors[0]
    pts_s = torch.arange(start, end, dtype=torch.float64) / hay.fps
    return VisualTokens(embeddings=embeddings, frame_vectors=vectors, pts_s=pts_s)


def _ask(
    engine: Engine, plan: MemoryPlan, planted: _Planted, config: PersistenceConfig
) -> FactResult:
    """Ask a fact's questions in turn, each with the answer to the one before in it."""
    everything: Scope = ((_VIDEO, ALL_TIME),)
    replies: list[Answer] = []
    questions: list[str] = []
    for step in planted.fact.steps:
        reply_before = _word(replies[-1].text) if replies else ""
        questions.append(step.question.replace(ANSWER, reply_before))
        replies.append(_reply(engine, questions[-1], everything, config.recall))
    moments = [planted.moments[step.card_idx] for step in planted.fact.steps]
    spans = [[evidence.span for evidence in reply.evidence] for reply in replies]
    steps = planted.fact.steps
    is_answered = is_right(replies[-1].text, steps[-1].answer, ())
    shown = [recall_at(own, [moment], 1) > 0 for own, moment in zip(spans, moments, strict=True)]
    every_span = [span for own in spans for span in own]
    return FactResult(
        memory=plan.memory,
        age_s=planted.age_s,
        fact=planted.number,
        question=" | ".join(questions),
        wanted=steps[-1].answer,
        answer=" | ".join(reply.text for reply in replies),
        attempt=Attempt(
            told_when=_told_when(engine, planted, config),
            is_right=is_answered,
            shows_moment=all(shown),
        ),
        tiou=sum(map(best_iou, spans, moments)) / len(moments),
        references={
            grain_s: is_referenced(every_span, moments, grain_s) for grain_s in REF_GRAINS_S
        },
        kept_bytes=plan.kept_bytes,
    )


def _told_when(engine: Engine, planted: _Planted, config: PersistenceConfig) -> bool:
    """Return whether the last question is answered from its card's moment alone."""
    last = planted.fact.steps[-1]
    before = planted.fact.steps[-2].answer if len(planted.fact.steps) > 1 else ""
    scope: Scope = ((_VIDEO, planted.moments[last.card_idx]),)
    if not engine.index.refs(scope):
        return False
    reply = _reply(engine, last.question.replace(ANSWER, before), scope, config.recall)
    return is_right(reply.text, last.answer, ())


def _reply(engine: Engine, question: str, scope: Scope, recall: Recall) -> Answer:
    *_, final = answer(
        engine,
        question,
        scope=scope,
        sampling=Sampling(max_tokens=ANSWER_TOKENS),
        recall=recall,
        with_remark=False,
    )
    assert isinstance(final, Answer)
    return final


def _word(reply: str) -> str:
    """Return what a short answer says, as it goes into the next question."""
    return re.sub(r"^(?:an?|the)\s+", "", reply.strip().rstrip(".").lower())
