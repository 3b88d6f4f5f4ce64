"""VICO, visual clue order: questions about the order in which a long video shows things.

    video -> clips of 14 s -> captions -> clues -> questions -> LLaVA-style lines
             (clips, caption_files)      (clues)  (vico_wording)

From the paper: the name, clips of 14 seconds, a caption for each, and that the model has to bring
the clues of a long video into order, so that it must find each in the whole of it. Its pipeline,
wordings and filters are not public; all else is ours: which captions count as clues
(`clues`), the seven kinds of question and their words (`vico_wording`), options drawn from the
same video, the even spread of right letters, and the clues' spans beside each line.

Decision: letters are dealt over the whole file and not for each video. Because they are then even
to within one question, however few questions a video has; the price is that another video changes
letters of those behind it.

Source: arXiv:2409.14485, section on training data.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engine.training.vico.clues import Clue
from engine.training.vico.templates import KINDS, Kind, Question, ask

FEWEST_CLUES: Final = 2
"""Of a video: below that there is no order."""

_TRIES = 30
"""Draws before a kind counts as used up; few clues allow few questions."""


class Deck:
    """Deals the place of the right option, so that each place comes up equally often."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng([seed, 14])
        self._left: dict[int, list[int]] = {}

    def deal(self, n_options: int) -> int:
        """The right option's place; each of `n_options` once before any comes again."""
        left = self._left.setdefault(n_options, [])
        if not left:
            left += self._random.permutation(n_options).tolist()
        return left.pop()


@dataclass(frozen=True, slots=True, kw_only=True)
class VicoLine:
    """One question about one video."""

    video: str
    """Relative to the folder of the media."""
    number: int
    """From 1, within the video."""
    question: Question

    def dump(self) -> str:
        """The line as JSON: `engine/training/data/samples.py` reads it; `vico` is for checking."""
        asked = self.question
        conversations = [
            {"from": "human", "value": f"<video>\n{asked.text}"},
            {"from": "gpt", "value": asked.answer},
        ]
        clues: list[dict[str, Any]] = [
            {
                "mark": mark,
                "text": clue.text,
                "start_s": clue.span.start_s,
                "end_s": clue.span.end_s,
            }
            for mark, clue in asked.clues
        ]
        line = {
            "id": f"{self.video}#{self.number}",
            "video": self.video,
            "conversations": conversations,
            "vico": {"kind": asked.kind, "n_options": asked.n_options, "clues": clues},
        }
        return json.dumps(line) + "\n"


def build(
    clues: Mapping[str, Sequence[Clue]], *, questions_per_video: int, seed: int = 0
) -> Iterator[VicoLine]:
    """Make questions, video by video in the order of their names.

    Args:
        clues: The clues of each video, in time order; names are relative to the media folder.
        questions_per_video: Most of them; few clues allow fewer.
        seed: The same clues and seed give the same lines.
    """
    deck = Deck(seed)
    for video in sorted(clues):
        digest = int.from_bytes(hashlib.sha256(video.encode()).digest()[:8], "big")
        random = np.random.default_rng([seed, digest])
        drawn = _draw(clues[video], questions_per_video, random, deck)
        for number, question in enumerate(drawn, start=1):
            yield VicoLine(video=video, number=number, question=question)


def _draw(
    clues: Sequence[Clue], n_questions: int, random: np.random.Generator, deck: Deck
) -> Iterator[Question]:
    """Questions of all kinds in turn, none about the same clues in the same way twice."""
    kinds = [KINDS[place] for place in random.permutation(len(KINDS))]
    asked: set[tuple[Kind, tuple[int, ...]]] = set()
    while kinds and n_questions:
        for kind in tuple(kinds):
            picked = _pick(kind, len(clues), random, asked)
            if picked is None:
                kinds.remove(kind)
                continue
            asked.add((kind, picked))
            yield ask(kind, [clues[place] for place in picked], random, deck.deal)
            n_questions -= 1
            if not n_questions:
                return


def _pick(
    kind: Kind,
    n_clues: int,
    random: np.random.Generator,
    asked: set[tuple[Kind, tuple[int, ...]]],
) -> tuple[int, ...] | None:
    """Places of the clues to ask about, in time order; `None` where none are left."""
    fewest, most = _SIZES[kind]
    if n_clues < fewest:
        return None
    for _ in range(_TRIES):
        size = int(random.integers(fewest, min(most, n_clues) + 1))
        picked = tuple(sorted(random.choice(n_clues, size=size, replace=False).tolist()))
        if (kind, picked) not in asked:
            return picked
    return None


_SIZES: Final[Mapping[Kind, tuple[int, int]]] = {
    "order": (3, 4),
    "write_order": (3, 4),
    "before": (4, 5),
    "after": (4, 5),
    "which_first": (2, 2),
    "first": (3, 4),
    "last": (3, 4),
}
"""Fewest and most clues of a question; one of those of `before` and `after` is no option."""
