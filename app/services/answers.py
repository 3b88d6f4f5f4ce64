"""The way of a question: composed from observations, answered by a model, or left open.

A model that knows only a world of its own answers on footage of that world and nowhere else. On
all other footage observations come first; then the administrator's own answerer or the loaded
model; else the moments nearest to the question are shown, unconfirmed.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from app.schemas.common import AwayStretch
from app.services.asked_time import AskedTime, narrow
from app.services.context import ServiceContext
from app.services.images import Picture, goes_elsewhere, show
from app.services.nodes import Spread, spread_scope
from app.services.observed_footage import gather_footage
from app.services.search import find_moments
from app.services.spread import answer_everywhere
from engine.pipeline.answer import answer as answer_by_model
from engine.pipeline.answer import answer_images, open_ended
from engine.pipeline.compose.composer import compose
from engine.pipeline.compose.footage import Composed, WatchedFootage
from engine.pipeline.engine import Engine
from engine.pipeline.fusion import Moment
from engine.pipeline.query import Query, parse, parts_of
from engine.pipeline.still_search import FEW_VIDEOS
from engine.protocols import Sampling
from engine.records import (
    Answer,
    AnswerTiming,
    Observation,
    Recall,
    Scope,
    Turn,
    VideoId,
)
from engine.tensors import Token

NEAREST: Final = 5
"""Moments shown for a question that nothing answers."""


def answer_stream(
    context: ServiceContext,
    question: str,
    scope: Scope,
    *,
    history: Sequence[Turn] = (),
    recall: Recall | None = None,
    read_to_s: Mapping[VideoId, float] | None = None,
    sampling: Sampling | None = None,
    instructions: str = "",
    is_alone: bool = False,
    pictures: Sequence[Picture] = (),
) -> Iterator[Token | Answer]:
    """Return the tokens of an answer as they come, then the Answer.

    Args:
        context: Of the library.
        question: Checked for its length.
        scope: Where to look.
        history: Earlier turns, oldest first.
        recall: Which chunks the model reads; when given, the model answers and nothing else.
        read_to_s: How far each video was read, so that the answer says what it leaves out.
        sampling: How a model draws tokens; greedy and of the settings' length when `None`.
        instructions: How a model shall answer. One of a world of its own reads questions alone.
        is_alone: Ask no other server, wherever the latents lie.
        pictures: Still images; whoever reads them answers, the administrator's own answerer before
            the loaded model. With an empty scope it answers about these alone.
    Raises:
        NotFoundError: The scope holds no chunk.
        MissingCapabilityError: The loaded model reads no images, and no other answerer is asked.
    """
    started = time.perf_counter()
    is_sent_on = bool(pictures) and goes_elsewhere(context, recall)
    if pictures and not scope and not is_sent_on:
        limit = context.settings.limits.answer_tokens
        yield from answer_images(
            context.engine,
            f"{instructions}\n{question}" if instructions else question,
            show(context, pictures),
            sampling or Sampling(max_tokens=limit),
            history=history,
        )
        return
    engine, whole_scope = context.engine, scope
    narrowed = narrow(context, parse(question, history), scope)
    query, scope = narrowed.query, narrowed.scope
    if whole_scope and not scope:
        composed = Composed(text=narrowed.note, verdict="unknown")
        yield from _told(engine, composed, gather_footage(context, ()), started)
        return
    sampling = sampling or Sampling(max_tokens=context.settings.limits.answer_tokens)
    turn = _Turn(question, scope, tuple(history), recall, read_to_s, sampling, instructions)
    if is_sent_on:
        yield from _with_images(context, turn, query, pictures)
        return
    if pictures:
        yield from _by_model(context, turn, pictures=pictures)
        return
    spread = None if is_alone else spread_scope(context, scope)
    if spread is not None:
        yield from _by_nodes(context, turn, spread, query, started)
        return
    is_known = engine.without_damaged(lambda: knows_footage(engine, scope))
    if recall is not None or (engine.world is not None and is_known):
        yield from _noted(narrowed.note, _by_model(context, turn))
        return
    parts = [
        _compose_part(context, narrow(context, part, whole_scope))
        for part in parts_of(question, history)
    ]
    footage = replace(
        parts[0][1], nearest=tuple(item for _, part in parts for item in part.nearest)
    )
    joined = join([part for part, _ in parts], footage)
    if joined is not None and all(_is_answered(part) for part, _ in parts):
        yield from _told(engine, joined, footage, started)
    elif context.settings.answer.base_url is not None:
        yield from _noted(narrowed.note, _sent_on(context, turn, footage, joined))
    elif is_known:
        yield from _noted(narrowed.note, _by_model(context, turn, footage.rows))
    else:
        yield from _told(engine, _left_open(engine, joined, footage), footage, started)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A question as it goes to the model."""

    question: str
    scope: Scope
    history: tuple[Turn, ...]
    recall: Recall | None
    read_to_s: Mapping[VideoId, float] | None
    sampling: Sampling
    instructions: str


def knows_footage(engine: Engine, scope: Scope) -> bool:
    """Return whether the loaded model was trained on footage like that of a scope."""
    if engine.world is None:
        return True
    named = {video for video, _ in scope}
    if len(named) <= FEW_VIDEOS:
        engine.refresh(named)
    elif not all(map(engine.index.refs().has, named)):
        # Else the dozen chunks that are looked at will do, without those of this moment.
        engine.refresh()
    return engine.knows_all(engine.index.refs(scope))


def nearest_moments(context: ServiceContext, query: Query, scope: Scope) -> tuple[Moment, ...]:
    """Return the moments nearest to what a question names, of all sources, best first.

    Raises:
        NotFoundError: The scope holds no chunk.
    """
    phrase = " ".join(query.phrases) or query.question
    moments, _ = find_moments(context, phrase, scope, NEAREST)
    return moments


def _by_nodes(
    context: ServiceContext, turn: _Turn, spread: Spread, query: Query, started: float
) -> Iterator[Token | Answer]:
    """Answer over the latents of several servers: composed from rows, which all share, else asked.

    What composes reads every row, so it counts over all videos; a model reads what lies beside it.
    """
    engine = context.engine
    is_of_world = engine.world is not None and (
        not spread.here or engine.without_damaged(lambda: knows_footage(engine, spread.here))
    )
    if turn.recall is None and not is_of_world:
        phrase = " ".join(query.phrases) or query.question
        moments, result = find_moments(context, phrase, turn.scope, NEAREST)
        footage = gather_footage(context, turn.scope, moments, query.form)
        composed = compose(footage, query.form)
        if composed is not None and composed.verdict == "answered":
            away = tuple(item for item in result.left_out if isinstance(item, AwayStretch))
            away_s = sum(stretch.span.duration_s for stretch in away)
            for step in _told(engine, composed, footage, started):
                if isinstance(step, Answer):
                    searched_s = max(0.0, step.searched_s - away_s)
                    step = replace(step, left_out=away, searched_s=searched_s)
                yield step
            return

    def here(part: Scope) -> Answer:
        *_, last = answer_stream(
            context,
            turn.question,
            part,
            history=turn.history,
            recall=turn.recall,
            read_to_s=turn.read_to_s,
            sampling=turn.sampling,
            instructions=turn.instructions,
            is_alone=True,
        )
        assert isinstance(last, Answer), "the last step of an answer is the Answer"
        return last

    answer = answer_everywhere(
        context,
        spread,
        turn.question,
        history=turn.history,
        recall=turn.recall,
        sampling=turn.sampling,
        instructions=turn.instructions,
        here=here,
    )
    yield Token(text=answer.text, chunk_mass=None)
    total_ms = (time.perf_counter() - started) * 1000
    yield replace(answer, timing=replace(answer.timing, first_token_ms=total_ms, total_ms=total_ms))


def _by_model(
    context: ServiceContext,
    turn: _Turn,
    observations: Sequence[Observation] = (),
    pictures: Sequence[Picture] = (),
) -> Iterator[Token | Answer]:
    chosen = context.settings.retrieval.recall
    yield from answer_by_model(
        context.engine,
        turn.question,
        scope=turn.scope,
        sampling=turn.sampling,
        history=turn.history,
        recall=turn.recall or (None if chosen == "auto" else chosen),
        read_to_s=turn.read_to_s,
        observations=observations,
        instructions="" if context.engine.world is not None else turn.instructions,
        images=show(context, pictures) if pictures else (),
    )


def _noted(note: str, steps: Iterator[Token | Answer]) -> Iterator[Token | Answer]:
    """Have an answer begin with what it has to say of the time that was asked for, if anything."""
    if note:
        yield Token(text=f"{note} ", chunk_mass=None)
    for step in steps:
        is_last = note and isinstance(step, Answer)
        yield replace(step, text=f"{note} {step.text}") if is_last else step


def _with_images(
    context: ServiceContext, turn: _Turn, query: Query, pictures: Sequence[Picture]
) -> Iterator[Token | Answer]:
    """Send images on with the moments that a question is about, if it is about any."""
    if not turn.scope:
        yield from _sent_on(context, turn, None, None, pictures)
        return
    nearest = nearest_moments(context, query, turn.scope)
    footage = gather_footage(context, turn.scope, nearest, query.form)
    yield from _sent_on(context, turn, footage, compose(footage, query.form), pictures)


def _sent_on(
    context: ServiceContext,
    turn: _Turn,
    footage: WatchedFootage | None,
    composed: Composed | None,
    pictures: Sequence[Picture] = (),
) -> Iterator[Token | Answer]:
    # Late: httpx, which only a server of the user's own needs.
    from app.services.answerer import answer_elsewhere

    yield from answer_elsewhere(
        context,
        turn.question,
        footage,
        composed,
        history=turn.history,
        sampling=turn.sampling,
        instructions=turn.instructions,
        pictures=pictures,
    )


def _told(
    engine: Engine, composed: Composed, footage: WatchedFootage, started: float
) -> Iterator[Token | Answer]:
    """Yield a sentence as one token, then the Answer with it."""
    retrieve_ms = (time.perf_counter() - started) * 1000
    yield Token(text=composed.text, chunk_mass=None)
    is_answered = composed.verdict == "answered"
    # What was seen of the thing stands before what vectors find: both are unconfirmed.
    nearest = (*composed.evidence, *footage.nearest)[:NEAREST]
    yield Answer(
        text=composed.text,
        evidence=composed.evidence if is_answered else (),
        card=engine.model.card,
        timing=AnswerTiming(
            retrieve_ms=retrieve_ms,
            first_token_ms=retrieve_ms,
            total_ms=(time.perf_counter() - started) * 1000,
        ),
        searched_s=footage.duration_s,
        recalled_chunks=0,
        recall="top",
        answered_by="observations" if is_answered else "nothing",
        nearest=() if is_answered else nearest,
    )


def _left_open(engine: Engine, composed: Composed | None, footage: WatchedFootage) -> Composed:
    """Return the sentence for a question that nothing here answers."""
    text = open_ended(footage.duration_s) if composed is None else composed.text
    if composed is None and engine.world is not None:
        text = f"{text} {engine.world.sentence}"
    return replace(composed or Composed(text="", verdict="unknown"), text=text)


def _compose_part(
    context: ServiceContext, narrowed: AskedTime
) -> tuple[Composed | None, WatchedFootage]:
    """Answer one question of several, or the only one, with the footage that it is about."""
    if not narrowed.scope:
        return Composed(text=narrowed.note, verdict="unknown"), gather_footage(context, ())
    query = narrowed.query
    nearest = nearest_moments(context, query, narrowed.scope)
    footage = gather_footage(context, narrowed.scope, nearest, query.form)
    composed = compose(footage, query.form)
    if composed is not None and narrowed.note:
        composed = replace(composed, text=f"{narrowed.note} {composed.text}")
    return composed, footage


def join(parts: Sequence[Composed | None], footage: WatchedFootage) -> Composed | None:
    """Return the answers to several questions as one, in their order.

    What is answered has evidence; of the rest the text says that it is open.
    """
    if len(parts) == 1 or not any(parts):
        return parts[0]
    texts = [open_ended(footage.duration_s) if part is None else part.text for part in parts]
    answered = [part for part in parts if part is not None and _is_answered(part)]
    return Composed(
        text=" ".join(dict.fromkeys(texts)),
        verdict="answered" if answered else "unknown",
        evidence=tuple(item for part in answered for item in part.evidence),
    )


def _is_answered(composed: Composed | None) -> bool:
    return composed is not None and composed.verdict == "answered"
