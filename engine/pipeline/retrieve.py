"""A question to the chunks that answer it: scored by vectors and attention, diverse in time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import torch
from jaxtyping import Float32
from torch import Tensor

from engine.errors import MissingCapabilityError, NotFoundError
from engine.pipeline.engine import Engine, refresh
from engine.pipeline.query import names_something, phrases, recall_for
from engine.pipeline.scoring import (
    LEAST_STD,
    SUPPORTED,
    HitFeatures,
    RetrievalConfig,
    ScoredHit,
    best_of_chance,
    deviations,
    score_hit,
    standardised,
)
from engine.records import ChunkRef, Hit, Recall, TimeSpan, VideoId

Scope = Sequence[tuple[VideoId, TimeSpan]]

ATTEND_BATCH = 64
"""Chunks whose latents are looked at side by side: bounds memory when a family has no joint
space and every chunk has to be attended to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """What a question found in a scope, and what of it will be recalled."""

    found: tuple[ScoredHit, ...]
    """Best first, no two neighbours; phrases take turns. Empty when the question names nothing."""
    nearby: tuple[ScoredHit, ...]
    """The hits' neighbours that scored well too: evidence may reach into them."""
    chunks: tuple[ChunkRef, ...]
    """What to recall, by video and time."""
    recall: Recall
    searched_s: float
    queries: tuple[Float32[Tensor, " dim"], ...]
    """The phrases in the joint space; none where a family has no such space."""

    @property
    def is_supported(self) -> bool:
        """Whether anything found stands out."""
        return any(each.support >= SUPPORTED for each in self.found)


def retrieve(
    engine: Engine,
    question: str,
    *,
    about: str | None = None,
    seek: str | None = None,
    scope: Scope | None = None,
    recall: Recall | None = None,
    most_latents: int | None = None,
) -> Retrieved:
    """Find what answers a question.

    Args:
        engine: Whose index and cache to search; chunks that other processes wrote are seen.
        question: As asked.
        about: What names the things to look for; the question itself when `None`.
        seek: A phrase to look for, whatever it is; the things that `about` names when `None`.
        scope: Only these spans of these videos; `None` searches everything.
        recall: How much to recall; `None` decides by the question's wording.
        most_latents: What the model's positions leave room for.
    Raises:
        NotFoundError: The scope holds no chunk.
    """
    refresh(engine)
    refs = engine.index.refs(scope)
    if not refs:
        raise NotFoundError(
            "there is no video to search here", hint="ingest a video first, or widen the filters"
        )
    about = about or question
    named = [seek] if seek else [text for text in phrases(about) if names_something(text)]
    by_attention = engine.retrieval.signals == "attention"
    queries = () if by_attention else _telling(engine, _embed(engine, named), scope)
    lists: list[tuple[ScoredHit, ...]] = []
    if queries:
        # Attention to a question about two things cannot tell them apart.
        asked = question if len(queries) == 1 else None
        lists = [_by_vectors(engine, asked, n, query, scope) for n, query in enumerate(queries)]
    elif named:
        lists = [_by_attention(engine, question, refs)]
    found, nearby = _in_turn([_diverse(scored, engine.retrieval) for scored in lists])
    wanted = recall or recall_for(question, about)
    chunks, used = _choose(engine, refs, found, len(named), wanted, most_latents)
    return Retrieved(
        found=found,
        nearby=nearby,
        chunks=chunks,
        recall=used,
        searched_s=searched_s(refs, scope),
        queries=queries,
    )


def searched_s(refs: Iterable[ChunkRef], scope: Scope | None) -> float:
    """Seconds of video that chunks cover inside a scope."""
    if scope is None:
        return sum((ref.span.duration_s for ref in refs), 0.0)
    return sum(
        (ref.span.overlap_s(span) for ref in refs for video, span in scope if video == ref.video),
        0.0,
    )


def _embed(engine: Engine, texts: Sequence[str]) -> tuple[Float32[Tensor, " dim"], ...]:
    try:
        return tuple(engine.model.embed_text(text) for text in texts)
    except MissingCapabilityError:
        return ()


def _telling(
    engine: Engine, queries: tuple[Float32[Tensor, " dim"], ...], scope: Scope | None
) -> tuple[Float32[Tensor, " dim"], ...]:
    """The queries, or none where all frames look alike to them, as moments of mere sound do."""
    spreads = (spread for query in queries for spread in engine.index.spread(query, within=scope))
    return queries if any(spread.std > LEAST_STD for spread in spreads) else ()


def _by_vectors(
    engine: Engine,
    question: str | None,
    query_idx: int,
    query: Float32[Tensor, " dim"],
    scope: Scope | None,
) -> tuple[ScoredHit, ...]:
    """Candidates that the joint space proposes, best supported first.

    The question's attention is weighed in where there is a question.
    """
    config = engine.retrieval
    hits = engine.index.search(query, config.candidates, within=scope)
    above = deviations(hits, engine.index.spread(query, within=scope))
    attention = torch.zeros(len(hits))
    if config.signals == "both" and config.per_attention and question is not None:
        attention = standardised(_attention(engine, question, [hit.chunk for hit in hits]))
    found = (
        score_hit(
            hit,
            HitFeatures(cosine=hit.score, deviation=deviation, attention=float(look)),
            config,
            origin="retrieval",
            query_idx=query_idx,
        )
        for hit, deviation, look in zip(hits, above, attention, strict=True)
    )
    return tuple(sorted(found, key=lambda each: -each.support))


def _attention(
    engine: Engine, question: str, refs: Sequence[ChunkRef]
) -> Float32[Tensor, " chunk"]:
    """How strongly the question attends to each chunk, in the order given."""
    looks = []
    for start in range(0, len(refs), ATTEND_BATCH):
        part = refs[start : start + ATTEND_BATCH]
        recalled = {(c.ref.video, c.ref.ordinal): c for c in engine.cache.recall(part)}
        ordered = [recalled[ref.video, ref.ordinal] for ref in part]
        looks.append(engine.model.attend(question, ordered).float().cpu())
    return torch.cat(looks) if looks else torch.empty(0)


def _by_attention(engine: Engine, question: str, refs: Sequence[ChunkRef]) -> tuple[ScoredHit, ...]:
    """Candidates where the joint space is missing or left out; a hit is its chunk's middle."""
    config = engine.retrieval
    looks = standardised(_attention(engine, question, refs))
    shares = torch.softmax(looks, dim=0)
    chance = best_of_chance(len(refs))
    # The weights of the joint space's signals are not known to hold here: deviations alone count.
    alone = replace(config, bias=0.0, per_cosine=0.0, per_attention=0.0)
    order = torch.argsort(looks, descending=True, stable=True)[: config.candidates]
    return tuple(
        score_hit(
            Hit(chunk=refs[n], score=float(shares[n]), peak_s=_middle_s(refs[n])),
            HitFeatures(cosine=0.0, deviation=float(looks[n]) - chance, attention=0.0),
            alone,
            origin="attention",
            query_idx=0,
        )
        for n in order.tolist()
    )


def _middle_s(ref: ChunkRef) -> float:
    return (ref.span.start_s + ref.span.end_s) / 2


Kept = tuple[tuple[ScoredHit, ...], tuple[ScoredHit, ...]]
"""Hits, and their neighbours."""


def _diverse(scored: Sequence[ScoredHit], config: RetrievalConfig) -> Kept:
    """Keep the best of neighbouring chunks; the others come back as its neighbourhood."""
    found: list[ScoredHit] = []
    nearby: list[ScoredHit] = []
    for each in scored:
        beside = any(_adjacent(each.hit.chunk, kept.hit.chunk) for kept in found)
        (nearby if beside else found).append(each)
    return tuple(found[: config.candidates]), tuple(nearby)


def _in_turn(lists: Sequence[Kept]) -> Kept:
    """The hits of several phrases, taking turns, each chunk once."""
    turns = zip_longest(*(found for found, _ in lists))
    found: dict[tuple[VideoId, int], ScoredHit] = {}
    for each in (each for turn in turns for each in turn if each is not None):
        found.setdefault((each.hit.chunk.video, each.hit.chunk.ordinal), each)
    return tuple(found.values()), tuple(each for _, nearby in lists for each in nearby)


def _adjacent(one: ChunkRef, other: ChunkRef) -> bool:
    return one.video == other.video and abs(one.ordinal - other.ordinal) <= 1


def _choose(
    engine: Engine,
    refs: Sequence[ChunkRef],
    found: Sequence[ScoredHit],
    n_named: int,
    recall: Recall,
    most_latents: int | None,
) -> tuple[tuple[ChunkRef, ...], Recall]:
    """The chunks to recall, in order, and the mode that was possible.

    `all` becomes `overview` when the model's positions do not hold everything.
    """
    config, room = engine.retrieval, len(refs)
    if most_latents is not None:
        room = max(1, most_latents // engine.latents_per_chunk)
    if recall == "all" and room >= len(refs):
        return tuple(refs), "all"
    n_top = config.top_chunks * max(1, n_named)
    if recall != "top":
        # Whatever stands out belongs to the whole: each of several red cars has to be counted.
        supported = sum(each.support >= SUPPORTED for each in found)
        n_top = max(n_top, min(supported, config.overview_chunks))
    top = [each.hit.chunk for each in found[: min(n_top, room)]]
    if recall == "top" and top:
        return _in_order(top, refs), "top"
    n_even = room if recall == "all" else config.overview_chunks
    even = _evenly(refs, min(n_even, room - len(top)))
    return _in_order([*top, *even], refs), "overview"


def _evenly(refs: Sequence[ChunkRef], count: int) -> list[ChunkRef]:
    """So many chunks, the middles of equal stretches."""
    count = max(0, min(count, len(refs)))
    return [refs[(2 * place + 1) * len(refs) // (2 * count)] for place in range(count)]


def _in_order(chosen: Iterable[ChunkRef], refs: Sequence[ChunkRef]) -> tuple[ChunkRef, ...]:
    wanted = {(ref.video, ref.ordinal) for ref in chosen}
    return tuple(ref for ref in refs if (ref.video, ref.ordinal) in wanted)
