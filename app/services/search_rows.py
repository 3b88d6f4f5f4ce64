"""Rows of observers for a search: read from the database, weighed by the engine."""

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np

from app.services.context import ServiceContext
from app.services.scope import narrowing
from engine.pipeline.fusion import Moment, surest_first
from engine.pipeline.row_search import (
    LEAST_TEXT_COSINE,
    Wanted,
    absence_moments,
    caption_moments,
    is_about_motion,
    label_moments,
    meaning_moments,
    motion_moments,
    text_moments,
    thing_moments,
    without_negated,
)
from engine.records import Observation, ObservationKind, Scope, TimeSpan, VideoId
from engine.sight import sentences
from storage.full_text import words_of

_WORDS: Final[tuple[ObservationKind, ...]] = ("text", "speech")
_MOST_THINGS: Final = 200
"""Rows of one thing that are weighed, and moments of several together, the surest: a library has
them by the hundred thousand, and a result holds ten."""
_MOST_TEXTS: Final = 40
"""Rows of print and speech that hold words of a query, and as many whose meaning is near it."""


def find_rows(
    context: ServiceContext,
    query: str,
    wanted: Wanted,
    scope: Scope,
    moments: Sequence[Moment],
    *,
    labels: Collection[str] = (),
) -> tuple[Moment, ...]:
    """Return moments that rows state beside those of vectors; what a query rules out is dropped.

    Args:
        labels: Labels that were chosen by hand: then nothing but things that have them.
    """
    store, within = context.catalog.observations, narrowing(context, scope)
    if labels:
        return label_moments(store.list(within, kinds=["object"], labels=labels))
    things: tuple[Observation, ...] = ()
    if wanted.labels:
        # Of things that have to be seen together, or absent, every row counts.
        is_alone = len(wanted.terms) == 1 and wanted.count == 1 and not wanted.negated
        things = store.list(
            within,
            kinds=["object"],
            labels=wanted.labels,
            colours=wanted.colours,
            most=_MOST_THINGS if is_alone else None,
        )
    kept = without_negated(wanted, moments, things)
    of_things = sorted(thing_moments(wanted, things), key=surest_first)
    kept += tuple(of_things[:_MOST_THINGS])
    kept += absence_moments(wanted, things, _reach(context, wanted, scope))
    n_words = len(words_of(query))
    matches = store.matching(query, within, kinds=_WORDS, top=_MOST_TEXTS)
    kept += text_moments((match.observation, match.share, n_words) for match in matches)
    kept += _by_meaning(context, query, within)
    kept += _by_captions(context, query, within, n_words)
    if is_about_motion(query):
        kept += motion_moments(query, store.list(within, kinds=["motion"]))
    return tuple(kept)


def _by_meaning(context: ServiceContext, query: str, within: Scope | None) -> tuple[Moment, ...]:
    """Return texts whose sentence vector is near the query's; none where no text has one."""
    observations = context.catalog.observations
    texts = observations.vectors(within, sentences.NAME, kinds=_WORDS)
    if not texts:
        return ()
    packed = np.frombuffer(b"".join(text.vector for text in texts), "<f2")
    matrix = packed.reshape(len(texts), -1).astype(np.float32)
    cosines = matrix @ context.sentences.encode_phrase(query).numpy()
    nearest = np.argsort(-cosines, kind="stable")[:_MOST_TEXTS]
    near = {
        texts[idx].id: float(cosines[idx]) for idx in nearest if cosines[idx] >= LEAST_TEXT_COSINE
    }
    # The few that are near are read whole, and no more.
    rows = observations.get(near)
    return meaning_moments((rows[row], cosine) for row, cosine in near.items() if row in rows)


def _by_captions(
    context: ServiceContext, query: str, within: Scope | None, n_words: int
) -> tuple[Moment, ...]:
    """Return the captions that hold words of a query.

    Captions of footage that the loaded model knows nothing about are left out: they tell of its
    own world, whatever the picture is.
    """
    matches = context.catalog.captions.matching(query, within, top=_MOST_TEXTS)
    return caption_moments(
        (match.caption, match.share, n_words)
        for match in matches
        if context.engine.knows(match.caption.ref.video)
    )


def _reach(context: ServiceContext, wanted: Wanted, scope: Scope) -> list[tuple[VideoId, TimeSpan]]:
    """Return the stretches of a scope in which a detector looked for what has to be absent."""
    if not wanted.negated:
        return []
    looked = {
        observed.video: observed.span
        for observed in context.catalog.observations.reach()
        if observed.kind == "object" and wanted.negated <= observed.labels
    }
    return [
        (video, TimeSpan(start_s=span.start_s, end_s=min(span.end_s, looked[video].end_s)))
        for video, span in scope
        if video in looked and looked[video].end_s > span.start_s
    ]
