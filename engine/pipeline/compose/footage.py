"""Footage as observers describe it, and the port through which an answer looks at it again."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Literal, Protocol, runtime_checkable

from engine.records import (
    Box,
    Evidence,
    Observation,
    ObservationKind,
    Observed,
    Scope,
    TimeSpan,
    VideoId,
)
from engine.sight.thing_words import Vocabulary

Verdict = Literal["answered", "unsure", "unknown"]
"""Rows ground an answer; rows hint at one; nothing here could have known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The moment of a scope whose stills fit a phrase best, and how well."""

    phrase: str
    log_odds: float
    """That it is seen; above 0 an encoder claims it."""
    source: str
    """The encoder that is surest of it."""
    evidence: Evidence


@runtime_checkable
class SecondLook(Protocol):
    """Models that look at stills and compare texts while a question is answered."""

    def classes(self, video: VideoId, time_s: float, box: Box | None = None) -> Sequence[float]:
        """Return the classifier's posterior over the vocabulary's classes.

        Args:
            video: Whose still.
            time_s: When.
            box: The part of it; the whole when `None`.
        Returns:
            As many as there are classes; empty where there is no still or no classifier.
        """
        ...

    def colours(self, video: VideoId, time_s: float, box: Box | None = None) -> tuple[str, ...]:
        """Return the names of the colours of a still's pixels, the most common first."""
        ...

    def place(self, video: VideoId, time_s: float, classes: frozenset[int]) -> Box | None:
        """Return roughly where in a still some classes are seen; `None` without a model."""
        ...

    def fits(self, phrases: Sequence[str], scope: Scope) -> tuple[Fit, ...]:
        """Return the best moment of each phrase by the encoders of stills, in their order.

        Returns:
            Nothing where no encoder has looked.
        """
        ...

    def likeness(self, text: str, others: Sequence[str]) -> Sequence[float]:
        """Return how near each other text is in meaning, as a cosine; empty without a model."""
        ...


class NoSecondLook:
    """The port without anything behind it: every question rests on rows alone."""

    def classes(self, video: VideoId, time_s: float, box: Box | None = None) -> Sequence[float]:
        """Return nothing."""
        return ()

    def colours(self, video: VideoId, time_s: float, box: Box | None = None) -> tuple[str, ...]:
        """Return nothing."""
        return ()

    def place(self, video: VideoId, time_s: float, classes: frozenset[int]) -> Box | None:
        """Return nothing."""
        return None

    def fits(self, phrases: Sequence[str], scope: Scope) -> tuple[Fit, ...]:
        """Return nothing."""
        return ()

    def likeness(self, text: str, others: Sequence[str]) -> Sequence[float]:
        """Return nothing."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedSpan:
    """A stretch of a video that a question is about."""

    video: VideoId
    name: str
    span: TimeSpan
    """Ends where the video ends."""
    start_at: datetime | None = None
    """The first frame on the wall clock, in the zone that times are told in."""
    camera: str | None = None
    """Whose timeline it lies on, with other videos; a file by itself has its own."""


@dataclass(frozen=True, kw_only=True)
class WatchedFootage:
    """Everything that is known of the footage that a question is about."""

    watched: tuple[WatchedSpan, ...]
    rows: tuple[Observation, ...]
    """In time order, of any kind; each reaches into a watched span."""
    reach: tuple[Observed, ...]
    vocabulary: Vocabulary
    look: SecondLook
    nearest: tuple[Evidence, ...] = ()
    """The moments nearest to what the question names, best first: where to look again."""
    claimed: tuple[Evidence, ...] = ()
    """Those of them that an encoder claims: their look is what the question names."""
    most_looks: int | None = None
    """Rows of a thing that a classifier looks at again, the surest, until it bears one out; `None`
    has all of them looked at."""

    @property
    def scope(self) -> Scope:
        """The watched spans, as searches take them."""
        return tuple((item.video, item.span) for item in self.watched)

    @property
    def duration_s(self) -> float:
        """Seconds of all watched spans."""
        return sum((item.span.duration_s for item in self.watched), 0.0)

    @property
    def is_one_video(self) -> bool:
        """Whether all of it is of one video, which needs no name in a sentence."""
        return len(self._first_spans) <= 1

    def of(self, *kinds: ObservationKind) -> tuple[Observation, ...]:
        """Return the rows of some kinds, in time order."""
        if len(kinds) == 1:
            # Asked again for each row of another kind.
            return self._rows_by_kind.get(kinds[0], ())
        return tuple(row for row in self.rows if row.kind in kinds)

    def labelled(self, labels: frozenset[str]) -> tuple[Observation, ...]:
        """Return the object rows with one of these labels, in time order."""
        return tuple(row for row in self.of("object") if row.label in labels)

    def first_span(self, video: VideoId) -> WatchedSpan | None:
        """Return the first watched stretch of a video; `None` where it has none."""
        return self._first_spans.get(video)

    def name(self, video: VideoId) -> str:
        """Return the name of a video."""
        item = self.first_span(video)
        return video if item is None else item.name

    def of_videos(self, videos: Collection[VideoId]) -> "WatchedFootage":
        """Return what is of some videos."""
        return replace(
            self,
            watched=tuple(item for item in self.watched if item.video in videos),
            rows=tuple(row for row in self.rows if row.video in videos),
            claimed=tuple(item for item in self.claimed if item.video in videos),
            nearest=tuple(item for item in self.nearest if item.video in videos),
        )

    def has_reach(self, kind: ObservationKind, labels: frozenset[str] = frozenset()) -> bool:
        """Return whether an observer of a kind has looked over all of it, for these labels.

        A hundredth may be missing: the last frame of a file is often not sampled.
        """
        return bool(self.watched) and all(
            any(
                seen.kind == kind
                and seen.video == item.video
                and (not labels or labels & seen.labels)
                and seen.span.overlap_s(item.span) >= 0.99 * item.span.duration_s - 1.0
                for seen in self.reach
            )
            for item in self.watched
        )

    def within(
        self, part: TimeSpan | Mapping[VideoId, TimeSpan], *, cuts_rows: bool = False
    ) -> "WatchedFootage":
        """Return what reaches into a stretch of media time, in every video or each in its own.

        Args:
            part: The stretch; it may have no end. Of a video that is not named nothing is left.
            cuts_rows: Whether a row or a claim that goes on beyond the stretch ends with it, so
                that times and lengths are of the stretch alone.
        """

        def of(video: VideoId) -> TimeSpan:
            return part if isinstance(part, TimeSpan) else part.get(video, _NEVER)

        watched = tuple(
            replace(item, span=_cut(item.span, of(item.video)))
            for item in self.watched
            if item.span.overlap_s(of(item.video)) > 0
        )
        rows = tuple(row for row in self.rows if row.span.overlap_s(of(row.video)) > 0)
        if cuts_rows:
            rows = tuple(cut_row(row, of(row.video)) for row in rows)
        claimed = tuple(item for item in self.claimed if item.span.overlap_s(of(item.video)) > 0)
        if cuts_rows:
            claimed = tuple(_cut_evidence(item, of(item.video)) for item in claimed)
        nearest = tuple(item for item in self.nearest if of(item.video).contains(item.keyframe_s))
        return replace(self, watched=watched, rows=rows, claimed=claimed, nearest=nearest)

    @cached_property
    def _rows_by_kind(self) -> Mapping[ObservationKind, tuple[Observation, ...]]:
        by_kind: dict[ObservationKind, list[Observation]] = {}
        for row in self.rows:
            by_kind.setdefault(row.kind, []).append(row)
        return {kind: tuple(rows) for kind, rows in by_kind.items()}

    @cached_property
    def _first_spans(self) -> Mapping[VideoId, WatchedSpan]:
        # Backwards, so that the first of each video stays.
        return {item.video: item for item in reversed(self.watched)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """A sentence with its evidence, and how far it can be relied on."""

    text: str
    verdict: Verdict = "answered"
    evidence: tuple[Evidence, ...] = ()
    """In the order of the sentence; empty where there is nothing to show."""


_NEVER = TimeSpan(start_s=0.0, end_s=0.0)


def _cut(span: TimeSpan, part: TimeSpan) -> TimeSpan:
    return TimeSpan(start_s=max(span.start_s, part.start_s), end_s=min(span.end_s, part.end_s))


def cut_row(row: Observation, part: TimeSpan) -> Observation:
    """Return a row as it is within a stretch: its time, its places and the frame to look at."""
    span = _cut(row.span, part)
    boxes = tuple(box for box in row.boxes if span.start_s <= box.time_s <= span.end_s)
    if row.boxes and not boxes:
        middle_s = (span.start_s + span.end_s) / 2
        boxes = (min(row.boxes, key=lambda box: abs(box.time_s - middle_s)),)
    peak_s = min(max(row.peak_s, span.start_s), span.end_s)
    return replace(row, span=span, boxes=boxes, peak_s=peak_s)


def _cut_evidence(item: Evidence, part: TimeSpan) -> Evidence:
    span = _cut(item.span, part)
    keyframe_s = min(max(item.keyframe_s, span.start_s), span.end_s)
    return replace(item, span=span, keyframe_s=keyframe_s)
