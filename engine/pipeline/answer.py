"""Hits to recalled latents to the answer's tokens, and the Answer with its evidence at the end."""

import time
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float32
from torch import Tensor

from engine.pipeline.engine import Engine
from engine.pipeline.evidence import combine, from_attention, from_hits, within_scope
from engine.pipeline.query import parse
from engine.pipeline.retrieve import Retrieved, retrieve
from engine.pipeline.scoring import SUPPORTED
from engine.protocols import Sampling
from engine.records import Answer, AnswerTiming, Evidence, Recall, Scope, Turn
from engine.tensors import Token

PROMPT_TOKENS = 64
"""Room for the chat template around a question: Qwen2's takes 24 tokens."""


def answer(
    engine: Engine,
    question: str,
    *,
    scope: Scope | None = None,
    sampling: Sampling | None = None,
    history: Sequence[Turn] = (),
    recall: Recall | None = None,
) -> Iterator[Token | Answer]:
    """Answer from what is stored: tokens as they come, then the Answer, which is the last.

    Args:
        engine: Whose videos to ask.
        question: One sentence; options may follow it.
        scope: Only these spans of these videos; `None` asks everything.
        sampling: How tokens are drawn; greedy when `None`.
        history: Earlier turns, oldest first.
        recall: How much of the past to recall; `None` decides by the question's wording. When
            it is given, the model answers even where nothing stands out.
    Raises:
        NotFoundError: The scope holds no chunk.
    """
    started = time.perf_counter()
    sampling = sampling or Sampling()
    retrieved = retrieve(
        engine,
        parse(question, history),
        scope=scope,
        recall=recall,
        max_latents=_max_latents(engine, question, sampling, history),
    )
    retrieve_ms = _since_ms(started)
    first_token_ms, texts, masses = None, [], []
    for token in _generate(
        engine, question, retrieved, sampling, history, is_forced=recall is not None
    ):
        first_token_ms = first_token_ms or _since_ms(started)
        texts.append(token.text)
        if token.chunk_mass is not None:
            masses.append(token.chunk_mass)
        yield token
    total_ms = _since_ms(started)
    yield Answer(
        text="".join(texts).strip(),
        evidence=_evidence(engine, retrieved, masses),
        card=engine.model.card,
        timing=AnswerTiming(
            retrieve_ms=retrieve_ms,
            first_token_ms=first_token_ms or total_ms,
            total_ms=total_ms,
        ),
        searched_s=retrieved.searched_s,
        recalled_chunks=len(retrieved.chunks),
        recall=retrieved.recall,
    )


def not_found(searched_s: float) -> str:
    """Return the sentence that answers when nothing supports an answer."""
    return f"Not found in {spell_duration(searched_s)} of video."


def spell_duration(duration_s: float) -> str:
    """Spell a duration in words: "1 hour 5 minutes", "40 seconds"."""
    seconds = round(duration_s)
    if seconds < 60:
        return _count(seconds, "second")
    hours, minutes = divmod(round(seconds / 60), 60)
    parts = [_count(hours, "hour")] if hours else []
    return " ".join([*parts, _count(minutes, "minute")] if minutes or not parts else parts)


def _generate(
    engine: Engine,
    question: str,
    retrieved: Retrieved,
    sampling: Sampling,
    history: Sequence[Turn],
    *,
    is_forced: bool,
) -> Iterator[Token]:
    """Yield the model's tokens; where one thing was asked for and nothing shows it, a sentence."""
    is_supported = any(hit.support >= SUPPORTED for hit in retrieved.hits)
    is_unsupported = not is_supported and retrieved.recall == "top"
    if is_unsupported and not is_forced:
        yield Token(text=not_found(retrieved.searched_s), chunk_mass=None)
        return
    recalled = engine.cache.recall(retrieved.chunks)
    yield from engine.model.generate(question, recalled, sampling, history=history)
    if is_unsupported:
        searched = spell_duration(retrieved.searched_s)
        yield Token(text=f" (Nothing in {searched} of video supports this.)", chunk_mass=None)


def _evidence(
    engine: Engine, retrieved: Retrieved, masses: Sequence[Float32[Tensor, " chunk"]]
) -> tuple[Evidence, ...]:
    mass = torch.stack(list(masses)).mean(dim=0) if masses else None
    by_attention = from_attention(retrieved.chunks, mass)
    by_attention = within_scope(by_attention, retrieved.scope)
    return combine(from_hits(engine, retrieved), by_attention)


def _max_latents(engine: Engine, question: str, sampling: Sampling, history: Sequence[Turn]) -> int:
    """Return how many latents the positions hold beside prompt, history and answer.

    No tokenizer makes more tokens than there are bytes, so this errs on the safe side.
    """
    texts = [question, *(text for turn in history for text in (turn.question, turn.answer))]
    n_text_tokens = sum(len(text.encode()) for text in texts)
    n_reserved = PROMPT_TOKENS * (1 + len(history)) + n_text_tokens + sampling.max_tokens
    return max(1, engine.model.card.max_positions - n_reserved)


def _count(count: int, unit: str) -> str:
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _since_ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000
