"""Colours of things: by their tracks, else by the pixels where a class lights up or a part lies."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from engine.pipeline.compose.footage import Composed, WatchedFootage
from engine.pipeline.compose.naming import SEEN, classified, in_order
from engine.pipeline.compose.sentences import clock, evidence_at, listed, sentence, stretch
from engine.pipeline.compose.subjects import Subject, find_subject, unknown
from engine.pipeline.compose.visits import Visit, box_at, centre, individuals, proofs
from engine.pipeline.compose.wearing import (
    PARTS,
    PARTS_OF_THINGS,
    colour_name,
    colour_of_part,
    part_and_owner,
)
from engine.pipeline.question_kinds import QuestionForm
from engine.records import Box, Observation, TimeSpan, VideoId

_LOOKS: Final = 3
"""Stills whose pixels are asked, where a class shows best."""
_WITH_WINDOWS: Final = frozenset(("car", "bus", "truck", "train", "motorcycle", "airplane"))
_INSIDES: Final = frozenset(("inside", "middle", "centre", "center", "core", "interior"))
_MIDDLE: Final = 0.3
"""Share of a thing's width that is its inside."""
_REGIONS: Final = {
    # Parts of most pictures that no detector boxes: left, top, right and bottom in shares.
    **dict.fromkeys(("sky", "ceiling"), (0.0, 0.0, 1.0, 0.25)),
    **dict.fromkeys(("background", "wall", "curtain", "backdrop"), (0.0, 0.0, 1.0, 0.35)),
    **dict.fromkeys(
        (
            "floor", "ground", "road", "street", "grass", "lawn", "carpet", "rug", "sand", "snow",
            "water", "sea", "field", "pitch", "surface", "table", "tablecloth", "desk", "mat",
        ),
        (0.0, 0.65, 1.0, 1.0),
    ),
}  # fmt: skip


def colour(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer what colour a thing, or what somebody wears, has."""
    part, owner = part_and_owner(form.subject)
    if part in PARTS or part in PARTS_OF_THINGS:
        composed = colour_of_part(footage, part, owner)
        if composed is not None:
            return composed
    subject = find_subject(footage, form.subject)
    if owner and not subject.thing.is_known:
        # "The petals of the flower" are of its colour, as far as can be told.
        if part in _INSIDES:
            return _by_class(in_order(footage, form), find_subject(footage, owner), middle=_MIDDLE)
        subject = find_subject(footage, owner)
    rows = subject.matching(is_given=True)
    by_rows = _by_rows(footage, subject, rows, form) if rows else None
    if by_rows is not None:
        return by_rows
    shown = in_order(footage, form)
    composed = _by_class(shown, subject) or _by_region(shown, subject.thing.noun)
    return composed or (None if subject.thing.is_known else unknown(subject, form))


def _by_rows(
    footage: WatchedFootage, subject: Subject, rows: Sequence[Observation], form: QuestionForm
) -> Composed | None:
    """Answer by the pixels of tracks, each thing by itself where their colours differ."""
    visits = individuals(_of_extreme(rows, form))
    by_name: list[tuple[str, Visit]] = []
    for visit in visits:
        name = _colour_of(visit) or _looked_up(footage, visit)
        if name:
            by_name.append((name, visit))
    if not by_name:
        return None
    colours = list(dict.fromkeys(name for name, _ in by_name))
    name = subject.noun if len(by_name) == 1 else f"{len(by_name)} {subject.noun}s"
    if len(colours) == 1 or (subject.thing.is_person is False and len(by_name) > 3):
        most = Counter(name for name, _ in by_name).most_common(1)[0][0]
        chosen = [visit for name, visit in by_name if name == most]
        span = stretch(footage, chosen[0].video, chosen[0].span)
        name = subject.noun
        text = f"{most}: the {name} in view {span}"
        return Composed(text=sentence(text), evidence=proofs(chosen))
    parts = [f"{name} ({clock(visit.span.start_s)})" for name, visit in by_name]
    return Composed(text=sentence(listed(parts)), evidence=proofs([v for _, v in by_name]))


def _by_class(footage: WatchedFootage, subject: Subject, *, middle: float = 1.0) -> Composed | None:
    """Answer by the pixels of where a class shows, in the stills that show it best.

    Args:
        footage: Whose stills are looked at.
        subject: The thing.
        middle: Share of its width and height that is asked about, around its middle.
    """
    classes = subject.thing.classes
    means, stills = classified(footage, sorted(classes)) if classes else ([], [])
    if not means or sum(means[idx] for idx in classes) < SEEN:
        return None
    votes: Counter[str] = Counter()
    for video, time_s in stills[:_LOOKS]:
        box = footage.look.place(video, time_s, classes)
        box = _middle(box, middle) if box else None
        name = colour_name(footage.look.colours(video, time_s, box)) if box else ""
        votes.update([name] if name else [])
    return _of_pixels(footage, votes, stills[0], f"the {subject.noun}, where it shows best")


def _middle(box: Box, share: float) -> Box:
    (across, down), width = centre(box), (box.right - box.left) * share / 2
    height = (box.bottom - box.top) * share / 2
    return Box(
        time_s=box.time_s,
        left=across - width,
        right=across + width,
        top=down - height,
        bottom=down + height,
    )


def _by_region(footage: WatchedFootage, noun: str) -> Composed | None:
    """Answer by the pixels of a part of the picture that has its place in most pictures."""
    if noun not in _REGIONS:
        return None
    left, top, right, bottom = _REGIONS[noun]
    votes: Counter[str] = Counter()
    stills = _evenly(footage)
    for video, time_s in stills:
        box = Box(time_s=time_s, left=left, top=top, right=right, bottom=bottom)
        votes.update(footage.look.colours(video, time_s, box)[:1])
    return _of_pixels(footage, votes, stills[0], f"the {noun}, by its place in the picture")


def _of_pixels(
    footage: WatchedFootage, votes: Counter[str], at: tuple[VideoId, float], what: str
) -> Composed | None:
    if not votes:
        return None
    video, time_s = at
    span = TimeSpan(start_s=time_s, end_s=time_s)
    text = f"{votes.most_common(1)[0][0]}: {what}, {stretch(footage, video, span)}"
    return Composed(text=sentence(text), evidence=(evidence_at(video, time_s),))


def is_in_colour(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer whether the picture has colours, by stills evenly over it."""
    stills = _evenly(footage)
    # A classifier that can look says that stills are there at all.
    seen = [at for at in stills if footage.look.classes(*at)]
    if not seen:
        return None
    coloured = [at for at in seen if footage.look.colours(*at)]
    is_coloured = 2 * len(coloured) > len(seen)
    wants_colour = "black and white" not in form.text and "monochrome" not in form.text
    word = "yes" if is_coloured == wants_colour else "no"
    state = "in colour" if is_coloured else "black and white"
    return Composed(text=sentence(f"{word}: the picture is {state}"))


def _evenly(footage: WatchedFootage) -> list[tuple[VideoId, float]]:
    return [
        (item.video, item.span.start_s + share * item.span.duration_s)
        for item in footage.watched[:4]
        for share in (0.2, 0.5, 0.8)
    ]


def _colour_of(visit: Visit) -> str:
    """Return the colour that most of a visit's rows have first."""
    names = Counter(colour_name(_painted(row)) for row in visit.rows if row.colours)
    return names.most_common(1)[0][0] if names else ""


def _painted(row: Observation) -> tuple[str, ...]:
    """Return a row's colours, of vehicles the paint before the black of windows and tyres."""
    if row.label not in _WITH_WINDOWS:
        return row.colours
    return tuple(sorted(row.colours, key=lambda name: name in {"black", "grey"}))


def _looked_up(footage: WatchedFootage, visit: Visit) -> str:
    """Return the colour of the pixels of a visit at its surest moment."""
    row = max(visit.rows, key=lambda row: row.confidence)
    box = box_at(row, row.peak_s)
    return colour_name(footage.look.colours(row.video, row.peak_s, box)) if box else ""


def _of_extreme(rows: Sequence[Observation], form: QuestionForm) -> Sequence[Observation]:
    if form.extreme not in {"first", "last"}:
        return rows
    visits = individuals(rows)
    return (visits[0] if form.extreme == "first" else visits[-1]).rows
