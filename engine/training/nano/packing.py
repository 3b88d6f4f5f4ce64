"""Questions and answers of several contexts as padded rows of tokens, and back to right or wrong.

The questions of one context stand in one row, one behind the other. They do not see each other:
each starts at offset 0 right behind the recalled chunks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import torch
from jaxtyping import Bool, Int64
from tokenizers import Tokenizer
from torch import Tensor

from engine.models.layers.splice import IGNORED_LABEL
from engine.training.nano.questions import QaPair
from engine.training.nano.vocabulary import id_of

PREFIX: Final = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
_MAX_CACHED_TEXTS: Final = 300_000
"""Bounds the memory of a long run; drawn questions and answers repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedQuestions:
    """One padded row a context."""

    ids: Int64[Tensor, "context token"]
    """0 where padded."""
    question: Int64[Tensor, "context token"]
    """Number of the question that a token belongs to, -1 where padded."""
    offset: Int64[Tensor, "context token"]
    """Position of a token in its question, from 0."""
    labels: Int64[Tensor, "context token"]
    """The token of the answer that comes next; `IGNORED_LABEL` elsewhere."""

    def are_right(self, tokens: Int64[Tensor, "context token"]) -> list[list[bool]]:
        """Say of each question of each context whether every token of its answer is right."""
        is_right: Bool[Tensor, "context token"] = tokens == self.labels
        is_right |= self.labels == IGNORED_LABEL
        return [
            [bool(row[number == idx].all()) for idx in range(int(number.max()) + 1)]
            for row, number in zip(is_right, self.question, strict=True)
        ]


@dataclass(slots=True)
class QuestionPacker:
    """The tokenizer of a run, with what it has encoded so far."""

    tokenizer: Tokenizer
    _cached: dict[str, list[int]] = field(init=False, default_factory=dict)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        ids = self._cached.get(text)
        if ids is None:
            ids = self.tokenizer.encode(text).ids
            if len(self._cached) < _MAX_CACHED_TEXTS:
                self._cached[text] = ids
        return ids

    def pack(self, contexts: Sequence[Sequence[QaPair]]) -> PackedQuestions:
        """Write the questions of each context into one row; each context needs at least one."""
        rows = [self._row(pairs) for pairs in contexts]
        longest = max(len(ids) for ids, *_ in rows)
        ids, question, offset, labels = (
            torch.tensor([row[part] + [pad] * (longest - len(row[part])) for row in rows])
            for part, pad in enumerate((0, -1, 0, IGNORED_LABEL))
        )
        return PackedQuestions(ids=ids, question=question, offset=offset, labels=labels)

    def _row(self, pairs: Sequence[QaPair]) -> tuple[list[int], list[int], list[int], list[int]]:
        ids: list[int] = []
        question: list[int] = []
        offset: list[int] = []
        labels: list[int] = []
        end = id_of(self.tokenizer, "<|im_end|>")
        for number, pair in enumerate(pairs):
            prompt = self.encode(f"\n{pair.text}<|im_end|>\n<|im_start|>assistant\n")
            answer = [*self.encode(pair.answer), end]
            turn = prompt + answer[:-1]
            ids += turn
            question += [number] * len(turn)
            offset += range(len(turn))
            labels += [IGNORED_LABEL] * (len(prompt) - 1) + answer
        return ids, question, offset, labels
