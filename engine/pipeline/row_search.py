"""Search over what observers state: things with colours and numbers, print, speech, motion."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np

from engine.pipeline.fusion import Moment
from engine.records import Caption, Observation, TimeSpan, VideoId
from engine.sight.concept_terms import Term, TermTable
from engine.sight.detector import Detector
from engine.sight.thing_words import colour_words
from engine.sight.word_synonyms import NUMBERS

_NUMBERS: Final = {**NUMBERS, "both": 2, "several": 3}
_NEGATION: Final = re.compile(r"\b(?:no|without(?: any)?|not)\b")
_EMPTY_PLACE: Final = re.compile(r"\b(?:empty|deserted|nobody|no one|unattended)\b")
_MOTION: Final = re.compile(r"\b(?:mov(?:es?|ed|ing|ement)|motion)\b")
_WORD: Final = re.compile(r"[a-z0-9]+(?:[-'][a-z]+)*")

SURE_CONFIDENCE: Final = 0.85
"""From which a detector is believed of a thing that is not a person, where nobody bears it out: it
has called cars from above a cell phone at 1.00, so that even this claims little."""
PERSON_CONFIDENCE: Final = 0.5
"""From which a person who is seen in more than one frame is there: 6 of 6 visits in footage of a
room, and no false one."""
_PER_CONFIDENCE: Final = 6.0
"""Log-odds a unit of a detector's confidence: about twice as likely for each tenth."""
_BEHIND_VECTORS: Final = 4.0
"""Log-odds by which rows stand behind vectors where they know no more."""
_SPAN_FRAMES: Final = 2
_MOST_AT_ONCE: Final = 20
"""Larger numbers in a query name something else: a year, a room."""
LEAST_GAP_S: Final = 1.0
"""Shortest stretch without a thing that counts as its absence."""
_FEW_ROWS: Final = 8
"""Rows of a video up to which they are looked through one by one."""
_WORDS_SAID: Final = 0.8
"""Log-odds a word of the query that a text holds; half of them missing takes all of it back."""
LEAST_TEXT_COSINE: Final = 0.45
"""Cosine of sentence vectors from which a text is about the query; 0.3 is any two sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A query as far as rows can answer it."""

    positive: str
    """The query without what it says is not there; empty where nothing else is left."""
    terms: tuple[Term, ...]
    """Things with labels; each has to be there at one time."""
    negated: frozenset[str]
    """Labels of things that have to be absent."""
    colours: tuple[str, ...]
    """Of the first thing, as observers name them."""
    count: int
    """How many of the first thing at one time."""
    unknown: int
    """Words that no label covers."""

    @property
    def labels(self) -> frozenset[str]:
        """Every label that the query is about."""
        return _labels_of(self.terms) | self.negated


def read_query(text: str) -> Wanted:
    """Read what rows can answer of a query."""
    lowered = text.lower()
    positive, negated = lowered, frozenset[str]()
    if _EMPTY_PLACE.search(lowered):
        # An empty room has nobody in it.
        positive, negated = _EMPTY_PLACE.sub(" ", lowered), frozenset({"person"})
    elif match := _NEGATION.search(lowered):
        negated = _labels_of(_table().read(lowered[match.end() :]).terms)
        if negated:
            positive = lowered[: match.start()]
    words = _WORD.findall(positive)
    phrase = _table().read(positive)
    terms = tuple(term for term in phrase.terms if term.labels or term.wider_labels)
    numbers = [_NUMBERS.get(word, int(word) if word.isdecimal() else 0) for word in words]
    unknown = [word for word in phrase.unknown if word not in _NUMBERS and not colour_words(word)]
    return Wanted(
        positive=positive.strip(),
        terms=terms,
        negated=negated,
        colours=colour_words(" ".join(words)),
        count=max([number for number in numbers if 1 < number <= _MOST_AT_ONCE], default=1),
        unknown=len(unknown) + len(phrase.terms) - len(terms),
    )


@cache
def _table() -> TermTable:
    return TermTable((), Detector.labels)


def _labels_of(terms: Iterable[Term]) -> frozenset[str]:
    return frozenset(label for term in terms for label in (*term.labels, *term.wider_labels))


def thing_moments(wanted: Wanted, rows: Sequence[Observation]) -> tuple[Moment, ...]:
    """Return when the things of a query are in view together, in their number and colour.

    Args:
        wanted: With at least one term, or nothing comes of it.
        rows: Of objects, with the labels that the query is about.
    """
    if not wanted.terms:
        return ()
    first, *others = (_Things(rows, term) for term in wanted.terms)
    moments = []
    for row in first.rows:
        beside = [things.surest_beside(row) for things in others]
        span = row.span
        if wanted.count > 1:
            spans = _at_once([other.span for other in first.beside(row)], wanted.count)
            if spans is None:
                continue
            span = spans
        for other in beside:
            if other is not None:
                span = _shared(span, other.span) or span
        moments.append(_thing_moment(wanted, row, span, n_missing=beside.count(None)))
    return tuple(moments)


def label_moments(rows: Sequence[Observation]) -> tuple[Moment, ...]:
    """Return rows of labels that were chosen by hand, however sure their detector is."""
    return tuple(
        _row_moment(
            row,
            relevance=_PER_CONFIDENCE * (row.confidence - PERSON_CONFIDENCE),
            log_odds=_PER_CONFIDENCE * (row.confidence - PERSON_CONFIDENCE),
            text=row.label,
        )
        for row in rows
    )


def absence_moments(
    wanted: Wanted, rows: Sequence[Observation], reach: Sequence[tuple[VideoId, TimeSpan]]
) -> tuple[Moment, ...]:
    """Return when nothing of what a query rules out was in view, the longest stretches first.

    Args:
        wanted: With labels to be absent, or nothing comes of it.
        rows: Of objects, with the labels that the query is about.
        reach: Stretches of videos that a detector of those labels has looked at.
    """
    if not wanted.negated:
        return ()
    moments = []
    by_video = _by_video(row for row in rows if row.label in wanted.negated)
    for video, span in reach:
        present = sorted(row.span for row in by_video.get(video, ()))
        start_s = span.start_s
        for end_s, next_s in [*((row.start_s, row.end_s) for row in present), (span.end_s, 0.0)]:
            if min(end_s, span.end_s) - start_s >= LEAST_GAP_S:
                gap = TimeSpan(start_s=start_s, end_s=min(end_s, span.end_s))
                moments.append(_absence(wanted, video, gap))
            start_s = max(start_s, next_s)
    return tuple(moments)


def without_negated(
    wanted: Wanted, moments: Iterable[Moment], rows: Sequence[Observation]
) -> list[Moment]:
    """Return moments that do not show what a query rules out."""
    by_video = _by_video(row for row in rows if row.label in wanted.negated)
    return [
        moment
        for moment in moments
        if not any(row.span.contains(moment.peak_s) for row in by_video.get(moment.video, ()))
    ]


def text_moments(matches: Iterable[tuple[Observation, float, int]]) -> tuple[Moment, ...]:
    """Return the print and speech that hold words of a query.

    Args:
        matches: Row, share of the query's words that it holds, and how many those are.
    """
    moments = []
    for row, share, n_words in matches:
        log_odds = _held_words(share, n_words)
        moments.append(_row_moment(row, relevance=log_odds, log_odds=log_odds, text=row.text))
    return tuple(moments)


def caption_moments(matches: Iterable[tuple[Caption, float, int]]) -> tuple[Moment, ...]:
    """Return the chunks whose captions hold words of a query, at their middle.

    Args:
        matches: Caption, share of the query's words that it holds, and how many those are.
    """
    moments = []
    for caption, share, n_words in matches:
        log_odds = _held_words(share, n_words)
        span = caption.ref.span
        moments.append(
            Moment(
                video=caption.ref.video,
                span=span,
                peak_s=(span.start_s + span.end_s) / 2,
                kind="caption",
                relevance=log_odds,
                log_odds=log_odds,
                source=caption.model,
                text=caption.text,
            )
        )
    return tuple(moments)


def meaning_moments(rows: Iterable[tuple[Observation, float]]) -> tuple[Moment, ...]:
    """Return the print and speech whose meaning is near a query's; none of it is claimed.

    Args:
        rows: Row, and cosine of its sentence vector with the query's.
    """
    return tuple(
        _row_moment(row, relevance=8 * (cosine - 0.6), log_odds=-0.5, text=row.text)
        for row, cosine in rows
        if cosine >= LEAST_TEXT_COSINE
    )


def motion_moments(text: str, rows: Sequence[Observation]) -> tuple[Moment, ...]:
    """Return when anything moved, for a query about movement as such."""
    if not _MOTION.search(text.lower()):
        return ()
    return tuple(
        _row_moment(row, relevance=row.confidence - 0.5, log_odds=row.confidence - 0.5, text="")
        for row in rows
    )


def is_about_motion(text: str) -> bool:
    """Tell whether a query asks for movement as such."""
    return _MOTION.search(text.lower()) is not None


def _held_words(share: float, n_words: int) -> float:
    """Return the log-odds that a text with a share of a query's words is about it."""
    held = share * n_words
    return _WORDS_SAID * (held - (n_words - held)) - 0.3


def _absence(wanted: Wanted, video: VideoId, gap: TimeSpan) -> Moment:
    # Where more is asked for, that nobody is there says little of it.
    log_odds = -1.0 if wanted.terms or wanted.unknown else 1.0
    return Moment(
        video=video,
        span=gap,
        peak_s=(gap.start_s + gap.end_s) / 2,
        kind="object",
        # Up to 1 for length, so that a long absence precedes the gap between two visits.
        relevance=log_odds + min(gap.duration_s, 60.0) / 60,
        log_odds=log_odds,
        text=f"no {' or '.join(sorted(wanted.negated))}",
    )


def _thing_moment(wanted: Wanted, row: Observation, span: TimeSpan, *, n_missing: int) -> Moment:
    is_person = row.label == "person"
    least = PERSON_CONFIDENCE if is_person else SURE_CONFIDENCE
    log_odds = _PER_CONFIDENCE * (row.confidence - least)
    if len(row.boxes) < _SPAN_FRAMES:
        log_odds -= 1.0
    has_colour = bool(wanted.colours) and bool(set(wanted.colours) & set(row.colours))
    if wanted.colours:
        # The commonest colour of its pixels is it; a second one may be of what is behind it.
        log_odds += 1.5 if has_colour else -2.5
    if wanted.count > 1:
        log_odds += 0.5
    log_odds -= 1.5 * n_missing + 2.0 * wanted.unknown
    if row.label not in wanted.terms[0].labels:
        # Any person would do for a policeman.
        log_odds -= 1.5
    peak_s = row.peak_s if span.contains(row.peak_s) else (span.start_s + span.end_s) / 2
    return Moment(
        video=row.video,
        span=span,
        peak_s=peak_s,
        kind="object",
        # What vectors weigh too, they order better: 0.54 of 63 phrases have the right moment first,
        # and 0.48 with rows on a par. Of colours and numbers rows alone know.
        relevance=log_odds - (0.0 if wanted.colours or wanted.count > 1 else _BEHIND_VECTORS),
        log_odds=log_odds,
        source=row.model,
        text=" ".join((*row.colours[:1], row.label)) if has_colour else row.label,
    )


def _row_moment(row: Observation, *, relevance: float, log_odds: float, text: str) -> Moment:
    return Moment(
        video=row.video,
        span=row.span,
        peak_s=row.peak_s,
        kind=row.kind,
        relevance=relevance,
        log_odds=log_odds,
        source=row.model,
        text=text,
    )


def _by_video(rows: Iterable[Observation]) -> dict[VideoId, list[Observation]]:
    by_video: dict[VideoId, list[Observation]] = {}
    for row in rows:
        by_video.setdefault(row.video, []).append(row)
    return by_video


class _Things:
    """The rows of one term by video: a busy hour has thousands, a library a few of each video."""

    def __init__(self, rows: Sequence[Observation], term: Term) -> None:
        labels = term.labels | term.wider_labels
        self.rows = [row for row in rows if row.kind == "object" and row.label in labels]
        self._by_video = _by_video(self.rows)
        self._times = {
            video: np.array([(row.span.start_s, row.span.end_s) for row in of_video]).T
            for video, of_video in self._by_video.items()
            if len(of_video) > _FEW_ROWS
        }

    def beside(self, row: Observation) -> Sequence[Observation]:
        """Return the rows that share time with another one; that one too, if it is of them."""
        of_video = self._by_video.get(row.video, ())
        times = self._times.get(row.video)
        if times is None:
            return [other for other in of_video if other.span.overlap_s(row.span) > 0]
        starts_s = np.maximum(times[0], row.span.start_s)
        shares = np.minimum(times[1], row.span.end_s) > starts_s
        return [of_video[idx] for idx in np.flatnonzero(shares).tolist()]

    def surest_beside(self, row: Observation) -> Observation | None:
        """Return the surest row that shares time with another one and is not that one."""
        others = (other for other in self.beside(row) if other is not row)
        return max(others, key=lambda other: other.confidence, default=None)


def _shared(span: TimeSpan, other: TimeSpan) -> TimeSpan | None:
    if span.overlap_s(other) <= 0:
        return None
    return TimeSpan(start_s=max(span.start_s, other.start_s), end_s=min(span.end_s, other.end_s))


def _at_once(spans: Sequence[TimeSpan], count: int) -> TimeSpan | None:
    """Return the longest stretch in which so many of these spans, or more, run at one time."""
    edges = sorted({edge for span in spans for edge in (span.start_s, span.end_s)})
    stretches: list[TimeSpan] = []
    for start_s, end_s in pairwise(edges):
        running = sum(span.start_s <= start_s and span.end_s >= end_s for span in spans)
        if running < count:
            continue
        if stretches and stretches[-1].end_s == start_s:
            stretches[-1] = TimeSpan(start_s=stretches[-1].start_s, end_s=end_s)
        else:
            stretches.append(TimeSpan(start_s=start_s, end_s=end_s))
    return max(stretches, key=lambda stretch: stretch.duration_s, default=None)
