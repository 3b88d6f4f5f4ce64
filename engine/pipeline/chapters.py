"""Chapters of a recording: stretches between changes of scene, comings and goings, with titles."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from engine.pipeline.compose.footage import WatchedFootage, WatchedSpan
from engine.pipeline.compose.overview import things_told
from engine.pipeline.compose.sentences import listed, quote, sentence
from engine.pipeline.compose.visits import Visit, merge
from engine.pipeline.compose.witnesses import MOVERS, grade_rows
from engine.pipeline.compose.words import READS
from engine.records import Caption, Observation, TimeSpan, VideoId

LEAST_S: Final = 3.0
"""Shortest chapter: at one frame a second less shows two pictures."""
MOST: Final = 24
"""Chapters of a recording: as many as a reader takes in at once; the shortest are joined."""
GAP_S: Final = 8.0
"""Time without anything that moves, or without speech, that is a chapter of its own."""
MOST_NAMED: Final = 3
NOTHING: Final = "Nothing recognised"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingChapter:
    """A stretch of a recording with a title and the picture that shows it."""

    video: VideoId
    span: TimeSpan
    title: str
    keyframe_s: float
    observations: tuple[Observation, ...]
    """Rows that the title rests on."""


def find_chapters(
    footage: WatchedFootage,
    cuts: Mapping[VideoId, Sequence[float]] | None = None,
    captions: Sequence[Caption] = (),
) -> tuple[RecordingChapter, ...]:
    """Divide footage into chapters, by video and time.

    Args:
        footage: With its rows.
        cuts: Times at which the scene changes, by video.
        captions: Of the model; they name what no row names.
    """
    chapters: list[RecordingChapter] = []
    for item in footage.watched:
        times = _boundaries(footage, item, (cuts or {}).get(item.video, ()))
        spans = [TimeSpan(start_s=start_s, end_s=end_s) for start_s, end_s in pairwise(times)]
        chapters += _joined([_chapter(footage, item.video, span, captions) for span in spans])
    return tuple(chapters)


def _boundaries(footage: WatchedFootage, item: WatchedSpan, cuts: Iterable[float]) -> list[float]:
    """Return the times at which a chapter may begin, with both ends, far enough apart."""
    rows = [row for row in footage.rows if row.video == item.video]
    believed = grade_rows(footage, [row for row in rows if row.kind == "object"]).believed
    moving = [row for row in believed if row.label in MOVERS]
    # Motion alone tells less than what is recognised in it, and never stops where leaves move.
    moving = moving or [row for row in rows if row.kind == "motion"]
    spoken = [row for row in rows if row.kind == "speech"]
    edges = [*_edges(merge(moving), item.span), *_edges(merge(spoken, gap_s=GAP_S), item.span)]
    end_s = item.span.end_s
    times = [item.span.start_s]
    # A change of scene goes before a coming: what is seen after it is another place.
    wanted = sorted([(time_s, 0) for time_s in cuts] + [(time_s, 1) for time_s in edges])
    cut_times = sorted(time_s for time_s, is_edge in wanted if not is_edge)
    for time_s, is_edge in wanted:
        is_beside_cut = is_edge and any(abs(time_s - cut_s) < LEAST_S for cut_s in cut_times)
        if not is_beside_cut and time_s - times[-1] >= LEAST_S and end_s - time_s >= LEAST_S:
            times.append(time_s)
    return [*times, end_s]


def _chapter(
    footage: WatchedFootage, video: VideoId, span: TimeSpan, captions: Sequence[Caption]
) -> RecordingChapter:
    part = footage.within(span)
    rows = [row for row in part.rows if row.video == video]
    objects = grade_rows(part, [row for row in rows if row.kind == "object"]).believed
    # What barely reaches into a chapter belongs to its neighbour.
    own = [row for row in objects if row.span.overlap_s(span) >= min(1.0, row.span.duration_s)]
    printed = [row for row in rows if row.kind == "text" and row.confidence >= READS]
    spoken = [row for row in rows if row.kind == "speech"]
    moved = [row for row in rows if row.kind == "motion"]
    parts: list[str] = []
    if own:
        parts.append(listed(things_told(own)[:MOST_NAMED]))
    if printed:
        parts.append(f"print {quote(max(printed, key=_weight).text, most=40)}")
    if spoken:
        parts.append(f"speech {quote(spoken[0].text, most=60)}")
    shown = [*own, *printed[:1], *spoken[:1]] or moved
    title = "; ".join(parts)
    if not title:
        title = _caption(captions, video, span) or ("movement" if moved else NOTHING)
    return RecordingChapter(
        video=video,
        span=span,
        title=sentence(title).rstrip("."),
        keyframe_s=_keyframe_s(shown, span),
        observations=tuple(shown),
    )


def _joined(chapters: list[RecordingChapter]) -> list[RecordingChapter]:
    """Join neighbours with the same title and thing, then the shortest until `MOST` are left."""
    kept: list[RecordingChapter] = []
    for chapter in chapters:
        # One visitor after another is two chapters, however much alike they are called.
        if kept and kept[-1].title == chapter.title and not _is_other(kept[-1], chapter):
            kept[-1] = _join(kept[-1], chapter, kept[-1].title)
        else:
            kept.append(chapter)
    while len(kept) > MOST:
        idx = min(range(len(kept)), key=lambda idx: kept[idx].span.duration_s)
        first = idx - 1 if idx else 0
        longer = max(kept[first : first + 2], key=lambda chapter: chapter.span.duration_s)
        kept[first : first + 2] = [_join(kept[first], kept[first + 1], longer.title)]
    return kept


def _join(chapter: RecordingChapter, following: RecordingChapter, title: str) -> RecordingChapter:
    longer = max(chapter, following, key=lambda part: part.span.duration_s)
    return RecordingChapter(
        video=chapter.video,
        span=chapter.span.hull(following.span),
        title=title,
        keyframe_s=longer.keyframe_s,
        observations=(*chapter.observations, *following.observations),
    )


def _caption(captions: Sequence[Caption], video: VideoId, span: TimeSpan) -> str:
    texts = [
        caption.text
        for caption in captions
        if caption.ref.video == video and caption.ref.span.overlap_s(span) > 0 and caption.text
    ]
    return texts[0] if texts else ""


def _keyframe_s(rows: Sequence[Observation], span: TimeSpan) -> float:
    inside = [row for row in rows if span.contains(row.peak_s)]
    if not inside:
        return (span.start_s + span.end_s) / 2
    return max(inside, key=lambda row: row.confidence).peak_s


def _is_other(chapter: RecordingChapter, following: RecordingChapter) -> bool:
    """Return whether two chapters show different things."""
    things = [row for row in chapter.observations if row.kind == "object"]
    others = [row for row in following.observations if row.kind == "object"]
    return bool(things and others) and not any(row in others for row in things)


def _edges(visits: Sequence[Visit], whole: TimeSpan) -> Iterator[float]:
    """Yield the times at which something comes, or goes for `GAP_S` or longer."""
    for idx, visit in enumerate(visits):
        yield visit.span.start_s
        following_s = visits[idx + 1].span.start_s if idx + 1 < len(visits) else whole.end_s
        if following_s - visit.span.end_s >= GAP_S:
            yield visit.span.end_s


def _weight(row: Observation) -> float:
    return row.span.duration_s * row.confidence
