"""Hits to recalled latents to the answer's tokens, and the Answer with its evidence at the end."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

from engine.pipeline.compose.sentences import note_of
from engine.pipeline.engine import Engine
from engine.pipeline.evidence import combine, from_attention, from_hits, within_scope
from engine.pipeline.query import parse
from engine.pipeline.retrieve import Retrieved, retrieve
from engine.pipeline.scoring import SUPPORTED
from engine.protocols import ReadsImages, Sampling
from engine.records import (
    Answer,
    AnswerTiming,
    ChunkRef,
    Evidence,
    Observation,
    Recall,
    Scope,
    Turn,
    VideoId,
    VideoStretch,
)
from engine.tensors import ChunkLatents, ImageLatents, Token

PROMPT_TOKENS = 64
"""Room for the chat template around a question: Qwen2's takes 24 tokens."""

MOST_NOTES = 12
"""Observations that stand before a question: of the recalled moments, the longest in view."""

NOTE_CHARS = 600
"""Most characters of these; positions for so many are kept free."""

NEAREST = 3
"""Moments that are shown, unconfirmed, where nothing supports an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """Everything that an answer takes from the disk: read before its first token."""

    retrieved: Retrieved
    recalled: tuple[ChunkLatents, ...] | None
    """`None` where the model is not asked."""
    by_hits: tuple[Evidence, ...]
    nearest: tuple[Evidence, ...]
    """Where the model is not asked: what comes nearest, however weak."""


def answer(
    engine: Engine,
    question: str,
    *,
    scope: Scope | None = None,
    sampling: Sampling | None = None,
    history: Sequence[Turn] = (),
    recall: Recall | None = None,
    read_to_s: Mapping[VideoId, float] | None = None,
    observations: Sequence[Observation] = (),
    instructions: str = "",
    with_remark: bool = True,
    images: Sequence[ImageLatents] = (),
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
        read_to_s: How far each video was read, so that the answer says what it leaves out.
        observations: Rows of the scope; those of the recalled moments stand before the question.
        instructions: How to answer; they stand before everything and are not searched for.
        with_remark: Whether an answer of the model that nothing supports says so behind it.
        images: Still images to show before the chunks, to a model that reads them; then it always
            answers.
    Raises:
        NotFoundError: The scope holds no chunk.
        CorruptLatentsError: Every chunk of the scope is damaged; one among others is left out.
    """
    started = time.perf_counter()
    sampling = sampling or Sampling()
    query = parse(question, history)
    max_latents = _max_latents(
        engine,
        instructions + question,
        sampling,
        history,
        n_note_chars=NOTE_CHARS if observations else 0,
        n_image_latents=sum(image.n_latents for image in images),
    )

    def read() -> _Ready:
        retrieved = retrieve(
            engine,
            query,
            scope=scope,
            recall=recall,
            max_latents=max_latents,
            read_to_s=read_to_s,
        )
        is_silent = recall is None and not images and _is_unsupported(retrieved)
        recalled = None if is_silent else engine.cache.recall(retrieved.chunks)
        nearest = from_hits(engine, retrieved, least_support=0.0)[:NEAREST] if is_silent else ()
        by_hits = from_hits(engine, retrieved)
        return _Ready(retrieved=retrieved, recalled=recalled, by_hits=by_hits, nearest=nearest)

    ready = engine.without_damaged(read)
    retrieved, retrieve_ms = ready.retrieved, _since_ms(started)
    first_token_ms, texts, masses = None, [], []
    prompt = with_notes(question, retrieved.chunks, observations)
    prompt = f"{instructions}\n{prompt}" if instructions else prompt
    for token in _generate(
        engine, prompt, ready, sampling, history, images, with_remark=with_remark and not images
    ):
        first_token_ms = first_token_ms or _since_ms(started)
        texts.append(token.text)
        if token.chunk_mass is not None:
            masses.append(token.chunk_mass)
        yield token
    total_ms = _since_ms(started)
    yield Answer(
        text="".join(texts).strip(),
        evidence=_evidence(ready, masses),
        card=engine.model.card,
        timing=AnswerTiming(
            retrieve_ms=retrieve_ms,
            first_token_ms=first_token_ms or total_ms,
            total_ms=total_ms,
        ),
        searched_s=retrieved.searched_s,
        recalled_chunks=len(retrieved.chunks),
        recall=retrieved.recall,
        left_out=retrieved.left_out,
        answered_by="nothing" if ready.recalled is None else "model",
        nearest=ready.nearest,
        images=len(images),
    )


def answer_images(
    engine: Engine,
    question: str,
    images: Sequence[ImageLatents],
    sampling: Sampling,
    *,
    history: Sequence[Turn] = (),
) -> Iterator[Token | Answer]:
    """Answer about still images alone: nothing is searched, and no evidence is shown.

    Args:
        engine: Whose model reads images.
        question: One sentence.
        images: At least one.
        sampling: How tokens are drawn.
        history: Earlier turns, oldest first.
    """
    started, first_token_ms, texts = time.perf_counter(), None, []
    model = engine.model
    assert isinstance(model, ReadsImages), "whoever calls has asked reads_images"
    for token in model.generate(question, (), sampling, history=history, images=images):
        first_token_ms = first_token_ms or _since_ms(started)
        texts.append(token.text)
        yield token
    total_ms = _since_ms(started)
    yield Answer(
        text="".join(texts).strip(),
        evidence=(),
        card=model.card,
        timing=AnswerTiming(
            retrieve_ms=0.0, first_token_ms=first_token_ms or total_ms, total_ms=total_ms
        ),
        searched_s=0.0,
        recalled_chunks=0,
        recall="top",
        images=len(images),
    )


def with_notes(
    question: str, chunks: Sequence[ChunkRef], observations: Sequence[Observation]
) -> str:
    """Return a question with what observers state of the recalled chunks before it."""
    rows = [
        row
        for row in observations
        if any(row.video == ref.video and row.span.overlap_s(ref.span) > 0 for ref in chunks)
    ]
    if not rows:
        return question
    chosen = sorted(rows, key=lambda row: -row.span.duration_s)[:MOST_NOTES]
    notes = "; ".join(note_of(row) for row in sorted(chosen, key=lambda row: row.span.start_s))
    return f"Noted by detectors, which may be wrong: {notes[: NOTE_CHARS - 50]}.\n{question}"


def open_ended(searched_s: float) -> str:
    """Return the sentence for a question that nothing here can answer."""
    return f"Nothing here can answer this; {spell_duration(searched_s)} of video were searched."


def not_found(searched_s: float, left_out: Sequence[VideoStretch] = ()) -> str:
    """Return the sentence that answers when nothing supports an answer."""
    return f"Not found in {spell_duration(searched_s)} of video{_unsearched(left_out)}."


def spell_duration(duration_s: float) -> str:
    """Spell a duration in words: "1 hour 5 minutes", "40 seconds"."""
    seconds = round(duration_s)
    if seconds < 60:
        return _count(seconds, "second")
    hours, minutes = divmod(round(seconds / 60), 60)
    parts = [_count(hours, "hour")] if hours else []
    return " ".join([*parts, _count(minutes, "minute")] if minutes or not parts else parts)


def _unsearched(left_out: Sequence[VideoStretch]) -> str:
    """Return how much could not be searched, as the end of a sentence; empty where all could."""
    if not left_out:
        return ""
    left_out_s = sum(stretch.span.duration_s for stretch in left_out)
    return f"; another {spell_duration(left_out_s)} could not be searched"


def _is_unsupported(retrieved: Retrieved) -> bool:
    """Tell whether one thing was asked for and nothing shows it."""
    is_supported = any(hit.support >= SUPPORTED for hit in retrieved.hits)
    return not is_supported and retrieved.recall == "top"


def _generate(
    engine: Engine,
    question: str,
    ready: _Ready,
    sampling: Sampling,
    history: Sequence[Turn],
    images: Sequence[ImageLatents],
    *,
    with_remark: bool,
) -> Iterator[Token]:
    """Yield the model's tokens; where one thing was asked for and nothing shows it, a sentence."""
    retrieved = ready.retrieved
    if ready.recalled is None:
        text = not_found(retrieved.searched_s, retrieved.left_out)
        yield Token(text=text, chunk_mass=None)
        return
    model = engine.model
    if images and isinstance(model, ReadsImages):
        yield from model.generate(
            question, ready.recalled, sampling, history=history, images=images
        )
    else:
        yield from model.generate(question, ready.recalled, sampling, history=history)
    if with_remark and _is_unsupported(retrieved):
        searched = f"{spell_duration(retrieved.searched_s)} of video"
        rest = _unsearched(retrieved.left_out)
        yield Token(text=f" (Nothing in {searched} supports this{rest}.)", chunk_mass=None)


def _evidence(ready: _Ready, masses: Sequence[Float32[Tensor, " chunk"]]) -> tuple[Evidence, ...]:
    retrieved = ready.retrieved
    mass = torch.stack(list(masses)).mean(dim=0) if masses else None
    by_attention = from_attention(retrieved.chunks, mass)
    by_attention = within_scope(by_attention, retrieved.scope)
    return combine(ready.by_hits, by_attention)


def _max_latents(
    engine: Engine,
    question: str,
    sampling: Sampling,
    history: Sequence[Turn],
    *,
    n_note_chars: int,
    n_image_latents: int,
) -> int:
    """Return how many latents the positions hold beside prompt, history and answer.

    No tokenizer makes more tokens than there are bytes, so this errs on the safe side.
    """
    texts = [question, *(text for turn in history for text in (turn.question, turn.answer))]
    n_text_tokens = sum(len(text.encode()) for text in texts) + n_note_chars + n_image_latents
    n_reserved = PROMPT_TOKENS * (1 + len(history)) + n_text_tokens + sampling.max_tokens
    return max(1, engine.model.card.max_positions - n_reserved)


def _count(count: int, unit: str) -> str:
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _since_ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000
