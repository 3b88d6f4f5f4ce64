"""The thing that a question names, with the rows that show it and what cannot be checked."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from engine.pipeline.compose.footage import Composed, WatchedFootage
from engine.pipeline.compose.sentences import article, sentence
from engine.pipeline.compose.visits import box_at, centre, has_moved
from engine.pipeline.compose.witnesses import MOVERS, Graded, grade, grade_rows, unnamed_motion
from engine.pipeline.question_kinds import QuestionForm
from engine.records import Observation
from engine.sight.thing_words import NamedThing, colour_words, split_phrase, verb_stem
from engine.sight.word_groups import word_set
from engine.sight.word_synonyms import NUMBERS

_COMING: Final = word_set(
    "come came pass enter leave left appear arrive visit show stay go went disappear"
)
"""Doings that a track bears out by itself."""
_MOVING: Final = word_set("walk drive move")
"""Doings that a track bears out where its boxes move."""
_POSTURES: Final = word_set("stand sit lie hang wait use wear dress park")
"""Doings that do not matter to a number of things: whoever asks how many sit wants those seen."""
_HAIR: Final = re.compile(r"(?:[\w-]+ ){0,3}hair\b|\b(?:blonde?|ginger)\b")
_PRONOUNS: Final = frozenset(["it", "they", "this", "that", "these", "those", "them", "one"])
_AGAIN: Final = re.compile(r"\b(?:back|again|return\w*)\b")
_DEFINITE: Final = re.compile(
    r"^(?:the|this|that|his|her|their|its|my|any(?:one|body)|some(?:one|body)) "
)
_IT: Final = frozenset(("it", "the object", "the thing", "the item", "this", "the main object"))
_MOST_MOVED: Final = 8
"""Motions that may stand for a thing: of more nobody means all of them."""
_SIDES: Final = {
    "left": frozenset(("left", "left-hand", "leftmost")),
    "right": frozenset(("right", "right-hand", "rightmost")),
}
_AUXILIARY: Final = word_set("is are was were be been being has have had that which who")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A thing as a question describes it, and its rows."""

    thing: NamedThing
    colours: tuple[str, ...]
    """Asked for, of the thing or of what it wears."""
    rest: str
    """What is said of it beyond its name: "cross the line"."""
    number: int | None
    """Of "two people"; `None` where any number will do."""
    graded: Graded
    side: str | None = None
    """`left` or `right`, of "the left bottle"."""
    moved: tuple[Observation, ...] = ()
    """What moved and was not named, where a thing that moves is known by no row: whoever takes it
    for granted means one of them."""

    @property
    def is_ambiguous(self) -> bool:
        """Whether one of several is meant that nothing here tells apart: "the man"."""
        return self.thing.is_broader and self.number is None

    @property
    def noun(self) -> str:
        """The word for what was recognised: the asked one, or the broader label."""
        if self.thing.is_broader and len(self.thing.labels) == 1:
            return next(iter(self.thing.labels))
        return "person" if self.thing.is_person else self.thing.noun

    @property
    def doing(self) -> str:
        """The verb of what is said of it, in its bare form; empty where nothing is."""
        words = [word for word in self.rest.split() if word not in _AUXILIARY]
        return verb_stem(words[0]) if words else ""

    def is_borne_out(self, *, is_counted: bool = False) -> bool:
        """Return whether rows can bear out what is said of it.

        Args:
            is_counted: Whether only their number is asked for.
        """
        allowed = _COMING | _MOVING | (_POSTURES if is_counted else frozenset({"wear", "dress"}))
        # One track does not tell that something came back.
        return not self.doing or (self.doing in allowed and not _AGAIN.search(self.rest))

    def matching(self, *, is_given: bool = False) -> tuple[Observation, ...]:
        """Return the rows with most of the asked colours and on the asked side.

        Args:
            is_given: Whether the question takes the thing for granted; else only rows that are
                sure count, and likely ones beside them.
        """
        rows = self.graded.believed
        if is_given:
            rows = self.graded.presupposed or self.moved
        if self.side is not None:
            rows = tuple(row for row in rows if _is_on(row, self.side))
        if self.doing in _MOVING:
            rows = tuple(row for row in rows if has_moved(row.boxes))
        if not self.colours:
            return rows
        shared = [len(set(self.colours) & set(row.colours)) for row in rows]
        most = max(shared, default=0)
        return tuple(row for row, n in zip(rows, shared, strict=True) if n and n == most)

    def caveat(self) -> str:
        """Return what rows leave open, as the end of a sentence; empty where nothing."""
        if self.moved and not self.graded.presupposed:
            return "; it was told by its movement alone"
        if self.thing.is_broader:
            name = self.thing.phrase if self.thing.unchecked else self.thing.noun
            if self.thing.is_person:
                return f"; nothing here can tell whether it is {article(name)}"
            return f"; whether it is {article(name)} was not recognised"
        return ""


def find_subject(footage: WatchedFootage, text: str) -> Subject:
    """Return the thing that a text names first, graded by the rows of the footage."""
    phrase, rest = split_phrase(text)
    if phrase in _IT:
        phrase = _prominent(footage) or phrase
    words = phrase.split()
    while _names_more(words[:-1]) and colour_words(words[-1]) and not colour_words(words[-2]):
        # "Is the car red" says it of the car.
        rest = f"{words.pop()} {rest}".strip()
    thing = footage.vocabulary.thing(" ".join(words))
    colours = tuple(dict.fromkeys((*thing.colours, *_said_colours(thing, rest))))
    number = next((NUMBERS[word] for word in words if word in NUMBERS), None)
    side = next((side for side in ("left", "right") if _SIDES[side] & set(words[:-1])), None)
    graded = grade(footage, thing)
    is_unseen = bool(thing.labels & MOVERS) and not thing.is_person and not graded.all
    return Subject(
        thing=thing,
        colours=colours,
        rest=rest,
        number=number,
        graded=graded,
        side=side,
        moved=_moved(footage, with_colours=bool(colours)) if is_unseen else (),
    )


def _names_more(words: Sequence[str]) -> bool:
    """Return whether words name a thing beyond their articles: "the orange" is the fruit."""
    return any(word not in {"the", "a", "an", "this", "that"} for word in words)


def _prominent(footage: WatchedFootage) -> str:
    """Return the label of what "it" is: of the surest thing that is in view longest, if any."""
    rows = grade_rows(footage, footage.of("object")).sure
    length: dict[str, float] = {}
    for row in rows:
        shown_s = row.span.duration_s * row.confidence
        length[row.label] = length.get(row.label, 0.0) + shown_s
    things = sorted((label for label in length if label != "person"), key=lambda x: -length[x])
    alive = [label for label in things if label in MOVERS]
    return next(iter((*alive, *things, *length)), "")


def _moved(footage: WatchedFootage, *, with_colours: bool) -> tuple[Observation, ...]:
    """Return the motion that no row explains, with the colours of its pixels where they count."""
    rows = unnamed_motion(footage)
    if len(rows) > _MOST_MOVED:
        return ()
    return tuple(coloured(footage, row) for row in rows) if with_colours else rows


def coloured(footage: WatchedFootage, row: Observation) -> Observation:
    """Return a row with the colours of its pixels at its best moment, where it has none."""
    box = box_at(row, row.peak_s)
    if row.colours or box is None:
        return row
    return replace(row, colours=footage.look.colours(row.video, row.peak_s, box))


def _is_on(row: Observation, side: str) -> bool:
    """Return whether a thing is mostly in one half of the picture."""
    across = [centre(box)[0] for box in row.boxes]
    mean = sum(across) / len(across) if across else 0.5
    return mean < 0.45 if side == "left" else mean > 0.55


def unknown(subject: Subject, form: QuestionForm) -> Composed:
    """Return the sentence for a thing, or for what is said of one, that nothing can recognise."""
    name = subject.thing.phrase
    if not name or name in _PRONOUNS:
        doing = subject.rest or form.text
        text = f"nothing here can recognise doings such as \u201c{doing}\u201d"
    elif _DEFINITE.search(form.subject) and form.kind == "is_there":
        # "Is the door locked?" asks for more than a door.
        text = f"nothing here can tell \u201c{form.text}\u201d"
    else:
        text = f"nothing here can recognise {article(name)}"
        likely = subject.thing.resembles
        text += f"; was {article(likely)} meant?" if likely else ""
    return Composed(text=sentence(text), verdict="unknown")


def _said_colours(thing: NamedThing, rest: str) -> tuple[str, ...]:
    """Return the colours of "in the teal top" for a person, or of "that is red" for any thing."""
    # Hair covers too little of a person to be among the colours of one.
    rest = _HAIR.sub("", rest)
    words = [word for word in rest.split() if word not in _AUXILIARY]
    is_of_it = thing.is_person or (bool(words) and bool(colour_words(words[0])))
    return colour_words(rest) if is_of_it else ()
