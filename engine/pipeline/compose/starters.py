"""Questions that the observations of a video answer, to begin with."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from engine.pipeline.compose.composer import compose
from engine.pipeline.compose.footage import NoSecondLook, WatchedFootage
from engine.pipeline.compose.order import by_label
from engine.pipeline.compose.sentences import plural
from engine.pipeline.compose.visits import individuals, most_at_once
from engine.pipeline.compose.witnesses import FOUND_WELL, LONE_CONFIDENCE, PERSISTS_FRAMES
from engine.pipeline.question_kinds import read_question
from engine.records import Observation
from engine.sight.word_groups import word_set

MOST_QUESTIONS: Final = 5
_MOST_THINGS: Final = 3
"""Labels that are asked about: more would leave no room for print and speech."""
_LEAST_LETTERS: Final = 5
"""Of a word that speech is asked about by: shorter ones seldom say what it is about."""
_VAGUE: Final = word_set(
    """about after again against always another because before being between cannot could doing
    during either every everybody everything first going gonna having hello however little maybe
    might never nothing other people please really right second should since something still thank
    thanks their there these thing things think those though three through today together under
    until wants where whether which while whose without would years yourself"""
)


def starter_questions(footage: WatchedFootage) -> tuple[str, ...]:
    """Return questions about what was observed, each of which its rows answer.

    The most telling come first: people, other things by how long they are in view, speech, print,
    then the whole. Every one is put to `compose`, so that none is shown which would be refused.

    Args:
        footage: Of one video.
    Returns:
        At most five; none where nothing certain was observed.
    """
    # What a second look could take back is not asked about, and no model has to load for it.
    seen = replace(footage, look=NoSecondLook())
    certain = replace(seen, rows=tuple(row for row in seen.rows if _is_certain(row)))
    questions = [
        next((question for question in alternatives if _is_answered(certain, seen, question)), "")
        for alternatives in _candidates(certain)
    ]
    return tuple(filter(None, questions))[:MOST_QUESTIONS]


def _is_answered(certain: WatchedFootage, seen: WatchedFootage, question: str) -> bool:
    """Tell whether rows answer a question, the certain ones alone and all of them."""
    form = read_question(question)
    answers = [compose(footage, form) for footage in (certain, seen)]
    # Doubtful rows may stand in the way of an answer that the certain ones give.
    return all(
        composed is not None and composed.verdict == "answered" and composed.evidence
        for composed in answers
    )


def _candidates(footage: WatchedFootage) -> Iterator[tuple[str, ...]]:
    """Yield questions of which one is enough, the preferred one first."""
    rows = footage.of("object")
    longest = sorted(by_label(rows).items(), key=lambda item: (item[0] != "person", -_length(item)))
    for label, group in longest[:_MOST_THINGS]:
        yield (_about_thing(label, group),)
    subject = _subject(footage.of("speech"))
    yield (*([f"What is said about “{subject}”?"] if subject else []), "What is said?")
    yield ("What is written on the screen?",)
    yield ("What happens in this video?",)
    if longest and longest[0][0] != "person":
        yield (f"What colour is the {longest[0][0]}?",)


def _about_thing(label: str, rows: Sequence[Observation]) -> str:
    """Return a question about a thing that comes once, or several times."""
    visits = individuals(rows)
    n_at_once, _ = most_at_once(visits)
    if label == "person" and n_at_once <= 1:
        return "How many people come by?" if len(visits) > 1 else "When is a person in view?"
    if len(visits) > 1:
        return f"How many {plural(label)} are there?"
    return f"When is the {label} in view?"


def _subject(rows: Sequence[Observation]) -> str:
    """Return the word that is said most often among those that say something."""
    words = Counter(
        word
        for row in rows
        for word in re.findall(r"[a-z]+", row.text.casefold())
        if len(word) >= _LEAST_LETTERS and word not in _VAGUE
    )
    # The longer one of two that are said as often: it is the less common.
    return max(words, key=lambda word: (words[word], len(word)), default="")


def _is_certain(row: Observation) -> bool:
    if row.kind != "object":
        return True
    if row.label == "person":
        return row.n_seen >= PERSISTS_FRAMES
    is_seen_well = row.confidence >= LONE_CONFIDENCE and row.n_seen >= PERSISTS_FRAMES
    return is_seen_well and row.label in FOUND_WELL


def _length(item: tuple[str, Sequence[Observation]]) -> float:
    return sum(row.span.duration_s for row in item[1])
