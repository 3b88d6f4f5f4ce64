"""SmolVLM2's prompt: its chat template, and the text that gives each frame its time.

Source: arXiv:2504.05299; checked against transformers' processor and its chat template.
"""

from collections.abc import Sequence
from datetime import timedelta

from engine.models.layers.number_words import number_words
from engine.models.layers.prompt_rows import Prompt
from engine.models.layers.tokenizer import Tokenizer
from engine.records import Turn

START = "<|im_start|>"
END = "<end_of_utterance>"
BORDER = "<fake_token_around_image>"
"""Stands before and behind every picture."""
WHOLE = "<global-img>"
"""Says that a picture is shown whole, not as a tile of a larger one."""


def introduce(times_s: Sequence[float], duration_s: float) -> tuple[str, ...]:
    """Write the text before each frame of a video, up to where its tokens stand.

    Args:
        times_s: Of the frames.
        duration_s: Length of the video that they come from.
    """
    count, length = number_words(len(times_s)), timedelta(seconds=int(duration_s))
    opening = (
        f"You are provided the following series of {count} frames from a {length} [H:MM:SS] "
        "video.\n"
    )
    stamps = [f"\nFrame from {_stamp(time_s)}:{BORDER}{WHOLE}" for time_s in times_s]
    return tuple((opening if index == 0 else BORDER) + stamp for index, stamp in enumerate(stamps))


def around_frames(
    tokenizer: Tokenizer,
    labels: Sequence[str],
    parts: Sequence[int],
    question: str,
    history: Sequence[Turn] = (),
    pictures: Sequence[Sequence[str]] = (),
) -> Prompt:
    """Write a conversation about frames.

    Args:
        tokenizer: The checkpoint's.
        labels: Text before each frame, the introduction first; empty for a talk without video.
        parts: Frames of each chunk.
        question: As people type it.
        history: Earlier turns, oldest first.
        pictures: Text before each tile of each still image; these stand before the frames.
    """
    # Behind every picture its border stands, which begins the text of the next piece.
    tiles = [
        (BORDER if number and not index else "") + label
        for number, picture in enumerate(pictures)
        for index, label in enumerate(picture)
    ]
    frames = [(BORDER if tiles and not index else "") + label for index, label in enumerate(labels)]
    before, *between = [*tiles, *frames] or ("",)
    # The chat template leaves the space out where a turn begins with a picture.
    opening = f"{START}User:" if tiles else f"{START}User: "
    return Prompt(
        before=tokenizer.control(opening + before),
        # The first frame's label belongs to the opening, which is encoded in one piece.
        labels=[[], *(tokenizer.control(label) for label in between)] if tiles or labels else [],
        parts=[*(len(picture) for picture in pictures), *parts],
        after=_behind(
            tokenizer,
            question,
            history,
            is_bordered=bool(tiles or labels),
            has_video=bool(labels),
        ),
    )


def around_one(tokenizer: Tokenizer, question: str) -> Prompt:
    """Write a question about frames that are shown without times, for the scoring of candidates."""
    return Prompt(
        before=tokenizer.control(f"{START}User: {BORDER}{WHOLE}"),
        after=_behind(tokenizer, question, (), is_bordered=True, has_video=True),
    )


def _behind(
    tokenizer: Tokenizer,
    question: str,
    history: Sequence[Turn],
    *,
    is_bordered: bool,
    has_video: bool,
) -> list[int]:
    """Encode what follows the last frame: earlier turns, question, opening of the answer."""
    ids = tokenizer.control(BORDER) if is_bordered else []
    # Text up to a control token is encoded in one piece, as upstream encodes the whole prompt.
    opening = "\n\n" if has_video else ""
    end = tokenizer.control(END)
    for turn in history:
        ids += tokenizer.plain(opening + turn.question) + end
        ids += tokenizer.plain(f"\nAssistant: {turn.answer}") + end
        opening = "\nUser: "
    return ids + tokenizer.plain(opening + question) + end + tokenizer.plain("\nAssistant:")


def _stamp(time_s: float) -> str:
    minutes, seconds = divmod(int(time_s), 60)
    return f"{minutes:02d}:{seconds:02d}"
