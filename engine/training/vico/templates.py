"""Wordings of VICO questions: seven kinds, each with a few, which are this project's own.

To appear means to be seen first: a clue that lasts through several clips appears in the first of
them. "Right before" and "right after" ask among the options only, so that a clip which has no
clue cannot be a better answer. Options stand on lines of their own as "(A) ...", which is how
`pipeline/query.py` tells them from the question.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final, Literal, get_args

import numpy as np

from engine.training.vico.clues import Clue

QuestionKind = Literal["order", "write_order", "before", "after", "which_first", "first", "last"]
KINDS: Final[tuple[QuestionKind, ...]] = get_args(QuestionKind)

LETTERS: Final = "ABCD"

_WORDINGS: Final[Mapping[QuestionKind, tuple[str, ...]]] = {
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
_INSTRUCTION: Final = "Answer with the letter of the right option."


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderQuestion:
    """A question about order, its one right answer, and the clues that it names."""

    kind: QuestionKind
    text: str
    answer: str
    n_options: int
    """0 where the answer is written freely."""
    clues: tuple[tuple[str | None, Clue], ...]
    """In time order, each with the letter or number it has in the question, if any."""


def ask(
    kind: QuestionKind,
    clues: Sequence[Clue],
    random: np.random.Generator,
    draw_position: Callable[[int], int],
) -> OrderQuestion:
    """Put a question.

    Args:
        kind: What about the order is asked.
        clues: In time order, each starting at a time of its own; at least two.
        random: Draws wording, wrong options and their order.
        draw_position: Returns the position of the right one among that many options.
    """
    wording = _WORDINGS[kind][int(random.integers(len(_WORDINGS[kind])))]
    if kind == "order":
        return _ask_order(wording, clues, random, draw_position)
    if kind == "write_order":
        return _ask_to_write(wording, clues, random)
    options, reference, right = list(clues), None, 0
    if kind == "last":
        right = len(clues) - 1
    elif kind in ("before", "after"):
        idx = int(random.integers(1, len(clues)))
        right = idx - 1
        if kind == "after":
            idx, right = right, idx
        reference, answer = clues[idx], clues[right]
        options.remove(reference)
        right = options.index(answer)
    return _ask_which(kind, wording, options, right, reference, random, draw_position)


def _ask_which(
    kind: QuestionKind,
    wording: str,
    options: Sequence[Clue],
    right: int,
    reference: Clue | None,
    random: np.random.Generator,
    draw_position: Callable[[int], int],
) -> OrderQuestion:
    """Ask which option is right; `reference` is the clue that the wording names."""
    letters = _letters(len(options), right, random, draw_position)
    marks = dict(zip(letters, options, strict=True))
    lines = [f"({letter}) {marks[letter].text}" for letter in sorted(marks)]
    named: list[tuple[str | None, Clue]] = list(zip(letters, options, strict=True))
    if reference is not None:
        named.append((None, reference))
        wording = wording.format(clue=reference.text)
    return OrderQuestion(
        kind=kind,
        text="\n".join([wording, *lines, _INSTRUCTION]),
        answer=f"({letters[right]})",
        n_options=len(options),
        clues=tuple(sorted(named, key=lambda pair: pair[1].span)),
    )


def _ask_order(
    wording: str,
    clues: Sequence[Clue],
    random: np.random.Generator,
    draw_position: Callable[[int], int],
) -> OrderQuestion:
    """Ask for the order: clues numbered at random, four sequences of numbers to choose from."""
    listed = random.permutation(len(clues)).tolist()
    true = tuple(listed.index(idx) for idx in range(len(clues)))
    wrong = [order for order in permutations(range(len(clues))) if order != true]
    drawn = random.choice(len(wrong), size=len(LETTERS) - 1, replace=False).tolist()
    orders = [wrong[idx] for idx in drawn]
    right = draw_position(len(LETTERS))
    orders.insert(right, true)
    lines = [f"{number}. {clues[idx].text}" for number, idx in enumerate(listed, start=1)]
    options = [
        f"({letter}) {', '.join(str(number + 1) for number in order)}"
        for letter, order in zip(LETTERS, orders, strict=True)
    ]
    return OrderQuestion(
        kind="order",
        text="\n".join([wording, *lines, *options, _INSTRUCTION]),
        answer=f"({LETTERS[right]})",
        n_options=len(LETTERS),
        clues=tuple((str(number + 1), clue) for number, clue in zip(true, clues, strict=True)),
    )


def _ask_to_write(
    wording: str, clues: Sequence[Clue], random: np.random.Generator
) -> OrderQuestion:
    listed = random.permutation(len(clues)).tolist()
    return OrderQuestion(
        kind="write_order",
        text="\n".join([wording, *(f"- {clues[idx].text}" for idx in listed)]),
        answer="\n".join(clue.text for clue in clues),
        n_options=0,
        clues=tuple((None, clue) for clue in clues),
    )


def _letters(
    n_options: int, right: int, random: np.random.Generator, draw_position: Callable[[int], int]
) -> list[str]:
    """Return a letter for each option: the right one's by its position, the others shuffled."""
    letters = list(LETTERS[:n_options])
    right_letter = letters.pop(draw_position(n_options))
    shuffled = [letters[idx] for idx in random.permutation(len(letters)).tolist()]
    shuffled.insert(right, right_letter)
    return shuffled
