"""Letters in answers, as each published rule reads them."""

import pytest

from engine.evaluation.multiple_choice import (
    bracketed,
    contained_letter,
    dotted,
    first_letter,
    leading_letter,
    marked_letter,
    standalone_letter,
)

OPTIONS = ("a dog", "a cat", "a car", "a bus")
# first, standalone, leading, marked, contained
READINGS: list[tuple[str, tuple[str | None, ...]]] = [
    ("B", ("B", "B", "B", "B", "B")),
    ("(B)", ("B", "B", "B", "B", "B")),
    ("B.", ("B", "B", "B", "B", "B")),
    ("B) a cat", ("B", "B", "B", None, "B")),
    ("The best answer is: B", ("B", "B", None, "B", "B")),
    ("Best option: (B", ("B", "B", None, "B", "B")),
    ("", (None, None, None, None, None)),
    ("it is there", (None, None, None, None, None)),
    ("b", (None, None, "B", None, None)),
    # A letter inside a word: lenient rules take it, as upstream does.
    ("Cats and dogs", ("C", None, None, None, "C")),
    ("I think that it shows a cat there", (None, None, None, "B", None)),
]


@pytest.mark.parametrize(("answer", "wanted"), READINGS, ids=[text for text, _ in READINGS])
def test_each_rule_reads_as_published(answer: str, wanted: tuple[str | None, ...]) -> None:
    assert (
        first_letter(answer, 4),
        standalone_letter(answer, 4),
        leading_letter(answer, 4),
        marked_letter(answer, OPTIONS),
        contained_letter(answer, 4),
    ) == wanted


def test_a_letter_beyond_the_options_is_no_choice() -> None:
    assert first_letter("D", 3) is None
    assert standalone_letter("D", 3) is None
    assert leading_letter("D", 3) is None
    assert marked_letter("D", OPTIONS[:3]) is None
    assert contained_letter("D", 3) is None


def test_options_are_written_in_both_forms() -> None:
    assert dotted(OPTIONS[:2]) == "A. a dog\nB. a cat"
    assert bracketed(OPTIONS[:2]) == "(A) a dog\n(B) a cat"
