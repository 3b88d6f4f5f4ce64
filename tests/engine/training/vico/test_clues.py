"""Which captions make a clue: said once, of one place, in words that nothing else fits."""

import time

import pytest

from engine.records import TimeSpan
from engine.training.data.clips import ClipCaption
from engine.training.vico.clues import MOST_WORDS, content, find_clues


def captions(*texts: str) -> list[ClipCaption]:
    return [
        ClipCaption(span=TimeSpan(start_s=14.0 * n, end_s=14.0 * (n + 1)), text=text)
        for n, text in enumerate(texts)
    ]


def found(*texts: str) -> list[tuple[float, str]]:
    return [(clue.span.start_s, clue.text) for clue in find_clues(captions(*texts))]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I can't tell.",
        "I'm sorry, but I cannot see a video here.",
        "As an AI language model, I have no eyes.",
        "There is nothing to describe in these frames.",
        "It is unclear what the man holds.",
        "Not found in 3 minutes of video.",
        "A dog.",
    ],
)
def test_captions_that_say_nothing_are_no_clues(text: str) -> None:
    assert found(text, "A man opens the red door.") == [(14.0, "A man opens the red door.")]


def test_what_is_said_of_two_places_is_left_out_of_both() -> None:
    assert found(
        "A man opens a door. A kettle boils over.",
        "Two women dance.",
        "The man opens the door. A cat sleeps on the sofa.",
        "Two boats leave the harbour.",
    ) == [
        (0.0, "A kettle boils over."),
        (14.0, "Two women dance."),
        (28.0, "A cat sleeps on the sofa."),
        (42.0, "Two boats leave the harbour."),
    ]


def test_what_lasts_through_neighbouring_clips_appears_in_the_first() -> None:
    first, second = find_clues(
        captions("A yellow bag stands there.", "A yellow bag stands there. A dog runs left.")
    )
    assert (first.text, first.span) == (
        "A yellow bag stands there.",
        TimeSpan(start_s=0.0, end_s=28.0),
    )
    assert (second.text, second.span.start_s) == ("A dog runs left.", 14.0)


def test_neighbours_in_the_list_with_hours_between_them_are_two_sightings() -> None:
    early, late = captions("A yellow bag stands there.", "A yellow bag stands there.")
    late = ClipCaption(span=TimeSpan(start_s=7200.0, end_s=7214.0), text=late.text)
    assert find_clues([early, late]) == ()


def test_one_word_tells_short_captions_apart_but_not_of_neighbours() -> None:
    first, second = ("A person in red walks left.", "A person in red walks right.")
    assert [text for _, text in found(first, "A dog barks loudly.", second)] == [
        first,
        "A dog barks loudly.",
        second,
    ]
    assert found(first, second, "A dog barks loudly.") == [(28.0, "A dog barks loudly.")]


def test_nearly_the_same_clue_twice_is_none() -> None:
    long = "An old man in a grey coat carries two heavy baskets over the narrow stone bridge"
    assert found(f"{long}.", "A dog barks loudly.", f"{long} slowly.") == [
        (14.0, "A dog barks loudly.")
    ]


def test_long_captions_are_cut_between_sentences() -> None:
    told = [f"Person{n} carries thing{n} towards place{n} in weather{n}." for n in range(20)]
    ((_, text),) = found(" ".join(told))
    assert len(text.split()) <= MOST_WORDS
    assert text.endswith(".")


def test_words_of_scripts_without_spaces_are_told_apart() -> None:
    assert len(content("\u4e00\u53ea\u72d7\u8dd1")) == 4
    assert found("\u4e00\u53ea\u72d7\u5728\u8dd1\u3002", "\u5973\u4eba\u5f00\u95e8\u3002") == [
        (0.0, "\u4e00\u53ea\u72d7\u5728\u8dd1\u3002"),
        (14.0, "\u5973\u4eba\u5f00\u95e8\u3002"),
    ]


def test_eight_hours_of_captions_are_no_matter_of_minutes() -> None:
    texts = [f"Person{n} opens door{n}. A street by day with cars." for n in range(2000)]
    started = time.perf_counter()
    assert len(found(*texts)) == 2000
    assert time.perf_counter() - started < 60
