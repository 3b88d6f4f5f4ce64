"""Tracks of a thing as visits: joined over short gaps, counted, placed and followed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from engine.pipeline.compose.sentences import evidence_of
from engine.records import Box, Evidence, Observation, TimeSpan, VideoId

GAP_S = 2.5
"""Seconds that a thing may go unseen within one visit: at one frame a second a detector that
misses two frames in a row has lost it, not seen it leave (real-footage study, section 4)."""

MOVED = 0.08
"""Shares of the frame that a thing has to move before it is said to: boxes shake by less."""

STITCH_REACH = 0.35
"""How far a lost thing may have moved, in shares of the frame's width, to be the same one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A stretch in which a thing was in view, and the rows that say so."""

    video: VideoId
    span: TimeSpan
    rows: tuple[Observation, ...]

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Places in time order."""
        return tuple(sorted((box for row in self.rows for box in row.boxes), key=_time))

    @property
    def confidence(self) -> float:
        """Of its surest row."""
        return max(row.confidence for row in self.rows)


def merge(rows: Iterable[Observation], *, gap_s: float = GAP_S) -> tuple[Visit, ...]:
    """Return the stretches in which any of the rows was in view, by video and time."""
    visits: list[Visit] = []
    for row in sorted(rows, key=lambda row: (row.video, row.span.start_s)):
        last = visits[-1] if visits else None
        is_same = (
            last is not None
            and last.video == row.video
            and row.span.start_s - last.span.end_s <= gap_s
        )
        if last is not None and is_same:
            visits[-1] = Visit(
                video=last.video, span=last.span.hull(row.span), rows=(*last.rows, row)
            )
        else:
            visits.append(Visit(video=row.video, span=row.span, rows=(row,)))
    return tuple(visits)


def individuals(rows: Iterable[Observation], *, gap_s: float = GAP_S) -> tuple[Visit, ...]:
    """Return a visit for each thing that came, in order of coming.

    A track that begins where and shortly after another was lost goes on with it; two at the same
    time are two things.
    """
    visits: list[Visit] = []
    first = 0
    for row in sorted(rows, key=lambda row: (row.video, row.span.start_s)):
        if visits and visits[-1].video != row.video:
            first = len(visits)
        goes_on = [
            idx
            for idx, visit in enumerate(visits[first:], start=first)
            if visit.video == row.video
            and -0.5 <= row.span.start_s - visit.span.end_s <= gap_s
            and _is_near(visit.boxes, row.boxes)
        ]
        if goes_on:
            idx = max(goes_on, key=lambda idx: visits[idx].span.end_s)
            visit = visits[idx]
            visits[idx] = Visit(
                video=visit.video, span=visit.span.hull(row.span), rows=(*visit.rows, row)
            )
        else:
            visits.append(Visit(video=row.video, span=row.span, rows=(row,)))
    return tuple(sorted(visits, key=lambda visit: (visit.video, visit.span.start_s)))


def proofs(visits: Sequence[Visit]) -> tuple[Evidence, ...]:
    """Return a piece of evidence for each visit, in order."""
    return tuple(evidence_of(visit.rows, span=visit.span) for visit in visits)


def most_at_once(visits: Sequence[Visit]) -> tuple[int, Visit | None]:
    """Return the most visits that overlap, and when: as a visit of all their rows.

    The number has to hold for more than a second where any does: for one frame a detector sees
    things double.
    """
    by_video: dict[VideoId, list[Visit]] = {}
    for visit in visits:
        by_video.setdefault(visit.video, []).append(visit)
    best: tuple[int, Visit | None] = (0, None)
    steps = [
        (time_s, video, _present(own, video, time_s))
        for video, own in by_video.items()
        for time_s in _moments(own)
    ]
    counts = [len(present) for _, _, present in steps]
    for idx, (time_s, video, present) in enumerate(steps):
        neighbours = [
            counts[near]
            for near in (idx - 1, idx + 1)
            if 0 <= near < len(steps) and steps[near][1] == video
        ]
        count = min(len(present), max(neighbours, default=len(present)))
        if count > best[0]:
            rows = tuple(row for visit in present for row in visit.rows)
            span = TimeSpan(
                start_s=max(visit.span.start_s for visit in present),
                end_s=max(min(visit.span.end_s for visit in present), time_s),
            )
            best = (count, Visit(video=video, span=span, rows=rows))
    return best


def spans_with(visits: Sequence[Visit], video: VideoId, count: int) -> tuple[TimeSpan, ...]:
    """Return the stretches of a video with exactly so many visits at once, of at least a second."""
    own = [visit for visit in visits if visit.video == video]
    edges = sorted({time_s for visit in own for time_s in (visit.span.start_s, visit.span.end_s)})
    spans: list[TimeSpan] = []
    for start_s, end_s in pairwise(edges):
        middle_s = (start_s + end_s) / 2
        if len(_present(own, video, middle_s)) != count:
            continue
        if spans and start_s - spans[-1].end_s < 1e-6:
            spans[-1] = TimeSpan(start_s=spans[-1].start_s, end_s=end_s)
        else:
            spans.append(TimeSpan(start_s=start_s, end_s=end_s))
    return tuple(span for span in spans if span.duration_s >= 1.0)


def gaps(visits: Sequence[Visit], video: VideoId, whole: TimeSpan) -> tuple[TimeSpan, ...]:
    """Return the stretches of a video in which none of its visits was, of at least a second."""
    spans, reached_s = [], whole.start_s
    for visit in sorted(visits, key=lambda visit: visit.span.start_s):
        if visit.video != video:
            continue
        if visit.span.start_s - reached_s >= 1.0:
            spans.append(TimeSpan(start_s=reached_s, end_s=visit.span.start_s))
        reached_s = max(reached_s, visit.span.end_s)
    if whole.end_s - reached_s >= 1.0:
        spans.append(TimeSpan(start_s=reached_s, end_s=whole.end_s))
    return tuple(spans)


def place(box: Box) -> str:
    """Return where in the picture a box is: `on the left`, `at the top right`, `in the middle`."""
    across, down = centre(box)
    column = "left" if across < 0.38 else "right" if across > 0.62 else ""
    row = "top" if down < 0.33 else "bottom" if down > 0.67 else ""
    if row:
        return f"at the {row} {column}".strip()
    return f"on the {column}" if column else "in the middle"


def centre(box: Box) -> tuple[float, float]:
    """Return the middle of a box, in shares of width and height from the upper left."""
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2


def has_moved(boxes: Sequence[Box]) -> bool:
    """Return whether a track has moved, or come nearer or gone, between its first and last box."""
    if len(boxes) < 2:
        return False
    (x, y), (u, v) = centre(boxes[0]), centre(boxes[-1])
    return abs(u - x) + abs(v - y) >= MOVED


def area(box: Box) -> float:
    """Return the share of the frame that a box covers."""
    return max(0.0, box.right - box.left) * max(0.0, box.bottom - box.top)


def box_at(row: Observation, time_s: float) -> Box | None:
    """Return the box of a row that is nearest to a moment."""
    return min(row.boxes, key=lambda box: abs(box.time_s - time_s), default=None)


def overlap(box: Box, other: Box) -> float:
    """Return the share of the smaller of two boxes that the other covers."""
    width = min(box.right, other.right) - max(box.left, other.left)
    height = min(box.bottom, other.bottom) - max(box.top, other.top)
    smaller = min(area(box), area(other))
    return max(0.0, width) * max(0.0, height) / smaller if smaller > 0 else 0.0


def _moments(visits: Sequence[Visit]) -> list[float]:
    """Return the times at which visits were looked at, or stood out where there are no boxes."""
    return sorted({box.time_s for visit in visits for box in visit.boxes}) or sorted(
        {row.peak_s for visit in visits for row in visit.rows}
    )


def _present(visits: Sequence[Visit], video: VideoId, time_s: float) -> list[Visit]:
    return [visit for visit in visits if visit.video == video and visit.span.contains(time_s)]


def _is_near(earlier: Sequence[Box], later: Sequence[Box]) -> bool:
    if not earlier or not later:
        return True
    (x, y), (u, v) = centre(earlier[-1]), centre(later[0])
    return abs(x - u) <= STITCH_REACH and abs(y - v) <= STITCH_REACH


def _time(box: Box) -> float:
    return box.time_s
