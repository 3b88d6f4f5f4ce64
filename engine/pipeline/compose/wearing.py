"""Clothes that people wear: by classes on their boxes, and by the colours of pixels."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.pipeline.compose.footage import Composed, WatchedFootage
from engine.pipeline.compose.sentences import article, clock, listed, plural, sentence, stretch
from engine.pipeline.compose.subjects import find_subject
from engine.pipeline.compose.visits import area, merge, proofs
from engine.pipeline.question_kinds import QuestionForm
from engine.records import Box, Observation
from engine.sight.thing_words import are_near_colours, colour_words, singular, split_phrase
from engine.sight.word_groups import Ranges, expand

Shares = tuple[float, float]
"""From where to where of a box, from its top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyPart:
    """A part of a person on which something is worn."""

    words: tuple[str, ...]
    """By which a question names it, or what is worn there."""
    shares: Shares
    """Of the box of an upright person in full view (Loomis' canon: the head an eighth)."""
    worn: str = ""
    """The common word for what is worn there."""
    classes: Ranges = ()
    """Classes of ImageNet that are worn there."""


HEAD: Final = BodyPart(
    words=("head", "hat", "cap", "helmet", "hard hat", "hair"),
    shares=(0.0, 0.14),
    worn="hat",
    classes=(433, 452, 515, 518, 560, 667, 793, 808),
)
UPPER: Final = BodyPart(
    words=(
        "shirt", "t-shirt", "top", "jacket", "coat", "vest", "sweater", "pullover", "jumper",
        "blouse", "cardigan", "hoodie", "jersey", "uniform", "clothes", "dress", "suit", "tie",
    ),
    shares=(0.18, 0.5),
    worn="top",
    classes=(
        (399, 400), 411, 459, 465, 474, 501, 568, 578, 601, 610, 614, 617, (638, 639), 652, 689,
        697, 735, 775, 834, 841, 842, 869, 887,
    ),
)  # fmt: skip
LOWER: Final = BodyPart(
    words=("trousers", "pants", "jeans", "shorts", "skirt", "leggings", "leg"),
    shares=(0.55, 0.88),
    worn="trousers",
    classes=(608, 655),
)
FEET: Final = BodyPart(
    words=("shoe", "boot", "sneaker", "trainer", "foot"),
    shares=(0.92, 1.0),
    worn="shoes",
    classes=(502, 514, 630, 770, 774, 806),
)
_SMALL: Final = (
    # Too small for colours by pixels: a class has to see them.
    BodyPart(words=("eye", "face", "nose"), shares=(0.0, 0.2), classes=(570, 643, 796, 836, 837)),
    BodyPart(words=("neck", "throat"), shares=(0.05, 0.5), classes=(451, 457, 552, 679, 824, 906)),
    BodyPart(words=("wrist", "arm"), shares=(0.0, 1.0), classes=(531, 635, 826, 892)),
    BodyPart(words=("hand", "finger"), shares=(0.2, 0.8), classes=(658,)),
)
_WITH_COLOUR: Final = (HEAD, UPPER, LOWER, FEET)
PARTS: Final = {word: part.shares for part in _WITH_COLOUR for word in part.words}
PARTS_OF_THINGS: Final[dict[str, Shares]] = {
    **dict.fromkeys(("cap", "lid", "top", "roof", "stopper"), (0.0, 0.2)),
    **dict.fromkeys(("bottom", "base", "wheel"), (0.8, 1.0)),
}
"""The same of bottles, cars and the like: what is on top of them and below."""
_HALF_LENGTH: Final = {HEAD.shares: (0.0, 0.2), UPPER.shares: (0.5, 0.95)}
"""The same of people whose legs are out of the picture."""
_NEIGHBOURS: Final = (
    {"red", "orange"}, {"red", "brown"}, {"orange", "brown"}, {"orange", "yellow"},
    {"yellow", "brown"}, {"red", "pink"}, {"pink", "purple"}, {"purple", "blue"},
)  # fmt: skip
"""Colours that shade turns into each other."""
_NOTICED: Final = 0.1
"""Share of all classes from which what is worn on a part is named: whoever asks for it has seen
something there."""
_CLEAR: Final = 0.5
"""Share of a part's classes from which one of them is said rather than the common word."""
_SURE: Final = 0.2
"""Share of all classes that it has besides."""
_UPRIGHT: Final = 1.6
"""Height of a box by its width, in pixels of 16:9, below which legs are out of the picture."""


def worn(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer what somebody wears, on a part of the body where one is named."""
    subject = find_subject(footage, _wearer(footage, form))
    rows = [row for row in subject.matching(is_given=True) if row.boxes]
    if not rows:
        return None
    row = max(rows, key=lambda row: row.confidence * row.span.duration_s)
    part = _part_named(form.text)
    if part is None:
        clothes = _dressed(footage, row)
    elif part in _SMALL:
        clothes = _class_on(footage, row, part)
    else:
        clothes = _garment(footage, row, part)
    if not clothes:
        return None
    text = f"{clothes}, by its looks, {stretch(footage, row.video, row.span)}{subject.caveat()}"
    return Composed(text=sentence(text), evidence=proofs(merge([row])))


def dressed_as_asked(
    footage: WatchedFootage, text: str, rows: Sequence[Observation]
) -> tuple[Observation, ...]:
    """Return the rows of people whose parts have the colours that a text gives their clothes.

    Args:
        footage: Whose stills are looked at.
        text: "the man in the grey shirt and blue jeans".
        rows: Of people; all of them are returned where no colour of clothes tells them apart.
    """
    wanted = _asked_clothes(text)
    if not wanted or len(rows) < 2:
        return tuple(rows)
    scores = [
        sum(_alike(_colour(footage, row, shares), name) for shares, name in wanted)
        if row.boxes
        else 0.0
        for row in rows
    ]
    best = max(scores)
    return tuple(row for row, score in zip(rows, scores, strict=True) if score == best)


def _alike(colour: str, wanted: str) -> float:
    if colour == wanted:
        return 1.0
    return 0.5 if colour and are_near_colours(colour, wanted) else 0.0


def _asked_clothes(text: str) -> list[tuple[Shares, str]]:
    """Return the part of each piece of clothing that a text names with a colour, and the colour."""
    words = text.replace("-", " ").split()
    pieces = []
    for idx, word in enumerate(words):
        shares = PARTS.get(singular(word)) or PARTS.get(word)
        # The colour stands a few words before: "light grey short sleeved shirt".
        before = [name for other in words[max(0, idx - 4) : idx] for name in colour_words(other)]
        if shares is not None and before:
            pieces.append((shares, before[-1]))
    return pieces


def _wearer(footage: WatchedFootage, form: QuestionForm) -> str:
    """Return who wears it: the tramp of "what hat does the tramp wear"."""
    phrase, rest = split_phrase(form.subject)
    if footage.vocabulary.thing(phrase).is_person:
        return form.subject
    owner = re.search(r"\b(?:does|do|is|are|did)\b (.+?) \bwear", rest or form.text)
    return owner[1] if owner else "person"


def colour_of_part(footage: WatchedFootage, part: str, owner: str) -> Composed | None:
    """Answer the colour of what somebody wears from the pixels of that part of their box."""
    subject = find_subject(footage, owner or "person")
    if not subject.thing.is_person and part not in PARTS_OF_THINGS:
        return None
    by_name: dict[str, list[Observation]] = {}
    for row in subject.matching(is_given=True):
        shares = PARTS[part] if subject.thing.is_person else PARTS_OF_THINGS[part]
        name = colour_name(_colours(footage, row, shares)) if row.boxes else ""
        if name:
            by_name.setdefault(name, []).append(row)
    if not by_name:
        return None
    parts = [f"{name} ({clock(rows[0].span.start_s)})" for name, rows in by_name.items()]
    rows = [row for group in by_name.values() for row in group]
    whose = plural(subject.noun) if len(rows) > 1 else article(subject.noun)
    text = f"{listed(parts)}: the {part} of {whose}"
    return Composed(text=sentence(text), evidence=proofs(merge(rows)))


def part_and_owner(text: str) -> tuple[str, str]:
    """Return a piece of clothing and whose it is: "the man's shirt", "the shirt of the man"."""
    words = text.replace("'s ", " 's ").split()
    if "'s" in words:
        idx = words.index("'s")
        return _noun(" ".join(words[idx + 1 :])), " ".join(words[:idx])
    phrase, rest = split_phrase(text)
    noun = _noun(phrase)
    owner = rest.partition(" ")[2] if rest.startswith(("of ", "on ")) else ""
    before = [word for word in phrase.split()[:-1] if word not in {"the", "a", "an", "his", "her"}]
    return noun, owner or " ".join(word for word in before if not colour_words(word))


def _part_named(text: str) -> BodyPart | None:
    """Return the part of the body that a question names; `None` for the whole."""
    words = [singular(word) for word in text.split()]
    for part in (*_WITH_COLOUR, *_SMALL):
        if any(word in part.words for word in words):
            return part
    return None


def _dressed(footage: WatchedFootage, row: Observation) -> str:
    """Return somebody's clothes: a class where one is clear, else colours above and below."""
    box = max(row.boxes, key=area)
    upper = _colour(footage, row, UPPER.shares)
    name = _class_name(footage, row, box, UPPER)
    if name:
        return article(" ".join(filter(None, (upper, name))))
    lower = _colour(footage, row, LOWER.shares) if _has_legs(box) else ""
    parts = [article(f"{upper} top")] if upper else []
    parts += [f"{lower} trousers"] if lower else []
    return listed(parts)


def _has_legs(box: Box) -> bool:
    """Return whether a person's box is as high as that of somebody in full view."""
    return (box.bottom - box.top) * 9 >= _UPRIGHT * (box.right - box.left) * 16


def _garment(footage: WatchedFootage, row: Observation, part: BodyPart) -> str:
    """Return what is worn on a part with its colour: `a yellow hat`."""
    colour = _colour(footage, row, part.shares)
    box = max(row.boxes, key=area)
    # A hat stands out of the head, and a classifier needs some of what surrounds it.
    around = (max(0.0, part.shares[0] - 0.1), min(1.0, part.shares[1] + 0.16))
    name = _class_name(footage, row, _piece(box, around, side=0.0), part)
    if not colour and not name:
        return ""
    return article(" ".join(filter(None, (colour, name or part.worn))))


def _class_on(footage: WatchedFootage, row: Observation, part: BodyPart) -> str:
    box = max(row.boxes, key=area)
    name = _class_name(footage, row, _piece(box, part.shares, side=0.0), part)
    return article(name) if name else ""


def _class_name(footage: WatchedFootage, row: Observation, box: Box, part: BodyPart) -> str:
    """Return what the classifier sees on a part; empty where it sees nothing of the kind."""
    posterior = footage.look.classes(row.video, box.time_s, box)
    classes = [idx for idx in expand(part.classes) if idx < len(posterior)]
    mass = sum(posterior[idx] for idx in classes)
    if not classes or mass < _NOTICED:
        return ""
    top = max(classes, key=posterior.__getitem__)
    is_clear = posterior[top] >= max(_CLEAR * mass, _SURE)
    if not is_clear and part is UPPER:
        return ""
    return footage.vocabulary.class_names[top] if is_clear or not part.worn else part.worn


def _colour(footage: WatchedFootage, row: Observation, shares: Shares) -> str:
    """Return the first colour of a part of a thing's largest box; empty where none is told."""
    return next(iter(_colours(footage, row, shares)), "")


def _colours(footage: WatchedFootage, row: Observation, shares: Shares) -> Sequence[str]:
    box = max(row.boxes, key=area)
    if row.label == "person" and not _has_legs(box):
        shares = _HALF_LENGTH.get(shares, shares)
    return footage.look.colours(row.video, box.time_s, _piece(box, shares, side=0.25))


def colour_name(colours: Sequence[str]) -> str:
    """Return the first of some colours, with the second where light may turn one into the other.

    Of an orange vest some pixels are red: `red or orange`.
    """
    name, second = (*colours[:2], "", "")[:2]
    return f"{name} or {second}" if {name, second} in _NEIGHBOURS else name


def _piece(box: Box, shares: Shares, *, side: float) -> Box:
    """Return a part of a box.

    Args:
        box: Of a thing.
        shares: From where to where of its height.
        side: Share of its width that is left out on either side.
    """
    top, bottom = shares
    height, width = box.bottom - box.top, box.right - box.left
    return Box(
        time_s=box.time_s,
        left=box.left + side * width,
        right=box.right - side * width,
        top=box.top + top * height,
        bottom=box.top + bottom * height,
    )


def _noun(phrase: str) -> str:
    words = [word for word in phrase.split() if word not in {"the", "a", "an", "his", "her"}]
    whole = singular(" ".join(words))
    return whole if whole in PARTS or not words else singular(words[-1])
