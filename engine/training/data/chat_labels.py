"""Samples as Video-XL reads them: words with their labels, and media where they stand.

    chat    system, then user and assistant in turn; answers and the marks of turns are learnt
    plain   media, then the bare caption with a line end; the caption is learnt

Source: upstream's templates "qwen_1_5" and "plain". Of a chat the opening mark, the closing mark
and the last line end of every turn are learnt, the system's included, and of words only the
assistant's. Labels are shifted once, over the whole sequence, where the loss is computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.models.layers.tokenizer import Tokenizer
from engine.training.data.labelled_ids import LabelledIds
from engine.training.data.samples import Sample

SYSTEM = "You are a helpful assistant."


@dataclass(frozen=True, slots=True)
class Words:
    """A stretch of text."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    """As `LabelledIds` has them."""


@dataclass(frozen=True, slots=True)
class Media:
    """Files that stand one behind the other, as one video."""

    paths: tuple[Path, ...]


def chat(sample: Sample, tokenizer: Tokenizer) -> list[Words | Media]:
    """Write a conversation; words and media alternate, words first and last."""
    writer = _Writer(tokenizer)
    writer.mark("<|im_start|>")
    writer.template(f"system\n{SYSTEM}")
    writer.mark("<|im_end|>\n")
    for number, turn in enumerate(sample.turns):
        writer.mark("<|im_start|>")
        writer.template("user\n")
        if sample.marked:
            writer.pieces(sample.marked[number])
        else:
            in_front = sample.media if number == 0 else ()
            writer.media(in_front)
            writer.text(f"\n{turn.question}" if in_front else turn.question)
        writer.mark("<|im_end|>\n<|im_start|>")
        writer.template("assistant\n")
        writer.text(turn.answer, is_learnt=True)
        writer.mark("<|im_end|>\n")
    return writer.parts()


def plain(sample: Sample, tokenizer: Tokenizer) -> list[Words | Media]:
    """Write the media of a sample and its first answer; the question is left out."""
    writer = _Writer(tokenizer)
    writer.media(sample.media)
    writer.text(sample.turns[0].answer, is_learnt=True)
    writer.mark("\n")
    return writer.parts()


class _Writer:
    """A collector of pieces; words that follow each other become one stretch."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._parts: list[Words | Media] = []
        self._words = LabelledIds()

    def mark(self, text: str) -> None:
        """Append control tokens of the template, learnt."""
        self._words.add_target(self._tokenizer.control(text))

    def template(self, text: str) -> None:
        """Append words of the template, not learnt."""
        self._words.add_context(self._tokenizer.control(text))

    def text(self, text: str, *, is_learnt: bool = False) -> None:
        """Append people's words, which may spell anything."""
        ids = self._tokenizer.plain(text)
        if is_learnt:
            self._words.add_target(ids)
        else:
            self._words.add_context(ids)

    def media(self, paths: Sequence[Path]) -> None:
        """Append files."""
        if paths:
            self._close()
            self._parts.append(Media(tuple(paths)))

    def pieces(self, pieces: Sequence[str | Path]) -> None:
        """Append a question with media in its midst."""
        for piece in pieces:
            if isinstance(piece, Path):
                self.media((piece,))
            else:
                self.text(piece)

    def parts(self) -> list[Words | Media]:
        """Return all parts."""
        self._close()
        return self._parts

    def _close(self) -> None:
        if self._words.ids:
            self._parts.append(Words(tuple(self._words.ids), tuple(self._words.labels)))
            self._words = LabelledIds()
