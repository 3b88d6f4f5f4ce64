"""VICO, visual clue order: questions about the order in which a long video shows things.

    video -> clips of 14 s -> captions -> clues -> questions -> LLaVA-style lines
             (data.clips, data.captions)   (clues)  (templates)

From the paper: the name, clips of 14 seconds, a caption for each, and that the model has to bring
the clues of a long video into order, so that it must find all of them in it. Its pipeline,
wordings and filters are not public; all else is this project's: which captions count as clues
(`clues`), the seven kinds of question and their words (`templates`), options drawn from the
same video, the even spread of right letters, and the clues' spans beside each line.

Decision: letters are drawn over the whole file and not for each video. Because they are then even
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
from engine.training.vico.templates import KINDS, OrderQuestion, QuestionKind, ask

FEWEST_CLUES: Final = 2
"""Clues that a video needs: below that there is no order."""

_TRIES = 30
"""Draws before a kind counts as used up; few clues allow few questions."""


class BalancedPositions:
    """Random positions of the right option, all equally often."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng([seed, 14])
        self._left: dict[int, list[int]] = {}

    def draw(self, n_options: int) -> int:
        """Draw a position; each of `n_options` once before any comes again."""
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
    question: OrderQuestion

    def dump(self) -> str:
        """Return the line as JSON: `training.data.samples` reads it; `vico` is for checking."""
        question = self.question
        conversations = [
            {"from": "human", "value": f"<video>\n{question.text}"},
            {"from": "gpt", "value": question.answer},
        ]
        clues: list[dict[str, Any]] = [
            {
                "mark": mark,
                "text": clue.text,
                "start_s": clue.span.start_s,
                "end_s": clue.span.end_s,
            }
            for mark, clue in question.clues
        ]
        line = {
            "id": f"{self.video}#{self.number}",
            "video": self.video,
            "conversations": conversations,
            "vico": {"kind": question.kind, "n_options": question.n_options, "clues": clues},
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
    positions = BalancedPositions(seed)
    for video in sorted(clues):
        digest = int.from_bytes(hashlib.sha256(video.encode()).digest()[:8], "big")
        random = np.random.default_rng([seed, digest])
        drawn = _draw(clues[video], questions_per_video, random, positions)
        for number, question in enumerate(drawn, start=1):
            yield VicoLine(video=video, number=number, question=question)


def _draw(
    clues: Sequence[Clue],
    n_questions: int,
    random: np.random.Generator,
    positions: BalancedPositions,
) -> Iterator[OrderQuestion]:
    """Draw questions of all kinds in turn, none about the same clues in the same way twice."""
    kinds = [KINDS[idx] for idx in random.permutation(len(KINDS))]
    used: set[tuple[QuestionKind, tuple[int, ...]]] = set()
    while kinds and n_questions:
        for kind in tuple(kinds):
            picked = _pick(kind, len(clues), random, used)
            if picked is None:
                kinds.remove(kind)
                continue
            used.add((kind, picked))
            yield ask(kind, [clues[idx] for idx in picked], random, positions.draw)
            n_questions -= 1
            if not n_questions:
                return


def _pick(
    kind: QuestionKind,
    n_clues: int,
    random: np.random.Generator,
    used: set[tuple[QuestionKind, tuple[int, ...]]],
) -> tuple[int, ...] | None:
    """Pick the indices of the clues to ask about, in time order; `None` where none are left."""
    fewest, most = _SIZES[kind]
    if n_clues < fewest:
        return None
    for _ in range(_TRIES):
        size = int(random.integers(fewest, min(most, n_clues) + 1))
        picked = tuple(sorted(random.choice(n_clues, size=size, replace=False).tolist()))
        if (kind, picked) not in used:
            return picked
    return None


_SIZES: Final[Mapping[QuestionKind, tuple[int, int]]] = {
    "order": (3, 4),
    "write_order": (3, 4),
    "before": (4, 5),
    "after": (4, 5),
    "which_first": (2, 2),
    "first": (3, 4),
    "last": (3, 4),
}
"""Fewest and most clues of a question; one of those of `before` and `after` is no option."""
