"""Everything known of the footage that a question is about, gathered for a composed answer."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from app.services.context import ServiceContext
from app.services.scope import known_s, narrowing
from app.timefmt import local_moment
from engine.errors import MissingCapabilityError
from engine.pipeline.compose.footage import WatchedFootage, WatchedSpan, cut_row
from engine.pipeline.fusion import Moment
from engine.pipeline.question_kinds import QuestionForm
from engine.pipeline.second_look import Encode, StillsLook
from engine.records import Box, Evidence, Observation, Scope, TimeSpan, VideoId
from engine.sight import parts, sentences
from engine.sight.thing_words import Vocabulary, split_phrase
from storage.records import VideoRow

if TYPE_CHECKING:
    from engine.sight.classifier import Classifier

MAX_ROWS: Final = 20_000
"""Most observations that are read for one answer; a week of a busy street has more, and is asked
about by hours."""


LEAST_CLAIM: Final = 0.5
"""Score from which the claim of an encoder grounds an answer: a claimed stretch may reach over
much that only resembles its best frame."""
MANY_VIDEOS: Final = 40
"""Videos from which only rows of the thing that was asked for are read: a library of thousands
has rows by the million, and an answer has a tenth of a second."""
MOST_THINGS: Final = 200
"""Rows of a thing that are read of so many videos, the surest."""
MOST_LOOKS: Final = 8
"""Rows of a thing that are looked at again of so many videos, the surest, until one is borne out:
each look takes some 10 to 20 ms of a core, and a label has rows by the thousand."""
COUNTED: Final = frozenset({"how_many", "how_often", "how_long"})
"""Questions that every row counts for."""
MOST_WORDS: Final = 50
"""Pieces of print and speech that are read of so many videos, those with the question's words."""


def gather_footage(
    context: ServiceContext,
    scope: Scope,
    nearest: Sequence[Moment] = (),
    form: QuestionForm | None = None,
) -> WatchedFootage:
    """Return the observations of a scope, with their reach and what can look again.

    Args:
        context: Of the library.
        scope: Spans of videos that are there.
        nearest: The moments that are found for what the question names, best first.
        form: The question, read; of many videos only rows that concern it are gathered.
    """
    videos = context.catalog.videos.by_id()
    watched = tuple(
        WatchedSpan(
            video=video,
            name=videos[video].name,
            span=TimeSpan(
                start_s=span.start_s,
                end_s=max(span.start_s, min(span.end_s, known_s(videos[video]))),
            ),
            start_at=_local_start(context, videos[video]),
            camera=videos[video].camera,
        )
        for video, span in scope
        if video in videos
    )
    is_large = form is not None and len(watched) > MANY_VIDEOS
    # Of a large library the reach of a few tells the words; nothing is denied there.
    looked_into = [hit.video for hit in nearest] if is_large else [item.video for item in watched]
    observations = context.catalog.observations
    reach = tuple(row for video in dict.fromkeys(looked_into) for row in observations.reach(video))
    vocabulary = _vocabulary(frozenset(label for row in reach for label in row.labels))
    if form is not None and is_large:
        rows = _rows_about(context, scope, form, vocabulary)
    else:
        rows = observations.list(narrowing(context, scope))
    return WatchedFootage(
        watched=watched,
        rows=_within(rows[:MAX_ROWS], scope),
        reach=reach,
        vocabulary=vocabulary,
        look=StillsLook(
            context.stills,
            classify=lambda images: _classifier().probabilities(images),
            name_colours=_colours_in,
            encode=_sentence_vectors(context, scope),
            locate=lambda image, classes: _classifier().locate(image, classes),
            encoders=context.encoders,
        ),
        nearest=tuple(map(_evidence, nearest)),
        most_looks=MOST_LOOKS if is_large else None,
        claimed=tuple(
            _evidence(item)
            for item in nearest
            if item.is_claimed and item.kind == "vector" and item.score >= LEAST_CLAIM
        ),
    )


def _within(rows: Sequence[Observation], scope: Scope) -> tuple[Observation, ...]:
    """Return rows as far as they lie in a scope, a part for each stretch that they reach into.

    Else "who came between 22:00 and 6:00" would tell of minutes before, and count their length.
    """
    spans: dict[VideoId, list[TimeSpan]] = {}
    for video, span in scope:
        spans.setdefault(video, []).append(span)
    return tuple(
        row
        if span.start_s <= row.span.start_s and row.span.end_s <= span.end_s
        else cut_row(row, span)
        for row in rows
        for span in spans.get(row.video, ())
        if row.span.overlap_s(span) > 0 or span.contains(row.span.start_s)
    )


def _evidence(moment: Moment) -> Evidence:
    return Evidence(
        video=moment.video,
        span=moment.span,
        score=moment.score,
        origin="retrieval",
        keyframe_s=moment.peak_s,
    )


def _local_start(context: ServiceContext, row: VideoRow) -> datetime | None:
    """Return the wall clock of a first frame in local time where it was filmed."""
    if row.start_at is None:
        return None
    return local_moment(row.start_at, 0.0, context.settings.media.zone(row.timezone))


def _rows_about(
    context: ServiceContext, scope: Scope, form: QuestionForm, vocabulary: Vocabulary
) -> tuple[Observation, ...]:
    """Return the rows of the things that a question names, and words that it shares."""
    observations, within = context.catalog.observations, narrowing(context, scope)
    labels: frozenset[str] = frozenset()
    for text in (form.subject, form.other):
        labels |= vocabulary.thing(split_phrase(text)[0]).labels
    things: tuple[Observation, ...] = ()
    if labels:
        most = None if form.kind in COUNTED else MOST_THINGS
        things = observations.list(within, kinds=["object"], labels=labels, most=most)
    matches = observations.matching(form.text, within, kinds=["text", "speech"], top=MOST_WORDS)
    spoken = (match.observation for match in matches)
    return tuple(sorted((*things, *spoken), key=lambda row: (row.video, row.span.start_s)))


@lru_cache(maxsize=1)
def _classifier() -> "Classifier":
    # Late: torch, and only for questions that look again.
    from engine.sight.classifier import Classifier

    return Classifier()


def _sentence_vectors(context: ServiceContext, scope: Scope) -> Encode:
    """Return an encoder of texts that has the vectors of what was read and said already.

    An hour of talk has about a thousand sentences: encoding them anew takes seconds.
    """

    @lru_cache(maxsize=1)
    def stored() -> dict[str, bytes]:
        texts = context.catalog.observations.vectors(narrowing(context, scope), sentences.NAME)
        return {text.text: text.vector for text in texts}

    def encode(texts: Sequence[str]) -> Float32[Tensor, "text dim"]:
        vectors = torch.empty(len(texts), sentences.DIM)
        fresh = [idx for idx, text in enumerate(texts) if text not in stored()]
        vectors[fresh] = context.sentences.encode([texts[idx] for idx in fresh])
        for idx in set(range(len(texts))) - set(fresh):
            vectors[idx] = torch.frombuffer(bytearray(stored()[texts[idx]]), dtype=torch.float16)
        return vectors

    return encode


def _colours_in(pixels: UInt8[np.ndarray, "_ _ 3"], box: Box) -> tuple[str, ...]:
    """Return the colours of a box as observers name them; none of a picture without colours."""
    # Late: OpenCV.
    from engine.sight.colours import colours_of, is_monochrome
    from engine.sight.detector import Detection

    if is_monochrome(pixels):
        return ()
    detection = Detection(
        label="",
        confidence=1.0,
        left=box.left,
        top=box.top,
        right=box.right,
        bottom=box.bottom,
    )
    return colours_of(pixels, detection)


@lru_cache(maxsize=4)
def _vocabulary(labels: frozenset[str]) -> Vocabulary:
    try:
        classes = parts.find(parts.CLASSIFIER_LABELS).read_text(encoding="utf-8").splitlines()
    except MissingCapabilityError:
        # Words for what detectors name do without it.
        classes = []
    return Vocabulary(labels, classes)
