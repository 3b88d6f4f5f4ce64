"""The way of a question: composed from observations, answered by a model, or left open.

A model that knows only a world of its own answers on footage of that world and nowhere else. On
all other footage observations come first; then the administrator's own answerer or the loaded
model; else the moments nearest to the question are shown, unconfirmed.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from app.services.context import ServiceContext
from app.services.observed_footage import gather_footage
from app.services.scope import keep_hours
from app.services.search import find_moments
from engine.errors import LongwatchError
from engine.pipeline.answer import answer, open_ended
from engine.pipeline.compose.composer import compose
from engine.pipeline.compose.footage import Composed, WatchedFootage
from engine.pipeline.engine import Engine
from engine.pipeline.fusion import Moment
from engine.pipeline.query import Query, parse
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
    Raises:
        NotFoundError: The scope holds no chunk.
    """
    started = time.perf_counter()
    engine, query = context.engine, parse(question, history)
    scope = _asked_hours(context, query, scope)
    sampling = sampling or Sampling(max_tokens=context.settings.limits.answer_tokens)
    turn = _Turn(question, scope, tuple(history), recall, read_to_s, sampling, instructions)
    is_known = engine.without_damaged(lambda: knows_footage(engine, scope))
    if recall is not None or (engine.world is not None and is_known):
        yield from _by_model(context, turn)
        return
    footage = gather_footage(context, scope, nearest_moments(context, query, scope), query.form)
    composed = compose(footage, query.form)
    if composed is not None and composed.verdict == "answered":
        yield from _told(engine, composed, footage, started)
    elif context.settings.answer.base_url is not None:
        # Late: httpx, which only a server of the user's own needs.
        from app.services.answerer import answer_elsewhere

        yield from answer_elsewhere(
            context,
            question,
            footage,
            composed,
            history=history,
            sampling=sampling,
            instructions=instructions,
        )
    elif is_known:
        yield from _by_model(context, turn, footage.rows)
    else:
        yield from _told(engine, _left_open(engine, composed, footage), footage, started)


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


def _by_model(
    context: ServiceContext, turn: _Turn, observations: Sequence[Observation] = ()
) -> Iterator[Token | Answer]:
    chosen = context.settings.retrieval.recall
    yield from answer(
        context.engine,
        turn.question,
        scope=turn.scope,
        sampling=turn.sampling,
        history=turn.history,
        recall=turn.recall or (None if chosen == "auto" else chosen),
        read_to_s=turn.read_to_s,
        observations=observations,
        instructions="" if context.engine.world is not None else turn.instructions,
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


def _asked_hours(context: ServiceContext, query: Query, scope: Scope) -> Scope:
    """Return the part of a scope within the hours that a question names, where clocks are known."""
    if query.form.between is None:
        return scope
    first, last = query.form.between
    try:
        return keep_hours(context, scope, f"{first}-{last}")
    except LongwatchError:
        # No video has a wall clock, or none of them reaches into these hours: the answer then is
        # of all that was asked about, with its times.
        return scope
