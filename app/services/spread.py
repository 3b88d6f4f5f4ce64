"""Searches and answers over videos whose latents lie beside several servers.

scope -> cut by where latents lie -> every node looks at its part -> one list, one answer
                                  `-> what no node looked at is left out, and said so

A moment of another node comes with its calibrated support, so one list is made of all by the rule
of one machine. Sentences are another matter: a model reads what lies beside it. The best supported
answer stands; where parts differ, each stands beside the name of the video that it speaks of.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Final

from app.schemas.common import AwayStretch
from app.schemas.nodes import (
    NodeAnswer,
    NodeFound,
    NodeQuestion,
    NodeSampling,
    NodeSearch,
    NodeTurn,
    evidence_of,
    node_spans,
    stretches_of,
)
from app.services.context import ServiceContext
from app.services.nodes import ANSWER_PATH, SEARCH_PATH, NodeCalls, Spread
from app.services.scope import known_s
from engine.errors import NotFoundError
from engine.pipeline.answer import not_found, spell_duration
from engine.pipeline.fusion import Moment, fuse
from engine.pipeline.search import SearchResult
from engine.protocols import Sampling
from engine.records import (
    Answer,
    AnswerTiming,
    Evidence,
    ModelCard,
    MomentKind,
    Recall,
    Scope,
    TimeSpan,
    Turn,
    VideoId,
    VideoStretch,
)

Found = tuple[tuple[Moment, ...], SearchResult]
NEAREST: Final = 5


def find_everywhere(
    context: ServiceContext,
    spread: Spread,
    query: str,
    top: int,
    *,
    kinds: Collection[MomentKind],
    labels: Collection[str],
    here: Callable[[Scope], Found],
) -> Found:
    """Return the moments of every node, best first.

    Args:
        here: Searches what lies beside this server.
    """
    requests = [
        (
            share,
            NodeSearch(
                query=query,
                spans=node_spans(share.scope),
                top=top,
                kinds=[*kinds],
                labels=[*labels],
            ),
        )
        for share in spread.shares
    ]
    calls = NodeCalls(context, SEARCH_PATH, requests)
    own = here(spread.here) if spread.here else ((), _nothing(query))
    replies, missed = calls.results(NodeFound)
    moments = list(own[0])
    for reply in replies:
        moments += (
            Moment(
                video=VideoId(item.where.video),
                span=item.where.span(),
                peak_s=item.peak_s,
                kind=item.kind,
                relevance=item.relevance,
                log_odds=item.log_odds,
                source=item.source,
                text=item.text,
            )
            for item in reply.moments
        )
    left_out = [*own[1].left_out, *away_stretches(context, (*spread.away, *missed))]
    for reply in replies:
        left_out += stretches_of(reply.left_out)
    result = replace(
        own[1],
        searched_s=own[1].searched_s + sum(reply.searched_s for reply in replies),
        left_out=tuple(left_out),
    )
    return fuse(moments, top=top), result


def answer_everywhere(
    context: ServiceContext,
    spread: Spread,
    question: str,
    *,
    history: Sequence[Turn],
    recall: Recall | None,
    sampling: Sampling,
    instructions: str,
    here: Callable[[Scope], Answer],
) -> Answer:
    """Return one answer of what every node says about its part.

    Args:
        here: Answers about what lies beside this server.
    """
    requests = [
        (
            share,
            NodeQuestion(
                question=question,
                spans=node_spans(share.scope),
                history=[NodeTurn(question=turn.question, answer=turn.answer) for turn in history],
                recall=recall,
                sampling=NodeSampling(**asdict(sampling)),
                instructions=instructions,
            ),
        )
        for share in spread.shares
    ]
    calls = NodeCalls(context, ANSWER_PATH, requests)
    card = context.engine.model.card
    answers: list[Answer] = []
    if spread.here:
        # Nothing that can be searched here may still be somewhere else.
        with suppress(NotFoundError):
            answers.append(here(spread.here))
    replies, missed = calls.results(NodeAnswer)
    answers += (_answer(reply, card) for reply in replies)
    names = {row.id: row.name for row in context.catalog.videos.by_id().values()}
    away = away_stretches(context, (*spread.away, *missed))
    return merge_answers(answers, names, away, card)


def merge_answers(
    answers: Sequence[Answer],
    names: Mapping[VideoId, str],
    away: Sequence[VideoStretch],
    card: ModelCard,
) -> Answer:
    """Return one answer of several, of which each speaks of videos of its own.

    Args:
        answers: In any order; may be empty.
        names: Of the videos.
        away: What nobody looked at.
        card: Of the model.
    """
    left_out = (*(stretch for answer in answers for stretch in answer.left_out), *away)
    searched_s = sum((answer.searched_s for answer in answers), 0.0)
    ranked = sorted(answers, key=_support, reverse=True)
    supported = [answer for answer in ranked if answer.evidence]
    spoken = supported or [answer for answer in ranked if answer.answered_by != "nothing"]
    best = (spoken or ranked or [_silence(card)])[0]
    nearest = [] if supported else [item for answer in ranked for item in answer.nearest]
    return replace(
        best,
        text=_text(spoken, names) if spoken else _unfound(ranked, searched_s, left_out),
        evidence=_best(item for answer in supported for item in answer.evidence),
        searched_s=searched_s,
        recalled_chunks=sum(answer.recalled_chunks for answer in answers),
        left_out=left_out,
        nearest=_best(nearest)[:NEAREST],
    )


def away_stretches(context: ServiceContext, scope: Scope) -> tuple[AwayStretch, ...]:
    """Return what no node looked at, as far as it was read."""
    rows = context.catalog.videos.by_id()
    return tuple(
        AwayStretch(
            video=video,
            span=TimeSpan(
                start_s=span.start_s,
                end_s=max(span.start_s, min(span.end_s, known_s(rows[video]))),
            ),
        )
        for video, span in scope
        if video in rows
    )


def _text(spoken: Sequence[Answer], names: Mapping[VideoId, str]) -> str:
    if len({answer.text.strip().casefold() for answer in spoken}) == 1:
        return spoken[0].text
    lines = []
    for answer in spoken:
        where = next((names.get(item.video, item.video) for item in answer.evidence), None)
        lines.append(answer.text if where is None else f"{where}: {answer.text}")
    return "\n".join(lines)


def _unfound(answers: Sequence[Answer], searched_s: float, left_out: Sequence[VideoStretch]) -> str:
    if len(answers) == 1 and not left_out:
        return answers[0].text
    if not answers:
        away_s = sum((stretch.span.duration_s for stretch in left_out), 0.0)
        return f"None of {spell_duration(away_s)} of video could be searched."
    return not_found(searched_s, left_out)


def _support(answer: Answer) -> float:
    return max((item.score for item in answer.evidence), default=0.0)


def _best(items: Iterable[Evidence]) -> tuple[Evidence, ...]:
    return tuple(sorted(items, key=lambda item: -item.score))


def _nothing(query: str) -> SearchResult:
    return SearchResult(query=query, moments=(), searched_s=0.0, total_ms=0.0)


def _silence(card: ModelCard) -> Answer:
    timing = AnswerTiming(retrieve_ms=0.0, first_token_ms=0.0, total_ms=0.0)
    return Answer(
        text="",
        evidence=(),
        card=card,
        timing=timing,
        searched_s=0.0,
        recalled_chunks=0,
        recall="top",
        answered_by="nothing",
    )


def _answer(reply: NodeAnswer, card: ModelCard) -> Answer:
    return replace(
        _silence(card),
        text=reply.text,
        evidence=evidence_of(reply.evidence),
        searched_s=reply.searched_s,
        recalled_chunks=reply.recalled_chunks,
        recall=reply.recall,
        left_out=stretches_of(reply.left_out),
        answered_by=reply.answered_by,
        nearest=evidence_of(reply.nearest),
    )
