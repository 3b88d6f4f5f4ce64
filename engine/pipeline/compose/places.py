"""Place and direction of things, from the boxes of their tracks."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from engine.pipeline.compose.footage import Composed, WatchedFootage
from engine.pipeline.compose.naming import SEEN, classified
from engine.pipeline.compose.presence import named
from engine.pipeline.compose.scenes import what_place
from engine.pipeline.compose.sentences import (
    article,
    evidence_at,
    listed,
    moment,
    sentence,
    stretch,
)
from engine.pipeline.compose.subjects import Subject, find_subject
from engine.pipeline.compose.visits import (
    MOVED,
    Visit,
    area,
    box_at,
    centre,
    individuals,
    merge,
    overlap,
    place,
    proofs,
)
from engine.pipeline.question_kinds import QuestionForm
from engine.records import Box, Observation, TimeSpan
from engine.sight.thing_words import split_phrase

_GREW_AT_ALL: Final = 1.25
"""Growth of a box from which a thing gets bigger in the picture; boxes shake by less."""
_TOO_WIDE: Final = 0.75
"""Width of a place in shares of the picture, above which it is all over it."""
_HERE: Final = frozenset(
    ("", "it", "this", "that", "we", "they", "scene", "the scene", "everything", "the camera")
)
GREW: Final = 1.5
"""Growth of a box that tells an approach to the camera."""


def where(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer where in the picture a thing is, and beside what; or what place the picture shows."""
    if split_phrase(form.subject)[0] in _HERE:
        return what_place(footage)
    subject = find_subject(footage, form.subject)
    composed = _where_by_rows(footage, subject) or _where_by_class(footage, subject)
    if composed is None or "picture" in form.text:
        return composed
    # The place where the thing is: of another video it would be another place.
    place_seen = what_place(footage.of_videos({item.video for item in composed.evidence}))
    if place_seen is None:
        return composed
    # Whoever asks where may mean the place or the part of the picture.
    text = f"{composed.text.rstrip('.')}; {place_seen.text[:1].lower()}{place_seen.text[1:]}"
    return replace(composed, text=text, evidence=(*composed.evidence, *place_seen.evidence))


def _where_by_class(footage: WatchedFootage, subject: Subject) -> Composed | None:
    """Answer where a class lights up in the still that shows it best."""
    classes = subject.thing.classes
    means, stills = classified(footage, sorted(classes)) if classes else ([], [])
    if not means or sum(means[idx] for idx in classes) < SEEN:
        return None
    video, time_s = stills[0]
    box = footage.look.place(video, time_s, classes)
    if box is None or box.right - box.left > _TOO_WIDE:
        return None
    at = stretch(footage, video, TimeSpan(start_s=time_s, end_s=time_s))
    text = f"{place(box)} of the picture, by its looks, {at}: {article(subject.noun)}"
    return Composed(text=sentence(text), evidence=(evidence_at(video, time_s),))


def _where_by_rows(footage: WatchedFootage, subject: Subject) -> Composed | None:
    if not subject.thing.is_known or not subject.is_borne_out(is_counted=True):
        return None
    rows = [row for row in subject.matching(is_given=True) if row.boxes]
    if not rows:
        return None
    row = max(rows, key=lambda row: (row.span.duration_s, row.confidence))
    box = box_at(row, row.peak_s)
    assert box is not None, "rows without boxes are left out"
    beside = _beside(footage, row, box)
    near = f", with {listed([article(label) for label in beside])}" if beside else ""
    moved = heading(row.boxes)
    moving = f"; it moves {moved}" if moved and moved not in {"toward the camera"} else ""
    text = (
        f"{place(box)} of the picture{near}, {stretch(footage, row.video, row.span)}: "
        f"{named(subject)}{moving}{subject.caveat()}"
    )
    return Composed(text=sentence(text), evidence=proofs(merge([row])))


def direction(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer which way a thing moves, or from which side it comes."""
    subject = find_subject(footage, form.subject)
    rows = [row for row in subject.matching(is_given=True) if len(row.boxes) >= 2]
    name = f"the {subject.noun}"
    if not rows and not subject.graded.all:
        # No detector knows it: the mask of motion has the way of what moves.
        rows = [row for row in footage.of("motion") if len(row.boxes) >= 2]
        name = "what moves"
    if _ASKS_FOR_SIZE.search(form.text):
        return _size(footage, subject, rows)
    if not rows:
        return None
    visits = individuals(rows)
    if _ASKS_FOR_SIDE.search(form.text):
        if subject.is_ambiguous and len(visits) > 1:
            return None
        visit = visits[-1] if form.extreme == "last" or _AGAIN.search(form.text) else visits[0]
        side = _entry_side(visit.boxes)
        if side is None:
            return None
        come = moment(footage, visit.video, visit.boxes[0].time_s)
        text = f"from the {side}: {name} comes into view at {come}"
        return Composed(text=sentence(text), evidence=proofs([visit]))
    if form.extreme in {"first", "last"}:
        visits = visits[:1] if form.extreme == "first" else visits[-1:]
    ways: dict[str, list[Visit]] = {}
    for visit in visits:
        boxes = visit.boxes
        if "turn" in form.text:
            boxes = boxes[-max(2, len(boxes) // 3) :]
        ways.setdefault(heading(boxes), []).append(visit)
    ways.pop("", None)
    n_going = sum(map(len, ways.values()))
    if not ways or (name == "what moves" and 2 * max(map(len, ways.values())) <= n_going):
        return None
    # Several went: most of them tell the way, and the longest of those shows it.
    most = max(ways, key=lambda name: (len(ways[name]), way(ways[name][0].boxes)))
    visit = max(ways[most], key=lambda visit: way(visit.boxes))
    text = f"{most}: {name} moves so {stretch(footage, visit.video, visit.span)}"
    return Composed(text=sentence(text + subject.caveat()), evidence=proofs([visit]))


_ASKS_FOR_SIDE: Final = re.compile(r"\b(?:side|from where|come from|coming from)\b")
_ASKS_FOR_SIZE: Final = re.compile(r"\b(?:bigger|smaller|larger|nearer|closer|grow|shrink)\b")
_AGAIN: Final = re.compile(r"\b(?:back|again|return)\b")


def _size(
    footage: WatchedFootage, subject: Subject, rows: Sequence[Observation]
) -> Composed | None:
    """Answer whether a thing grows in the picture, by its boxes or by where its class shows."""
    if rows:
        row = max(rows, key=lambda row: row.span.duration_s * row.confidence)
        video, first, last = row.video, row.boxes[0], row.boxes[-1]
    else:
        item = next(iter(footage.watched), None)
        if item is None or not subject.thing.classes:
            return None
        video = item.video
        ends = [item.span.start_s + share * item.span.duration_s for share in (0.1, 0.9)]
        places = [footage.look.place(video, time_s, subject.thing.classes) for time_s in ends]
        if places[0] is None or places[1] is None:
            return None
        first, last = places[0], places[1]
    growth = area(last) / max(area(first), 1e-6)
    if 1 / _GREW_AT_ALL < growth < _GREW_AT_ALL:
        return None
    word = "bigger: it comes nearer" if growth > 1 else "smaller: it goes away"
    span = TimeSpan(start_s=first.time_s, end_s=last.time_s)
    text = f"{word}, {stretch(footage, video, span)}"
    return Composed(text=sentence(text), evidence=(evidence_at(video, last.time_s),))


def _beside(footage: WatchedFootage, row: Observation, box: Box) -> list[str]:
    """Return the other things whose boxes touch this one at the moment that shows it best."""
    labels = []
    for other in footage.of("object"):
        near = box_at(other, box.time_s)
        is_other = other.video == row.video and other.label != row.label
        is_there = is_other and other.span.overlap_s(row.span) > 0
        if near is not None and is_there and overlap(box, near) > 0.2:
            labels.append(other.label)
    return list(dict.fromkeys(labels))[:2]


def way(boxes: Sequence[Box]) -> float:
    """Return how far a track goes from its first to its last box, in shares of the frame."""
    (x, y), (u, v) = centre(boxes[0]), centre(boxes[-1])
    return abs(u - x) + abs(v - y)


def heading(boxes: Sequence[Box]) -> str:
    """Return the way from the first to the last box in words; empty where it stays."""
    if len(boxes) < 2:
        return ""
    (x, y), (u, v) = centre(boxes[0]), centre(boxes[-1])
    across, down = u - x, v - y
    growth = area(boxes[-1]) / max(area(boxes[0]), 1e-6)
    parts = []
    if abs(across) >= MOVED and abs(across) >= 0.5 * abs(down):
        parts.append("from left to right" if across > 0 else "from right to left")
    if abs(down) >= MOVED and abs(down) >= 0.5 * abs(across):
        parts.append(
            "downward, from the top to the bottom"
            if down > 0
            else "upward, from the bottom to the top"
        )
    if growth >= GREW or growth <= 1 / GREW:
        parts.append("toward the camera" if growth >= GREW else "away from the camera")
    return ", ".join(parts)


def _entry_side(boxes: Sequence[Box]) -> str | None:
    """Return the side from which a track comes: the edge that it begins at, and leaves behind."""
    first, (x, y), (u, v) = boxes[0], centre(boxes[0]), centre(boxes[-1])
    if (first.left < 0.06 and x < 0.5) or (u - x > 0.2 and x < 0.35):
        return "left"
    if (first.right > 0.94 and x > 0.5) or (x - u > 0.2 and x > 0.65):
        return "right"
    if first.top < 0.06 and v - y > MOVED:
        return "top"
    return "bottom" if first.bottom > 0.94 and y - v > MOVED else None
