"""Doings of people and things, as far as things in reach, classes and tracks can tell it.

No part of the default eyes recognises an action. What stands in somebody's hands, under them or
around them says much of what they do; a track says where they go. Anything else stays open.
"""

from collections.abc import Mapping
from typing import Final

from engine.pipeline.compose.footage import Composed, WatchedFootage
from engine.pipeline.compose.naming import touching
from engine.pipeline.compose.places import heading, way
from engine.pipeline.compose.presence import named
from engine.pipeline.compose.sentences import article, sentence, stretch
from engine.pipeline.compose.subjects import Subject, find_subject
from engine.pipeline.compose.visits import Visit, individuals, proofs
from engine.pipeline.question_kinds import QuestionForm

FAR: Final = 0.25
"""Shares of the frame that a track goes before its way is what somebody does."""
_CLAIM: Final = 2.4
"""Log-odds from which a thing in the picture says what somebody does: what is in the picture need
not be in their hands."""
FAST: Final = 0.3
"""Shares of the frame a second from which an animal runs."""

_WITH: Final[Mapping[str, str]] = {
    # A thing that touches somebody, and what is done with it.
    "bicycle": "rides a bicycle", "motorcycle": "rides a motorcycle", "horse": "rides a horse",
    "skateboard": "rides a skateboard", "surfboard": "surfs", "skis": "skis",
    "snowboard": "rides a snowboard", "tennis racket": "plays tennis",
    "baseball bat": "plays baseball", "frisbee": "plays with a frisbee",
    "sports ball": "plays with a ball", "kite": "flies a kite", "laptop": "works on a laptop",
    "keyboard": "types on a keyboard", "cell phone": "uses a phone", "book": "reads a book",
    "fork": "eats", "knife": "uses a knife", "spoon": "uses a spoon", "pizza": "eats pizza",
    "cup": "holds a cup", "wine glass": "holds a glass", "bottle": "holds a bottle",
    "umbrella": "holds an umbrella", "scissors": "cuts with scissors",
    "toothbrush": "brushes the teeth", "hair drier": "dries hair", "suitcase": "carries a suitcase",
    "remote": "uses a remote control", "teddy bear": "holds a teddy bear",
}  # fmt: skip
_SEATS: Final = frozenset(("chair", "couch", "bench", "bed"))
_BY_CLASS: Final[Mapping[str, str]] = {
    # A word that an encoder finds in the picture, and what is done where it is.
    "guitar": "plays the guitar", "violin": "plays the violin", "piano": "plays the piano",
    "drum": "plays the drums", "trumpet": "plays the trumpet", "saxophone": "plays the saxophone",
    "flute": "plays the flute", "accordion": "plays the accordion", "harp": "plays the harp",
    "football soccer": "plays football", "basketball": "plays basketball",
    "volleyball": "plays volleyball", "golf ball": "plays golf",
    "baseball player": "plays baseball", "tennis": "plays tennis",
    "billiards": "plays billiards", "skiing": "skis",
    "barbell": "lifts weights", "gymnastics": "does gymnastics", "canoe": "paddles a boat",
    "swimmer": "swims", "microphone": "speaks or sings into a microphone",
    "stove": "cooks", "typewriter": "types", "sewing machine": "sews",
}  # fmt: skip
_GOES: Final = (
    (frozenset(("person",)), "walks"),
    (frozenset(("car", "bus", "truck", "train", "motorcycle", "bicycle")), "drives"),
    (frozenset(("bird", "airplane", "kite")), "flies"),
    (frozenset(("boat",)), "sails"),
)


def doing(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer what somebody or something does; nothing where no thing and no way tells it."""
    subject = find_subject(footage, form.subject)
    rows = subject.matching(is_given=True)
    if not rows:
        return None
    visits = individuals(rows)
    return (
        _with_things(footage, subject, visits)
        or _by_class(footage, subject, visits)
        or _going(footage, subject, visits)
        or _sitting(footage, subject, visits)
    )


def _with_things(
    footage: WatchedFootage, subject: Subject, visits: tuple[Visit, ...]
) -> Composed | None:
    if not subject.thing.is_person:
        return None
    rows = [row for visit in visits for row in visit.rows]
    # What somebody rides may be larger than they are.
    held = [row for row in touching(footage, rows, is_larger=True) if row.label in _WITH]
    if not held:
        return None
    best = max(held, key=lambda row: row.confidence * row.span.duration_s)
    visit = Visit(video=best.video, span=best.span, rows=(best,))
    return _told(footage, subject, _WITH[best.label], visit, f"to judge by the {best.label}")


def _by_class(
    footage: WatchedFootage, subject: Subject, visits: tuple[Visit, ...]
) -> Composed | None:
    if not subject.thing.is_person:
        return None
    fits = footage.look.fits(tuple(_BY_CLASS), footage.scope)
    best = max(fits, key=lambda fit: fit.log_odds, default=None)
    if best is None or best.log_odds <= _CLAIM:
        return None
    noun = article(best.phrase.split()[0])
    return _told(footage, subject, _BY_CLASS[best.phrase], visits[0], f"to judge by {noun}")


def _going(footage: WatchedFootage, subject: Subject, visits: tuple[Visit, ...]) -> Composed | None:
    visit, *more = visits
    if more or way(visit.boxes) < FAR:
        return None
    verb = next((verb for labels, verb in _GOES if labels & subject.thing.labels), "")
    if not verb:
        speed = way(visit.boxes) / max(visit.span.duration_s, 1.0)
        verb = "runs" if speed >= FAST else "walks"
    return _told(footage, subject, f"{verb} {heading(visit.boxes)}", visit, "by its track")


def _sitting(
    footage: WatchedFootage, subject: Subject, visits: tuple[Visit, ...]
) -> Composed | None:
    if not subject.thing.is_person:
        return None
    rows = [row for visit in visits for row in visit.rows]
    seats = [row for row in touching(footage, rows, is_larger=True) if row.label in _SEATS]
    if not seats:
        return None
    return _told(footage, subject, "sits", visits[0], f"to judge by the {seats[0].label}")


def _told(footage: WatchedFootage, subject: Subject, what: str, visit: Visit, why: str) -> Composed:
    text = f"{named(subject)} {what}, {why}, {stretch(footage, visit.video, visit.span)}"
    return Composed(text=sentence(text + subject.caveat()), evidence=proofs([visit]))
