"""A sample as Video-XL reads it: words with their labels, and media where they stand.

    chat    system, then user and assistant in turn; answers and the marks of turns are learnt
    plain   media, then the bare caption with a line end; the caption is learnt

Source: upstream's templates "qwen_1_5" and "plain". Of a chat the opening mark, the closing mark
and the last line end of every turn are learnt, the system's included, and of words only the
assistant's. Labels are shifted once, over the whole sequence, by who computes the loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.models.layers.splice import IGNORED_LABEL
from engine.models.layers.tokenizer import Tokenizer
from engine.training.data.samples import Sample

SYSTEM = "You are a helpful assistant."


@dataclass(frozen=True, slots=True)
class Words:
    """A stretch of text."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    """The ids to learn; `IGNORED_LABEL` elsewhere."""


@dataclass(frozen=True, slots=True)
class Media:
    """Files that are seen one behind the other, as one video."""

    paths: tuple[Path, ...]


def chat(sample: Sample, tokenizer: Tokenizer) -> list[Words | Media]:
    """A conversation; words and media alternate, words first and last."""
    made = _Writing(tokenizer)
    made.mark("<|im_start|>")
    made.own(f"system\n{SYSTEM}")
    made.mark("<|im_end|>\n")
    for number, turn in enumerate(sample.turns):
        made.mark("<|im_start|>")
        made.own("user\n")
        if sample.marked:
            made.pieces(sample.marked[number])
        else:
            in_front = sample.media if number == 0 else ()
            made.media(in_front)
            made.foreign(f"\n{turn.question}" if in_front else turn.question)
        made.mark("<|im_end|>\n<|im_start|>")
        made.own("assistant\n")
        made.foreign(turn.answer, is_learnt=True)
        made.mark("<|im_end|>\n")
    return made.done()


def plain(sample: Sample, tokenizer: Tokenizer) -> list[Words | Media]:
    """The media of a sample and its first answer; what was asked is left out."""
    made = _Writing(tokenizer)
    made.media(sample.media)
    made.foreign(sample.turns[0].answer, is_learnt=True)
    made.mark("\n")
    return made.done()


class _Writing:
    """Collects pieces; words that follow each other become one stretch."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._parts: list[Words | Media] = []
        self._ids: list[int] = []
        self._labels: list[int] = []

    def mark(self, text: str) -> None:
        """Control tokens of our own, learnt."""
        self._add(self._tokenizer.control(text), is_learnt=True)

    def own(self, text: str) -> None:
        """Words of our own, not learnt."""
        self._add(self._tokenizer.control(text), is_learnt=False)

    def foreign(self, text: str, *, is_learnt: bool = False) -> None:
        """Words that may spell anything."""
        self._add(self._tokenizer.plain(text), is_learnt=is_learnt)

    def media(self, paths: Sequence[Path]) -> None:
        """Files at this place."""
        if paths:
            self._close()
            self._parts.append(Media(tuple(paths)))

    def pieces(self, pieces: Sequence[str | Path]) -> None:
        """A question with media in its midst."""
        for piece in pieces:
            if isinstance(piece, Path):
                self.media((piece,))
            else:
                self.foreign(piece)

    def done(self) -> list[Words | Media]:
        """All parts."""
        self._close()
        return self._parts

    def _add(self, ids: list[int], *, is_learnt: bool) -> None:
        self._ids += ids
        self._labels += ids if is_learnt else [IGNORED_LABEL] * len(ids)

    def _close(self) -> None:
        if self._ids:
            self._parts.append(Words(tuple(self._ids), tuple(self._labels)))
            self._ids, self._labels = [], []
