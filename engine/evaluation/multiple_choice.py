"""Multiple choice: options as prompts write them, and the letter that an answer names.

Benchmarks read letters differently, and the difference can be larger than the gain that is
claimed; so each published reading has a function of its own, named by its rule, and a benchmark's
file says which one is its own. Where upstream draws an option by lot for an answer without a
letter (LongVideoBench, EgoSchema, NExT-QA), nothing is drawn here: the answer counts as wrong
and as unparsable.
"""

import re
from collections.abc import Sequence
from string import ascii_uppercase

_LEADS = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
    "Answer:",
    "Option:",
)


def dotted(options: Sequence[str]) -> str:
    """Return options one a line, as `A. ...`."""
    return "\n".join(f"{letter_of(idx)}. {text}" for idx, text in enumerate(options))


def bracketed(options: Sequence[str]) -> str:
    """Return options one a line, as `(A) ...`."""
    return "\n".join(f"({letter_of(idx)}) {text}" for idx, text in enumerate(options))


def letter_of(idx: int) -> str:
    """Return the letter of an option by its place, from 0."""
    return ascii_uppercase[idx]


def first_letter(answer: str, n_options: int) -> str | None:
    """Return the first capital letter of an option behind the words that lead up to an answer.

    Source: Video-MME's eval_your_results.py, `extract_characters_regex`; LongVideoBench's
    `parse_multi_choice_response`.
    """
    text = answer.strip()
    for lead in _LEADS:
        text = text.replace(lead, "")
    match = re.search(f"[{ascii_uppercase[:n_options]}]", text)
    if match is None:
        return None
    return match[0]


def standalone_letter(answer: str, n_options: int) -> str | None:
    """Return the first capital letter of an option that is a word of its own.

    Source: lmms-eval 0.7.3, perceptiontest/val/utils.py.
    """
    match = re.search(rf"\b([{ascii_uppercase[:n_options]}])\b", answer)
    return None if match is None else match[1]


def leading_letter(answer: str, n_options: int) -> str | None:
    """Return the letter that the first word of an answer is, with or without a bracket or a dot.

    Source: MVBench's `check_ans` and MLVU's reading of what stands before the first ")".
    """
    words = answer.strip().partition(")")[0].split()
    if not words:
        return None
    letter = words[0].strip("().:,").upper()
    return letter if len(letter) == 1 and letter in ascii_uppercase[:n_options] else None


def marked_letter(answer: str, options: Sequence[str]) -> str | None:
    """Return the letter that is marked as an option, else that of an option spelled out.

    Tried in this order: "(A)", "A ", "A.", and in an answer of more than five words the text of
    an option. Of several the last one counts.

    Source: MMMU's `parse_multi_choice_response` as lmms-eval 0.7.3 uses it for NExT-QA.
    """
    text = f" {answer.strip().strip(',.!?;:')} "
    letters = ascii_uppercase[: len(options)]
    for form in ("({})", "{} ", "{}."):
        places = {letter: text.rfind(form.format(letter)) for letter in letters}
        if max(places.values()) >= 0:
            return max(places, key=lambda letter: places[letter])
    if len(text.split()) > 5:
        lowered = text.lower()
        spelled = {
            letter: lowered.rfind(option.lower())
            for letter, option in zip(letters, options, strict=True)
        }
        if max(spelled.values()) >= 0:
            return max(spelled, key=lambda letter: spelled[letter])
    return None


def contained_letter(answer: str, n_options: int) -> str | None:
    """Return the first letter of the alphabet that stands anywhere before the first dot.

    Source: VideoNIAH's evaluation/eval.py.
    """
    head = answer.split(".")[0]
    return next((letter for letter in ascii_uppercase[:n_options] if letter in head), None)
