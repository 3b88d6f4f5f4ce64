"""Captions of clips as data sets take them: repeats joined, and as a LLaVA conversation.

PLLaVA describes clips anew to make training data of them (arXiv:2404.16994, section 4.4). A
caption that says nearly the same as the one before belongs to one longer clip.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.pipeline.caption import INSTRUCTION
from engine.training.data.clips import ClipCaption, sentences

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """The words of many captions in numbers; none of them says how true they are."""

    captions: int
    words_each: float
    distinct_words: int
    repeated: float
    """Share of captions that are the same, word for word, as another one."""


def join_alike(captions: Sequence[ClipCaption], likeness: float) -> tuple[ClipCaption, ...]:
    """Join captions with the one before where they share enough words; empty ones are left out.

    Args:
        captions: In time order.
        likeness: Words that two share over words that either has, from which they are joined;
            above 1 joins none.
    """
    joined: list[ClipCaption] = []
    for caption in captions:
        if not caption.text.strip():
            continue
        last = joined[-1] if joined else None
        if last is not None and likeness_of(last.text, caption.text) >= likeness:
            joined[-1] = ClipCaption(
                span=last.span.hull(caption.span), text=last.text, last_s=caption.last_s
            )
        else:
            joined.append(caption)
    return tuple(joined)


def likeness_of(text: str, other: str) -> float:
    """Return the words that two texts share over the words that either has."""
    words, others = (set(_WORD.findall(part.lower())) for part in (text, other))
    union = words | others
    return len(words & others) / len(union) if union else 1.0


def conversation(video: str, captions: Sequence[ClipCaption]) -> dict[str, Any]:
    """Return a video's captions as a sample of LLaVA's format: one description of all of it."""
    unique = dict.fromkeys(sentence for caption in captions for sentence in sentences(caption.text))
    return {
        "id": video,
        "video": video,
        "conversations": [
            {"from": "human", "value": f"<video>\n{INSTRUCTION}"},
            {"from": "gpt", "value": " ".join(unique)},
        ],
    }


def wording_of(texts: Sequence[str]) -> Wording:
    """Return the words of captions in numbers."""
    words = [_WORD.findall(text.lower()) for text in texts]
    n_words = sum(map(len, words))
    return Wording(
        captions=len(texts),
        words_each=n_words / len(texts) if texts else 0.0,
        distinct_words=len({word for part in words for word in part}),
        repeated=1 - len(set(texts)) / len(texts) if texts else 0.0,
    )
