"""How VICO questions are put: seven kinds, each with a few wordings of our own.

To appear means to be seen first: a clue that lasts through several clips appears in the first of
them. "Right before" and "right after" ask among the options only, so that a clip which has no
clue cannot be a better answer. Options stand on lines of their own as "(A) ...", which is how
`pipeline/wording.py` tells them from the question.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final, Literal, get_args

import numpy as np

from engine.training.vico.clues import Clue

Kind = Literal["order", "write_order", "before", "after", "which_first", "first", "last"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

LETTERS: Final = "ABCD"

_WORDINGS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "order": (
        "In which order do these appear in the video?",
        "Which sequence is the order of these moments in the video?",
    ),
    "write_order": (
        "Write these down in the order in which they appear in the video, one a line.",
        "Sort these moments of the video by time, the earliest on the first line.",
    ),
    "before": (
        "Which of the options appears right before this moment of the video: {clue}",
        "Of the options, which is the last to appear before this: {clue}",
    ),
    "after": (
        "Which of the options appears right after this moment of the video: {clue}",
        "Of the options, which is the first to appear after this: {clue}",
    ),
    "which_first": (
        "Which of the two appears first in the video?",
        "Which of these two moments of the video comes first?",
    ),
    "first": (
        "Which of these appears first in the video?",
        "Of the options, which appears first in the video?",
    ),
    "last": (
        "Which of these is the last to appear in the video?",
        "Of the options, which appears last in the video?",
    ),
}
_HOW: Final = "Answer with the letter of the right option."


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question about order, its one right answer, and the clues that it names."""

    kind: Kind
    text: str
    answer: str
    n_options: int
    """0 where the answer is written freely."""
    clues: tuple[tuple[str | None, Clue], ...]
    """In time order, each with the letter or number it has in the question, if any."""


def ask(
    kind: Kind, clues: Sequence[Clue], random: np.random.Generator, deal: Callable[[int], int]
) -> Question:
    """Put a question.

    Args:
        kind: What about the order is asked.
        clues: In time order, each starting at a time of its own; at least two.
        random: Draws wording, wrong options and their order.
        deal: The place of the right one among so many options.
    """
    wording = _WORDINGS[kind][int(random.integers(len(_WORDINGS[kind])))]
    if kind == "order":
        return _ask_order(wording, clues, random, deal)
    if kind == "write_order":
        return _ask_to_write(wording, clues, random)
    options, asked, right = list(clues), None, 0
    if kind == "last":
        right = len(clues) - 1
    elif kind in ("before", "after"):
        place = int(random.integers(1, len(clues)))
        right = place - 1
        if kind == "after":
            place, right = right, place
        asked, answer = clues[place], clues[right]
        options.remove(asked)
        right = options.index(answer)
    return _ask_which(kind, wording, options, right, asked, random, deal)


def _ask_which(
    kind: Kind,
    wording: str,
    options: Sequence[Clue],
    right: int,
    asked: Clue | None,
    random: np.random.Generator,
    deal: Callable[[int], int],
) -> Question:
    """One of the options is right; `asked` is the clue that the wording names."""
    letters = _letters(len(options), right, random, deal)
    marks = dict(zip(letters, options, strict=True))
    lines = [f"({letter}) {marks[letter].text}" for letter in sorted(marks)]
    named: list[tuple[str | None, Clue]] = list(zip(letters, options, strict=True))
    if asked is not None:
        named.append((None, asked))
        wording = wording.format(clue=asked.text)
    return Question(
        kind=kind,
        text="\n".join([wording, *lines, _HOW]),
        answer=f"({letters[right]})",
        n_options=len(options),
        clues=tuple(sorted(named, key=lambda pair: pair[1].span)),
    )


def _ask_order(
    wording: str,
    clues: Sequence[Clue],
    random: np.random.Generator,
    deal: Callable[[int], int],
) -> Question:
    """The clues numbered at random, and four sequences of their numbers to choose from."""
    listed = random.permutation(len(clues)).tolist()
    true = tuple(listed.index(place) for place in range(len(clues)))
    wrong = [order for order in permutations(range(len(clues))) if order != true]
    drawn = random.choice(len(wrong), size=len(LETTERS) - 1, replace=False).tolist()
    orders = [wrong[place] for place in drawn]
    right = deal(len(LETTERS))
    orders.insert(right, true)
    lines = [f"{number}. {clues[place].text}" for number, place in enumerate(listed, start=1)]
    options = [
        f"({letter}) {', '.join(str(number + 1) for number in order)}"
        for letter, order in zip(LETTERS, orders, strict=True)
    ]
    return Question(
        kind="order",
        text="\n".join([wording, *lines, *options, _HOW]),
        answer=f"({LETTERS[right]})",
        n_options=len(LETTERS),
        clues=tuple((str(number + 1), clue) for number, clue in zip(true, clues, strict=True)),
    )


def _ask_to_write(wording: str, clues: Sequence[Clue], random: np.random.Generator) -> Question:
    listed = random.permutation(len(clues)).tolist()
    return Question(
        kind="write_order",
        text="\n".join([wording, *(f"- {clues[place].text}" for place in listed)]),
        answer="\n".join(clue.text for clue in clues),
        n_options=0,
        clues=tuple((None, clue) for clue in clues),
    )


def _letters(
    n_options: int, right: int, random: np.random.Generator, deal: Callable[[int], int]
) -> list[str]:
    """A letter for each option; the right one's is dealt, the others are shuffled."""
    letters = list(LETTERS[:n_options])
    dealt = letters.pop(deal(n_options))
    shuffled = [letters[place] for place in random.permutation(len(letters)).tolist()]
    shuffled.insert(right, dealt)
    return shuffled
