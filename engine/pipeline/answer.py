"""Hits to recalled latents to the answer's tokens, and the Answer with its evidence at the end."""

import time
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float32
from torch import Tensor

from engine.pipeline.engine import Engine
from engine.pipeline.evidence import combined, from_attention, from_hits
from engine.pipeline.query import in_context, spell_duration
from engine.pipeline.retrieve import Retrieved, Scope, retrieve
from engine.protocols import Sampling
from engine.records import Answer, AnswerTiming, Evidence, Recall, Turn
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
        question,
        about=in_context(question, history),
        scope=scope,
        recall=recall,
        most_latents=_room(engine, question, sampling, history),
    )
    retrieve_ms = _since_ms(started)
    first_token_ms, texts, masses = None, [], []
    for token in _tokens(engine, question, retrieved, sampling, history, asked=recall is not None):
        first_token_ms = first_token_ms or _since_ms(started)
        texts.append(token.text)
        if token.chunk_mass is not None:
            masses.append(token.chunk_mass)
        yield token
    total_ms = _since_ms(started)
    yield Answer(
        text="".join(texts).strip(),
        evidence=_evidence(engine, retrieved, masses, scope),
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
    """What is said when nothing supports an answer."""
    return f"Not found in {spell_duration(searched_s)} of video."


def _tokens(
    engine: Engine,
    question: str,
    retrieved: Retrieved,
    sampling: Sampling,
    history: Sequence[Turn],
    *,
    asked: bool,
) -> Iterator[Token]:
    """The model's tokens; where one thing was asked for and nothing shows it, a plain sentence."""
    unsupported = not retrieved.is_supported and retrieved.recall == "top"
    if unsupported and not asked:
        yield Token(text=not_found(retrieved.searched_s), chunk_mass=None)
        return
    recalled = engine.cache.recall(retrieved.chunks)
    yield from engine.model.generate(question, recalled, sampling, history=history)
    if unsupported:
        searched = spell_duration(retrieved.searched_s)
        yield Token(text=f" (Nothing in {searched} of video supports this.)", chunk_mass=None)


def _evidence(
    engine: Engine,
    retrieved: Retrieved,
    masses: Sequence[Float32[Tensor, " chunk"]],
    scope: Scope | None,
) -> tuple[Evidence, ...]:
    mass = torch.stack(list(masses)).mean(dim=0) if masses else None
    by_attention = from_attention(retrieved.chunks, mass)
    return combined(from_hits(engine, retrieved, scope=scope), by_attention)


def _room(engine: Engine, question: str, sampling: Sampling, history: Sequence[Turn]) -> int:
    """Latents that the positions hold beside prompt, history and answer.

    No tokenizer makes more tokens than there are bytes, so this errs on the safe side.
    """
    texts = [question, *(text for turn in history for text in (turn.question, turn.answer))]
    spoken = sum(len(text.encode()) for text in texts)
    reserved = PROMPT_TOKENS * (1 + len(history)) + spoken + sampling.max_tokens
    return max(1, engine.model.card.max_positions - reserved)


def _since_ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000
