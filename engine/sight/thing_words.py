"""Words of a question or query to the labels that observers state: synonyms, plurals, kinds.

A phrase means labels outright ("lorries" is truck), or only something broader ("policeman" is at
best a person): then what is recognised is less than what was asked, and an answer says so.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

from engine.sight.word_groups import KINDS, expand, word_set
from engine.sight.word_synonyms import COLOURS, NARROWER, SAME

_NEAR_COLOURS: Final = tuple(
    word_set(names)
    for names in (
        "white grey blue", "black grey brown", "black blue", "red orange brown pink",
        "yellow orange brown white", "green blue", "green brown", "purple blue pink red",
    )
)  # fmt: skip
"""Colours that shade and light turn into each other: a pale blue car is white in the sun."""

_IRREGULAR: Final = {
    "people": "people", "men": "man", "women": "woman", "children": "child", "mice": "mouse",
    "geese": "goose", "feet": "foot", "teeth": "tooth", "knives": "knife", "wolves": "wolf",
    "leaves": "leaf", "shelves": "shelf", "calves": "calf", "loaves": "loaf", "scarves": "scarf",
    "oxen": "ox", "lorries": "lorry", "ladies": "lady", "puppies": "puppy", "babies": "baby",
    "bodies": "body", "cookies": "cookie", "policemen": "policeman", "firemen": "fireman",
    "workmen": "workman", "skis": "skis", "scissors": "scissors", "glasses": "glasses",
    "sunglasses": "sunglasses", "spectacles": "spectacles", "clothes": "clothes",
    "trousers": "trousers", "jeans": "jeans", "pants": "pants", "buses": "bus", "gas": "gas",
    "this": "this", "its": "its", "his": "his", "passers-by": "passer-by", "movies": "movie",
    "canvas": "canvas", "yes": "yes", "series": "series", "binoculars": "binoculars",
}  # fmt: skip

_BEFORE_NOUN: Final = word_set(
    """a an the some any this that these those my your his her its their our another other each
    every all no one two three four five six seven eight nine ten first second third last next only
    same different several many few more most least big bigger biggest small smaller smallest large
    larger little tiny huge tall short long old older new young fast slow moving parked still single
    lone pair couple of front back left right upper lower top bottom nearest main whole light dark
    pale bright deep real living black-and-white coloured colored left-hand right-hand whose
    which what there unknown"""
)
"""Words that stand before a thing without changing which label it has."""

_LINKS: Final = word_set(
    """in on at with without of from to toward towards by near beside behind under above over below
    next between inside outside into onto through across along around against off out up down
    that which who whom whose is are was were be been has have had do does did can could will
    during while when before after and or but as than seen shown visible heard"""
)
_VERBS: Final = word_set(
    """appear arrive ask bark bend bite blow bounce break bring brush build burn buy call carry
    catch change chase chew clap clean climb close come cook cough count cover crawl cross cry cut
    dance dig dive draw dress drink drive drop eat enter explain fall feed fight fill find fly fold
    follow get give go grab greet hang have heat help hide hit hold hop hug hunt jog juggle jump
    keep kick kiss kneel knock laugh lay lead lean leave lie lift light listen live load look lose
    make march meet melt mix move nod open overtake pack paint park pass pat pay peel pet pick play
    point pour pray press pull push put race raise reach read remain ride ring rise roll ruffle run
    sail say score scratch see sell shake shine shoot shout show shut sing sit skate ski sleep slice
    slide smell smile smoke sneeze speak spin splash stand start stay steal step stir stop stretch
    strike study swim swing take talk talking taste teach tell think throw tie touch travel trip try
    turn type use visit wag wait wake walk wash watch water wave wear weigh whisper win wipe work
    write yawn"""
)
"""Common doings, which end a noun phrase; a list, since no tagger of words is at hand."""
_NOUNS_IN_ING: Final = word_set(
    "building painting clothing ring king thing string wing ceiling morning evening railing "
    "pudding "
    "wedding meeting crossing lighting dumpling duckling spring swing parking dining washing "
    "something anything nothing"
)
_PARTICIPLES: Final = {
    "sat": "sit", "stood": "stand", "ran": "run", "ate": "eat", "drank": "drink", "drove": "drive",
    "went": "go", "came": "come", "left": "leave", "took": "take", "taken": "take", "made": "make",
    "held": "hold", "fell": "fall", "gave": "give", "wore": "wear", "worn": "wear", "rode": "ride",
    "flew": "fly", "swam": "swim", "threw": "throw", "caught": "catch", "lay": "lie",
    "put": "put", "stopped": "stop",
}  # fmt: skip
_GROUP_OF: Final = re.compile(
    r"^(?:(?:a|an|the|some|any)\s+)?(?:group|crowd|pair|couple|lot|lots|number|kind|kinds|type|"
    r"types|sort|sorts|piece|slice|flock|herd|pack|bunch|row|line|pile|stack|dozens|"
    r"hundreds)\s+of\s+"
)
_WORD: Final = re.compile(r"[a-z0-9][a-z0-9'-]*")


ALIKE: Final = 0.7
"""Share of letters in common from which an unknown word may be a label that was misspelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedThing:
    """A thing that somebody asks for, in labels that observers state."""

    phrase: str
    """The words, in lower case and without articles: "red sports cars"."""
    noun: str
    """The word that named it, in the singular: "car"."""
    labels: frozenset[str] = frozenset()
    """Labels of a detector that mean it; where `is_broader`, of which it may be a kind."""
    classes: frozenset[int] = frozenset()
    """Classes of ImageNet that mean it, by number; where `has_broader_classes`, likewise."""
    is_broader: bool = False
    """Whether the labels are wider than what was asked: "person" for "policeman"."""
    has_broader_classes: bool = False
    unchecked: tuple[str, ...] = ()
    """Words that none of the labels covers: "toy" of "toy frog"."""
    colours: tuple[str, ...] = ()
    """Colours that were asked for, as observers name them."""
    resembles: str = ""
    """The label that is spelled nearly so, of a thing that no label stands for: "bycicle"."""

    @property
    def is_known(self) -> bool:
        """Whether any label or class stands for it."""
        return bool(self.labels or self.classes)

    @property
    def is_person(self) -> bool:
        """Whether it is a person, or a kind of person."""
        return "person" in self.labels and len(self.labels) == 1


class Vocabulary:
    """Labels of a detector and classes of a classifier, found by everyday words.

    Args:
        labels: Of the detectors in use, in lower case.
        classes: Of the classifier in its order, synonyms parted by commas; empty without one.
    """

    def __init__(self, labels: Collection[str], classes: Sequence[str] = ()) -> None:
        self.labels = frozenset(labels)
        self.class_names = tuple(_synonyms(label)[0] for label in classes)
        self._bearing: dict[str, frozenset[int]] = {}
        self._by_name: dict[str, set[int]] = {}
        self._by_head: dict[str, set[int]] = {}
        for idx, label in enumerate(classes):
            for name in _synonyms(label):
                self._by_name.setdefault(singular(name), set()).add(idx)
                # "beer bottle" is a bottle, but "hot dog" and "sea lion" are not what they end in:
                # of those, the kinds table knows better.
                if " " in name:
                    self._by_head.setdefault(singular(name.rsplit(" ", 1)[1]), set()).add(idx)

    def thing(self, phrase: str) -> NamedThing:
        """Return the thing that a phrase names; unknown where no label stands for it.

        Args:
            phrase: A noun phrase such as "the red lorry" or "any people".
        """
        text = _GROUP_OF.sub("", " ".join(_WORD.findall(phrase.lower())) + " ").strip()
        stem = split_phrase(text)[0] or text
        words = stem.split()
        colours, kept = _without_colours(words)
        kept = [word for word in kept if word not in _BEFORE_NOUN]
        bare = " ".join(kept) or stem
        # "bird of prey" is a name; "bottle of water" is a bottle.
        names = [(singular(text), ()), *_suffixes(kept)]
        for name, unchecked in names:
            thing = self._lookup(name)
            if thing.is_known:
                # "toy frog" is less than a frog to whoever knows frogs alone.
                return replace(
                    thing,
                    phrase=bare,
                    is_broader=thing.is_broader or bool(unchecked),
                    has_broader_classes=thing.has_broader_classes or bool(unchecked),
                    unchecked=unchecked,
                    colours=colours,
                )
        noun = singular(kept[-1] if kept else stem)
        near = get_close_matches(noun, self.labels, n=1, cutoff=ALIKE) if len(noun) > 3 else []
        return NamedThing(phrase=bare, noun=noun, colours=colours, resembles="".join(near))

    def classes_of(self, label: str) -> frozenset[int]:
        """Return the classes that mean a detector's label: those that can bear it out."""
        if label not in self._bearing:
            self._bearing[label] = self._same(singular(label))[1]
        return self._bearing[label]

    def _lookup(self, name: str) -> NamedThing:
        """Return what stands for a singular name: outright, or broader."""
        labels, classes = self._same(name)
        has_broader_classes = not classes
        is_broader = not labels
        if is_broader and classes:
            # Whatever "golf ball" is by its class, a detector may call by the wider label.
            labels = frozenset(label for label in self.labels if self.classes_of(label) & classes)
        elif is_broader and name in NARROWER:
            labels, classes = self._same(NARROWER[name])
        return NamedThing(
            phrase=name,
            noun=name,
            labels=labels,
            classes=classes,
            is_broader=is_broader and bool(labels),
            has_broader_classes=has_broader_classes and bool(classes),
        )

    def _same(self, name: str) -> tuple[frozenset[str], frozenset[int]]:
        base = SAME.get(name, name)
        labels = {label for label in self.labels if singular(label) in {name, base}}
        classes = set(self._by_name.get(name, ())) | set(self._by_name.get(base, ()))
        if base in KINDS:
            kind_labels, ranges = KINDS[base]
            labels |= self.labels & set(kind_labels)
            # A name of one class ("crane") may belong to two things: the table decides.
            classes = {idx for idx in expand(ranges) if idx < len(self.class_names)}
        elif not classes:
            classes = set(self._by_head.get(base, ()))
        return frozenset(labels), frozenset(classes)


def split_phrase(text: str) -> tuple[str, str]:
    """Return the noun phrase at the start of a text, and what follows it.

    "the woman in the teal top" is "the woman" and "in the teal top"; "anybody sit down" is
    "anybody" and "sit down".
    """
    words = _WORD.findall(text.lower())
    has_noun = False
    for idx, word in enumerate(words):
        if has_noun and (word in _LINKS or verb_stem(word)):
            return " ".join(words[:idx]), " ".join(words[idx:])
        # "the swing" is no verb, and neither is the "left" of "the left pig".
        has_noun = has_noun or (word not in _BEFORE_NOUN and word not in COLOURS)
    return " ".join(words), ""


def verb_stem(word: str) -> str:
    """Return the bare form of a common doing, "sit" for "sitting"; else nothing."""
    if word in _NOUNS_IN_ING:
        return ""
    for ending in ("", "s", "es", "ed", "d", "ing"):
        if not word.endswith(ending):
            continue
        bare = word.removesuffix(ending) if ending else word
        doubled = bare[:-1] if len(bare) > 2 and bare[-1:] == bare[-2:-1] else bare
        for stem in (bare, f"{bare}e", doubled):
            if _PARTICIPLES.get(stem, stem) in _VERBS:
                return _PARTICIPLES.get(stem, stem)
    return word if word.endswith("ing") and len(word) > 4 else ""


@lru_cache(maxsize=4096)
def singular(words: str) -> str:
    """Return words with the last one in the singular: "traffic lights" is "traffic light"."""
    before, _, last = words.strip().lower().rpartition(" ")
    lead = f"{before} " if before else ""
    # "wine glasses" are a glass, "glasses" alone are worn.
    if last in _IRREGULAR and not (before and last == "glasses"):
        return lead + _IRREGULAR[last]
    if len(last) > 3 and last.endswith("ies"):
        return lead + last[:-3] + "y"
    if re.search(r"(?:ch|sh|ss|x|z)es$", last):
        return lead + last[:-2]
    if last.endswith(("tomatoes", "potatoes", "heroes")):
        return lead + last[:-2]
    if len(last) > 2 and last.endswith("s") and not last.endswith(("ss", "us", "is")):
        return lead + last[:-1]
    return lead + last


def colour_words(text: str) -> tuple[str, ...]:
    """Return the colours that a text names, as observers name them, in its order."""
    return _colours_of(_WORD.findall(text.lower().replace("-", " ")))


def are_near_colours(colour: str, other: str) -> bool:
    """Return whether people and pixels may call one and the same thing by both names."""
    return colour == other or any({colour, other} <= group for group in _NEAR_COLOURS)


def _without_colours(words: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Return colours and the other words; at its end ("an orange") a colour is the thing."""
    colours = _colours_of(words[:-1])
    kept = [word for word in words[:-1] if not _colours_of([word])]
    return colours, [*kept, *words[-1:]]


def _suffixes(words: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the names that words may end in, longest first, each with the words before it."""
    return [
        (singular(" ".join(words[start:])), tuple(words[:start])) for start in range(len(words))
    ]


def _colours_of(words: Sequence[str]) -> tuple[str, ...]:
    parts = [part for word in words for part in word.split("-")]
    return tuple(dict.fromkeys(COLOURS[part] for part in parts if part in COLOURS))


def _synonyms(label: str) -> list[str]:
    return [name.strip().lower() for name in label.split(",")]
