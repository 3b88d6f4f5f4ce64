"""Phrases as terms: which classes of a classifier and labels of a detector a word stands for.

Everyday words by the tables that answers use too (`word_synonyms`, `word_groups`: what a word
means), and by `concept_groups.txt`: what a picture of it is taken for, or comes with it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from engine.sight.thing_words import singular
from engine.sight.word_groups import KINDS, expand
from engine.sight.word_synonyms import NARROWER, SAME

_LONGEST: Final = 4
"""Words of the longest name."""
_EMPTY: Final = re.compile(
    r"an?|the|that|this|some|any|[oi]n|of|at|with|and|or|to|for|from|by|into|over|under|near|"
    r"is|are|was|were|be|its?|his|her|their|there|where|which|who|while"
)
_WORD: Final = re.compile(r"[a-z]+(?:[-'][a-z]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A word or name of a phrase that the eyes know something about."""

    text: str
    classes: frozenset[int] = frozenset()
    """Classes of ImageNet that it is, or that a picture of it is taken for, by index."""
    labels: frozenset[str] = frozenset()
    """Labels of the detector that it is, or that come with it."""
    wider_labels: frozenset[str] = frozenset()
    """Labels of which it is a kind: "person" of a policeman."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TermPhrase:
    """A phrase as terms, and the words that none of them covers."""

    terms: tuple[Term, ...]
    """In the order of the phrase; no word counts twice."""
    unknown: tuple[str, ...]


class TermTable:
    """All words that the eyes know.

    Args:
        classes: Names of the classifier's classes in order, synonyms joined by commas.
        labels: Of the detector; none without one.
    """

    def __init__(self, classes: Sequence[str], labels: Sequence[str] = ()) -> None:
        self._classes: dict[str, set[int]] = {}
        for idx, names in enumerate(classes):
            for name in names.lower().split(","):
                self._classes.setdefault(name.strip(), set()).add(idx)
        self._labels = frozenset(labels)
        self._groups = _read_groups()

    def read(self, text: str) -> TermPhrase:
        """Return a phrase as terms, the longest names first."""
        words = _WORD.findall(text.lower())
        is_used = [False] * len(words)
        terms: list[tuple[int, Term]] = []
        for length in range(_LONGEST, 0, -1):
            for start in range(len(words) - length + 1):
                span = slice(start, start + length)
                term = None if any(is_used[span]) else self._term(words[span])
                if term is not None:
                    is_used[span] = [True] * length
                    terms.append((start, term))
        unknown = (word for word, used in zip(words, is_used, strict=True) if not used)
        return TermPhrase(
            terms=tuple(term for _, term in sorted(terms, key=lambda pair: pair[0])),
            unknown=tuple(word for word in unknown if not _EMPTY.fullmatch(word)),
        )

    def _term(self, words: list[str]) -> Term | None:
        if _EMPTY.fullmatch(words[0]) or _EMPTY.fullmatch(words[-1]):
            return None
        for name in (" ".join(words), " ".join([*words[:-1], singular(words[-1])])):
            base = SAME.get(name, name)
            kind_labels, ranges = KINDS.get(base, ((), ()))
            alike = self._groups.get(name) or self._groups.get(base, frozenset())
            classes = {int(part) for part in alike if part.isdecimal()}
            if not classes and base != "person":
                # Brides and divers are people, but few people are brides and divers.
                classes = set(expand(ranges))
            classes |= self._classes.get(name, set())
            labels = {part for part in (*alike, *kind_labels, name, base) if part in self._labels}
            wider = {part.rstrip("~") for part in alike if part.endswith("~")} & self._labels
            if not labels and name in NARROWER:
                broader = NARROWER[name]
                wider |= {broader, *KINDS.get(broader, ((), ()))[0]} & self._labels
            wider -= labels
            if classes or labels or wider:
                return Term(
                    text=name,
                    classes=frozenset(classes),
                    labels=frozenset(labels),
                    wider_labels=frozenset(wider),
                )
        return None


@cache
def _read_groups() -> dict[str, frozenset[str]]:
    """Return the classes and labels of every word of the table, as they are written there."""
    groups: dict[str, set[str]] = {}
    text = files("engine.sight").joinpath("concept_groups.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            words, _, members = line.partition(":")
            expanded = {name for member in members.split() for name in _expand(member)}
            for word in words.split(","):
                groups.setdefault(word.strip(), set()).update(expanded)
    return {word: frozenset(names) for word, names in groups.items()}


def _expand(member: str) -> list[str]:
    """Return the indices of a range, or a label in its own spelling."""
    if not member[0].isdecimal():
        return [member.replace("_", " ")]
    first, _, last = member.partition("-")
    return [str(idx) for idx in range(int(first), int(last or first) + 1)]
