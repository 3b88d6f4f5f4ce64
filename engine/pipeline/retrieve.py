"""A question to the chunks that answer it: scored by vectors and attention, diverse in time."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float32
from torch import Tensor

from engine.errors import MissingCapabilityError, NotFoundError
from engine.pipeline.assemble import Engine, RetrievalConfig, refresh
from engine.pipeline.wording import phrase, recall_for
from engine.records import ChunkRef, Hit, Origin, Recall, Spread, TimeSpan, VideoId

Scope = Sequence[tuple[VideoId, TimeSpan]]

ATTEND_BATCH = 64
"""Chunks whose latents are looked at side by side: bounds memory when a family has no joint
space and every chunk has to be attended to."""

_LEAST_STD = 1e-4
"""Deviation of scores below which a video counts as uniform: float32 noise of a dot product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What speaks for a chunk, comparable from question to question and from video to video."""

    cosine: float
    deviation: float
    """Above its video's mean in deviations, less what the best of so many frames reaches by
    chance."""
    attention: float
    """Of the question, in deviations among the candidates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A hit, what speaks for it, and how much that is worth."""

    hit: Hit
    signals: Signals
    support: float
    """In [0, 1]; below 0.5 it is more likely chance than not."""
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """What a question found in a scope, and what of it will be recalled."""

    found: tuple[Found, ...]
    """Best first, no two neighbours."""
    nearby: tuple[Found, ...]
    """The hits' neighbours that scored well too: evidence may reach into them."""
    chunks: tuple[ChunkRef, ...]
    """What to recall, by video and time."""
    recall: Recall
    searched_s: float
    query: Float32[Tensor, " dim"] | None
    """The phrase in the joint space; `None` where a family has none."""

    @property
    def is_supported(self) -> bool:
        """Whether anything found stands out."""
        return bool(self.found) and self.found[0].support >= 0.5


def retrieve(
    engine: Engine,
    question: str,
    *,
    scope: Scope | None = None,
    recall: Recall | None = None,
    most_latents: int | None = None,
) -> Retrieved:
    """Find what answers a question.

    Args:
        engine: Whose index and cache to search; chunks that other processes wrote are seen.
        question: As asked; its phrase is what is looked for.
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
    query = _embed(engine, phrase(question))
    scored = _scored(engine, question, query, refs, scope)
    found, nearby = _diverse(scored, engine.retrieval.candidates)
    chosen, used = _choose(engine, refs, found, recall or recall_for(question), most_latents)
    return Retrieved(
        found=found,
        nearby=nearby,
        chunks=chosen,
        recall=used,
        searched_s=searched_s(refs, scope),
        query=query,
    )


def searched_s(refs: Iterable[ChunkRef], scope: Scope | None) -> float:
    """Seconds of video that chunks cover inside a scope."""
    if scope is None:
        return sum(ref.span.duration_s for ref in refs)
    return sum(
        ref.span.overlap_s(span) for ref in refs for video, span in scope if video == ref.video
    )


def _embed(engine: Engine, text: str) -> Float32[Tensor, " dim"] | None:
    try:
        return engine.model.embed_text(text)
    except MissingCapabilityError:
        return None


def _scored(
    engine: Engine,
    question: str,
    query: Float32[Tensor, " dim"] | None,
    refs: Sequence[ChunkRef],
    scope: Scope | None,
) -> tuple[Found, ...]:
    """Candidates, best supported first."""
    config = engine.retrieval
    if query is None:
        return _by_attention(_attention(engine, question, refs), refs, config)
    hits = engine.index.search(query, config.candidates, within=scope)
    deviations = _deviations(hits, engine.index.spread(query, within=scope))
    attention = torch.zeros(len(hits))
    if config.per_attention:
        attention = _standardised(_attention(engine, question, [hit.chunk for hit in hits]))
    found = (
        _weighed(
            hit,
            Signals(cosine=hit.score, deviation=deviation, attention=float(look)),
            "retrieval",
            config,
        )
        for hit, deviation, look in zip(hits, deviations, attention, strict=True)
    )
    return tuple(sorted(found, key=lambda each: -each.support))


def _weighed(hit: Hit, signals: Signals, origin: Origin, config: RetrievalConfig) -> Found:
    worth = (
        config.bias
        + config.per_cosine * signals.cosine
        + config.per_deviation * signals.deviation
        + config.per_attention * signals.attention
    )
    # Beyond 30 a float tells 1 from the share no longer; exp must not overflow.
    support = 1 / (1 + math.exp(-max(-30.0, min(30.0, worth))))
    return Found(hit=hit, signals=signals, support=support, origin=origin)


def _deviations(hits: Sequence[Hit], spreads: Sequence[Spread]) -> list[float]:
    """How far each hit stands out of its own video.

    The deviation is shared by all videos of the scope: a still video's would be so small that
    its noise outranked another's events.
    """
    n_frames = sum(spread.n_frames for spread in spreads)
    pooled = sum(spread.n_frames * spread.std**2 for spread in spreads) / max(1, n_frames)
    std = max(math.sqrt(pooled), _LEAST_STD)
    means = {spread.video: spread.mean for spread in spreads}
    chance = _best_of_chance(n_frames)
    return [(hit.score - means[hit.chunk.video]) / std - chance for hit in hits]


def _best_of_chance(n_frames: int) -> float:
    """The deviation that the best of so many unrelated frames reaches (Gumbel's mode)."""
    return math.sqrt(2 * math.log(max(n_frames, 2)))


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


def _by_attention(
    looks: Float32[Tensor, " chunk"], refs: Sequence[ChunkRef], config: RetrievalConfig
) -> tuple[Found, ...]:
    """Candidates of a family without a joint space; a hit is its chunk's middle."""
    standardised = _standardised(looks)
    shares = torch.softmax(standardised, dim=0)
    chance = _best_of_chance(len(refs))
    # The weights of the joint space's signals are not known to hold here: deviations alone count.
    alone = replace(config, bias=0.0, per_cosine=0.0, per_attention=0.0)
    order = torch.argsort(standardised, descending=True, stable=True)[: config.candidates]
    return tuple(
        _weighed(
            Hit(chunk=refs[n], score=float(shares[n]), peak_s=_middle_s(refs[n])),
            Signals(cosine=0.0, deviation=float(standardised[n]) - chance, attention=0.0),
            "attention",
            alone,
        )
        for n in order.tolist()
    )


def _middle_s(ref: ChunkRef) -> float:
    return (ref.span.start_s + ref.span.end_s) / 2


def _standardised(scores: Float32[Tensor, " chunk"]) -> Float32[Tensor, " chunk"]:
    if len(scores) < 2:
        return torch.zeros_like(scores)
    return (scores - scores.mean()) / scores.std().clamp_min(_LEAST_STD)


def _diverse(scored: Sequence[Found], most: int) -> tuple[tuple[Found, ...], tuple[Found, ...]]:
    """Keep the best of neighbouring chunks; the others come back as its neighbourhood."""
    found: list[Found] = []
    nearby: list[Found] = []
    for each in scored:
        beside = any(_adjacent(each.hit.chunk, kept.hit.chunk) for kept in found)
        (nearby if beside else found).append(each)
    return tuple(found[:most]), tuple(nearby)


def _adjacent(one: ChunkRef, other: ChunkRef) -> bool:
    return one.video == other.video and abs(one.ordinal - other.ordinal) <= 1


def _choose(
    engine: Engine,
    refs: Sequence[ChunkRef],
    found: Sequence[Found],
    recall: Recall,
    most_latents: int | None,
) -> tuple[tuple[ChunkRef, ...], Recall]:
    """The chunks to recall, in order, and the mode that was possible.

    `all` becomes `overview` when the model's positions do not hold everything.
    """
    config, room = engine.retrieval, len(refs)
    if most_latents is not None:
        room = max(1, most_latents // engine.latents_per_chunk)
    top = [each.hit.chunk for each in found[: min(config.top_chunks, room)]]
    if recall == "all" and room >= len(refs):
        return tuple(refs), "all"
    if recall == "top":
        return _in_order(top, refs), "top"
    n_even = room - len(top) if recall == "all" else config.overview_chunks
    even = _evenly(refs, min(n_even, room - len(top)))
    return _in_order([*top, *even], refs), "overview"


def _evenly(refs: Sequence[ChunkRef], count: int) -> list[ChunkRef]:
    """So many chunks, the middles of equal stretches."""
    count = min(count, len(refs))
    return [refs[(2 * place + 1) * len(refs) // (2 * count)] for place in range(count)]


def _in_order(chosen: Iterable[ChunkRef], refs: Sequence[ChunkRef]) -> tuple[ChunkRef, ...]:
    wanted = {(ref.video, ref.ordinal) for ref in chosen}
    return tuple(ref for ref in refs if (ref.video, ref.ordinal) in wanted)
