"""A question to the chunks that answer it: scored by vectors and attention, diverse in time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch
from jaxtyping import Float32
from torch import Tensor

from engine.chunk_refs import ChunkRefs
from engine.errors import (
    AwayLatentsError,
    CorruptLatentsError,
    LongwatchError,
    MissingCapabilityError,
    NotFoundError,
)
from engine.pipeline.coverage import left_out, searched_s
from engine.pipeline.engine import Engine
from engine.pipeline.query import Query
from engine.pipeline.scoring import (
    LEAST_STD,
    SUPPORTED,
    ScoredHit,
    rank_by_attention,
    rank_by_vectors,
)
from engine.pipeline.world import evenly_spaced
from engine.records import ChunkRef, IndexResult, Recall, Scope, VideoId, VideoStretch

ATTEND_BATCH = 64
"""Chunks whose latents are looked at side by side: bounds memory when a family has no joint
space and every chunk has to be attended to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhraseMatches:
    """One phrase in the joint space, and the index's answer to it."""

    vector: Float32[Tensor, " dim"]
    result: IndexResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """The hits of a question in a scope, and the chunks to recall for it."""

    hits: tuple[ScoredHit, ...]
    """Best first, no two neighbours; phrases take turns. Empty when the question names nothing."""
    nearby: tuple[ScoredHit, ...]
    """Neighbours of the hits that were proposed too: evidence may reach into them."""
    chunks: tuple[ChunkRef, ...]
    """The chunks to recall, by video and time."""
    recall: Recall
    refs: ChunkRefs
    """Every chunk of the scope, by video and time."""
    scope: Scope | None
    """The spans that were asked for; `None` is everything."""
    searched_s: float
    left_out: tuple[VideoStretch, ...]
    """Parts of the scope that were read once and cannot be searched."""
    phrases: tuple[PhraseMatches, ...]
    """One for each phrase; none where vectors could not tell frames apart."""


def retrieve(
    engine: Engine,
    query: Query,
    *,
    scope: Scope | None = None,
    recall: Recall | None = None,
    max_latents: int | None = None,
    read_to_s: Mapping[VideoId, float] | None = None,
) -> Retrieved:
    """Find the chunks that answer a question.

    Args:
        engine: Whose index and cache to search; chunks that other processes wrote are seen.
        query: The question, parsed.
        scope: Only these spans of these videos, recalled in this order; `None` searches everything.
        recall: How much to recall; `None` decides by the question's wording.
        max_latents: Room for latents among the model's positions; `None` knows no bound.
        read_to_s: How far each video was read: what of it no chunk holds any more is left out.
    Raises:
        NotFoundError: The scope holds no chunk.
        CorruptLatentsError: A chunk is damaged, or every chunk of the scope is.
    Cost: one pass over the index per phrase, and one over the candidates' latents where
        attention counts; every chunk's latents where vectors cannot tell frames apart.
    """
    refs, missing = look_up(engine, scope, read_to_s)
    config = engine.retrieval
    phrases = _match_phrases(engine, query.phrases, scope)
    ranked: list[tuple[ScoredHit, ...]] = []
    if phrases:
        attention = None
        # Attention to a question about two things cannot tell them apart.
        if config.signals == "both" and config.per_attention and len(phrases) == 1:
            candidates = [hit.chunk for hit in phrases[0].result.hits]
            attention = _attend(engine, query.question, candidates)
        ranked = [
            rank_by_vectors(matches.result, attention, config, phrase_idx=idx)
            for idx, matches in enumerate(phrases)
        ]
    elif query.phrases:
        ranked = [rank_by_attention(refs, _attend(engine, query.question, refs), config)]
    hits, nearby = interleave([keep_diverse(scored, config.candidates) for scored in ranked])
    max_chunks = len(refs)
    if max_latents is not None:
        latents_per_chunk = engine.model.card.latents_at(engine.compression_ratio)
        max_chunks = max(1, max_latents // latents_per_chunk)
    chunks, possible_recall = _choose_chunks(
        refs,
        hits,
        n_top=config.top_chunks * max(1, len(query.phrases)),
        n_overview=config.overview_chunks,
        recall=recall or query.recall,
        max_chunks=max_chunks,
    )
    return Retrieved(
        hits=hits,
        nearby=nearby,
        chunks=chunks,
        recall=possible_recall,
        refs=refs,
        scope=scope,
        searched_s=searched_s(refs, scope),
        left_out=missing,
        phrases=phrases,
    )


def look_up(
    engine: Engine, scope: Scope | None, read_to_s: Mapping[VideoId, float] | None = None
) -> tuple[ChunkRefs, tuple[VideoStretch, ...]]:
    """Return the chunks of a scope, and what of it cannot be searched; chunks just written count.

    Raises:
        NotFoundError: The scope holds no chunk.
        CorruptLatentsError: Every chunk of the scope is damaged.
    """
    engine.refresh()
    every = engine.index.refs()
    refs = every
    missing: tuple[VideoStretch, ...] = ()
    if scope is not None:
        refs = every.reaching_into(scope).in_order_of(video for video, _ in scope)
        missing = left_out(every, scope, read_to_s or {})
    if not refs:
        raise _nothing_to_search(engine, missing)
    return refs, missing


def _nothing_to_search(engine: Engine, missing: Sequence[VideoStretch]) -> LongwatchError:
    """Return the reason why a scope holds no chunk: footage was lost, or was never there."""
    if missing:
        folder = str(engine.config.latents_folder)
        if engine.away:
            return AwayLatentsError(folder, "no chunk of what was asked for can be fetched now")
        return CorruptLatentsError(folder, "no chunk of what was asked for can be used")
    return NotFoundError(
        "there is no video to search here", hint="ingest a video first, or widen the filters"
    )


def _match_phrases(
    engine: Engine, phrases: Sequence[str], scope: Scope | None
) -> tuple[PhraseMatches, ...]:
    """Ask the index for each phrase; nothing where vectors are missing or left out."""
    if engine.retrieval.signals == "attention":
        return ()
    try:
        vectors = [engine.model.embed_text(phrase) for phrase in phrases]
    except MissingCapabilityError:
        return ()
    n_hits = engine.retrieval.candidates
    matches = tuple(
        PhraseMatches(vector=vector, result=engine.index.search(vector, n_hits, within=scope))
        for vector in vectors
    )
    # Where all frames look alike, as under mere sound, vectors cannot say which answers.
    stats = (video for match in matches for video in match.result.stats)
    return matches if any(video.std > LEAST_STD for video in stats) else ()


def _attend(engine: Engine, question: str, refs: Sequence[ChunkRef]) -> Float32[Tensor, " chunk"]:
    """Return how strongly the question attends to each chunk, in the order given."""
    scores = []
    for start in range(0, len(refs), ATTEND_BATCH):
        batch = refs[start : start + ATTEND_BATCH]
        # A recall comes by video and time, candidates by score: each score belongs to its chunk.
        by_chunk = {(c.ref.video, c.ref.ordinal): c for c in engine.cache.recall(batch)}
        ordered = [by_chunk[ref.video, ref.ordinal] for ref in batch]
        scores.append(engine.model.attend(question, ordered).float().cpu())
    return torch.cat(scores) if scores else torch.empty(0)


Diverse = tuple[tuple[ScoredHit, ...], tuple[ScoredHit, ...]]
"""Hits, and their neighbours."""


def keep_diverse(scored: Sequence[ScoredHit], max_hits: int) -> Diverse:
    """Keep the best of neighbouring chunks; the others come back as its neighbourhood.

    Two chunks of one event say the same twice, and recall has room for few.
    """
    hits: list[ScoredHit] = []
    nearby: list[ScoredHit] = []
    for candidate in scored:
        is_beside = any(_adjacent(candidate.hit.chunk, hit.hit.chunk) for hit in hits)
        (nearby if is_beside else hits).append(candidate)
    return tuple(hits[:max_hits]), tuple(nearby)


def interleave(lists: Sequence[Diverse]) -> Diverse:
    """Merge the hits of several phrases, taking turns, each chunk once."""
    rounds = zip_longest(*(hits for hits, _ in lists))
    merged: dict[tuple[VideoId, int], ScoredHit] = {}
    for hit in (hit for turn in rounds for hit in turn if hit is not None):
        merged.setdefault((hit.hit.chunk.video, hit.hit.chunk.ordinal), hit)
    return tuple(merged.values()), tuple(hit for _, nearby in lists for hit in nearby)


def _adjacent(ref: ChunkRef, other: ChunkRef) -> bool:
    return ref.video == other.video and abs(ref.ordinal - other.ordinal) <= 1


def _choose_chunks(
    refs: ChunkRefs,
    hits: Sequence[ScoredHit],
    *,
    n_top: int,
    n_overview: int,
    recall: Recall,
    max_chunks: int,
) -> tuple[tuple[ChunkRef, ...], Recall]:
    """Choose the chunks to recall, in order, and say which mode that is.

    `all` becomes `overview` when the model's positions do not hold everything, and `top` when
    nothing was found.
    """
    if recall == "all" and max_chunks >= len(refs):
        return tuple(refs), "all"
    if recall != "top":
        # Whatever stands out belongs to the whole: each of several red cars has to be counted.
        n_supported = sum(hit.support >= SUPPORTED for hit in hits)
        n_top = max(n_top, min(n_supported, n_overview))
    top = [hit.hit.chunk for hit in hits[: min(n_top, max_chunks)]]
    if recall == "top" and top:
        return _in_order(top, refs), "top"
    n_even = max_chunks if recall == "all" else n_overview
    even = evenly_spaced(refs, min(n_even, max_chunks - len(top)))
    return _in_order([*top, *even], refs), "overview"


def _in_order(chosen: Iterable[ChunkRef], refs: ChunkRefs) -> tuple[ChunkRef, ...]:
    places = {refs.place_of(ref.video, ref.ordinal) for ref in chosen}
    return tuple(refs[place] for place in sorted(place for place in places if place is not None))
