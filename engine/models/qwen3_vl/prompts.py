"""Qwen3-VL's prompt: its chat template, and the text that gives each pair of frames its time.

Source: the released chat template; the times are those of transformers' processor, which puts
them in the place of the template's video with its borders.
"""

from collections.abc import Sequence

from engine.models.layers.prompt_rows import Prompt
from engine.models.layers.tokenizer import Tokenizer
from engine.records import Turn

START = "<|im_start|>"
END = "<|im_end|>"
OPEN = "<|vision_start|>"
CLOSE = "<|vision_end|>"
PAIR = 2
"""Frames that the tower joins."""


def introduce(times_s: Sequence[float]) -> tuple[str, ...]:
    """Write the text before each pair of frames of a chunk: the mean of their times.

    A last frame without a second one stands for both.
    """
    pairs = [times_s[first : first + PAIR] for first in range(0, len(times_s), PAIR)]
    return tuple(f"<{(pair[0] + pair[-1]) / 2:.1f} seconds>{OPEN}" for pair in pairs)


def around_pairs(
    tokenizer: Tokenizer,
    labels: Sequence[str],
    parts: Sequence[int],
    question: str,
    history: Sequence[Turn] = (),
) -> Prompt:
    """Write a conversation about frames.

    Args:
        tokenizer: The checkpoint's.
        labels: Text before each pair of frames; empty for a talk without video.
        parts: Pairs of each chunk.
        question: As people type it.
        history: Earlier turns, oldest first.
    """
    start, close = tokenizer.control(START), tokenizer.control(CLOSE)
    if not labels:
        turns = _conversation(tokenizer, question, history, opening="user\n")
        return Prompt(before=start, after=turns)
    first, *rest = labels
    return Prompt(
        # Text up to a control token is encoded in one piece, as upstream encodes the whole prompt.
        before=tokenizer.control(f"{START}user\n{first}"),
        labels=[[], *(tokenizer.control(CLOSE + label) for label in rest)],
        parts=parts,
        after=close + _conversation(tokenizer, question, history, opening=""),
    )


def around_one(tokenizer: Tokenizer, question: str) -> Prompt:
    """Write a question about frames that are shown without times, for the scoring of candidates."""
    return Prompt(
        before=tokenizer.control(f"{START}user\n{OPEN}"),
        after=tokenizer.control(CLOSE) + _conversation(tokenizer, question, (), opening=""),
    )


def _conversation(
    tokenizer: Tokenizer, question: str, history: Sequence[Turn], *, opening: str
) -> list[int]:
    """Encode earlier turns, the question and the opening of the answer."""
    ids = list[int]()
    start, end, gap = tokenizer.control(START), tokenizer.control(END), tokenizer.control("\n")
    for turn in history:
        ids += tokenizer.plain(opening + turn.question) + end + gap + start
        ids += tokenizer.plain(f"assistant\n{turn.answer}") + end + gap + start
        opening = "user\n"
    ids += tokenizer.plain(opening + question) + end + gap + start
    return ids + tokenizer.control("assistant\n")
