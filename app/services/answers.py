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
        yield from _told(engine, _from_rows(context, [narrowed]), started)
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
    here = scope if spread is None else spread.here
    is_known = not here or engine.without_damaged(lambda: knows_footage(engine, here))
    if recall is not None or (engine.world is not None and is_known):
        steps = _by_model(context, turn) if spread is None else _by_nodes(context, turn, spread)
        yield from _noted(narrowed.note if spread is None else "", steps)
        return
    parts = parts_of(question, history)
    times = [narrow(context, part, whole_scope) for part in parts] if parts[1:] else [narrowed]
    rows = _from_rows(context, times)
    if rows.is_complete:
        yield from _told(engine, rows, started)
    elif spread is not None:
        # Each server says itself what it leaves aside.
        yield from _by_nodes(context, turn, spread)
    elif context.settings.answer.base_url is not None:
        yield from _noted(narrowed.note, _sent_on(context, turn, rows.footage, rows.composed))
    elif is_known:
        yield from _noted(narrowed.note, _by_model(context, turn, rows.footage.rows))
    else:
        yield from _told(engine, _left_open(engine, rows), started)


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


def _by_nodes(context: ServiceContext, turn: _Turn, spread: Spread) -> Iterator[Token | Answer]:
    """Stream the answer of several servers, each over the latents that lie beside it."""
    started = time.perf_counter()

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _FromRows:
    """What observations say to a question, or to each of several."""

    composed: Composed | None
    footage: WatchedFootage
    away: tuple[AwayStretch, ...] = ()
    """What no server holds at present: its vectors were not looked through."""
    is_complete: bool = False
    """Whether they answer all that was asked."""


def _from_rows(context: ServiceContext, times: Sequence[AskedTime]) -> _FromRows:
    """Answer one question, or several in turn, from the rows of the time that each is about."""
    parts = [_compose_part(context, narrowed) for narrowed in times]
    nearest = tuple(item for part in parts for item in part.footage.nearest)
    footage = replace(parts[0].footage, nearest=nearest)
    return _FromRows(
        composed=join([part.composed for part in parts], footage),
        footage=footage,
        away=tuple(dict.fromkeys(stretch for part in parts for stretch in part.away)),
        is_complete=all(part.is_complete for part in parts),
    )


def _compose_part(context: ServiceContext, narrowed: AskedTime) -> _FromRows:
    if not narrowed.scope:
        unknown = Composed(text=narrowed.note, verdict="unknown")
        return _FromRows(composed=unknown, footage=gather_footage(context, ()))
    query = narrowed.query
    phrase = " ".join(query.phrases) or query.question
    nearest, result = find_moments(context, phrase, narrowed.scope, NEAREST)
    footage = gather_footage(context, narrowed.scope, nearest, query.form)
    composed = compose(footage, query.form)
    is_complete = composed is not None and composed.verdict == "answered"
    if composed is not None and narrowed.note:
        composed = replace(composed, text=f"{narrowed.note} {composed.text}")
    return _FromRows(
        composed=composed,
        footage=footage,
        away=tuple(item for item in result.left_out if isinstance(item, AwayStretch)),
        is_complete=is_complete,
    )


def _told(engine: Engine, rows: _FromRows, started: float) -> Iterator[Token | Answer]:
    """Yield what rows say as one token, then the Answer with it."""
    composed, footage = rows.composed, rows.footage
    assert composed is not None, "what is left open has a sentence, too"
    retrieve_ms = (time.perf_counter() - started) * 1000
    yield Token(text=composed.text, chunk_mass=None)
    is_answered = composed.verdict == "answered"
    # What was seen of the thing stands before what vectors find: both are unconfirmed.
    nearest = (*composed.evidence, *footage.nearest)[:NEAREST]
    away_s = sum(stretch.span.duration_s for stretch in rows.away)
    yield Answer(
        text=composed.text,
        evidence=composed.evidence if is_answered else (),
        card=engine.model.card,
        timing=AnswerTiming(
            retrieve_ms=retrieve_ms,
            first_token_ms=retrieve_ms,
            total_ms=(time.perf_counter() - started) * 1000,
        ),
        searched_s=max(0.0, footage.duration_s - away_s),
        recalled_chunks=0,
        recall="top",
        answered_by="observations" if is_answered else "nothing",
        nearest=() if is_answered else nearest,
        left_out=rows.away,
    )


def _left_open(engine: Engine, rows: _FromRows) -> _FromRows:
    """Return the sentence for a question that nothing here answers."""
    if rows.composed is not None:
        return rows
    text = open_ended(rows.footage.duration_s)
    if engine.world is not None:
        text = f"{text} {engine.world.sentence}"
    return replace(rows, composed=Composed(text=text, verdict="unknown"))


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
