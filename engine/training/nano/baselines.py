"""Other memories than VSTs, trained beside them: the same data, steps, questions and first weights.

All arms share the frozen tower, the projector's and decoder's shape and seed, the draws of every
step, and the summary supervision (on the rows that each keeps).

Decision: every arm has its summary supervision. *Because* without it a small model does not start
to learn (feasibility study), and to give it to VSTs alone would decide the comparison.

Decision: uniform sampling is trained as an arm of its own, and never on less than one frame a
chunk. *Because* weights that always saw all frames would meet an unknown kind of video.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from engine.errors import NotFoundError
from engine.files import atomic_write
from engine.training.loop import LoopConfig, Progress, run_stage
from engine.training.nano.batched_fold import Folded, Layers, run_prefix
from engine.training.nano.chunks import Chunk, Facts
from engine.training.nano.decoder_stage import (
    PREFIX,
    QUESTIONS,
    Features,
    ReaderStage,
    Recall,
    gather,
)
from engine.training.nano.memories import MEMORIES, Labels, Videos
from engine.training.nano.questions import QaPair
from engine.training.nano.run import NanoPlan, decoder_config, open_seen

WEIGHTS: Final = "reader.safetensors"
PAST_CHUNKS: Final = 8
"""How far a chunk looks back when an arm is measured; the product's default."""

KINDS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "colour": 1.0,
        "shape": 1.0,
        "code": 2.0,
        "exist": 1.0,
        "direction": 1.0,
        "where": 0.6,
        "first": 1.2,
        "count": 1.0,
    }
)
"""The kinds that are measured, and no others: the arms get fewer steps than nano."""
READERS: Final[Mapping[int, tuple[int, int]]] = MappingProxyType(
    {recalled: (readers // 2, each) for recalled, (readers, each) in QUESTIONS.items()}
)
"""Half of nano's, and more steps for it."""


class ArmStage(ReaderStage):
    """The reader's stage over another memory."""

    kinds = KINDS
    readers = READERS

    def __init__(
        self, arm: str, plan: NanoPlan, seen: Features, held_out: Features, tokenizer: Tokenizer
    ) -> None:
        config = decoder_config(plan, tokenizer)
        seen, held_out = _without_reels(seen), _without_reels(held_out)
        super().__init__(config, seen, held_out, tokenizer, n_chunks=plan.n_chunks, seed=plan.seed)
        self.name, self.memory, self.held_out = arm, MEMORIES[arm], held_out

    def scores(self) -> Mapping[str, float]:
        """A glance at every checkpoint; `baseline_probe` measures the end."""
        hits = self.measure(Recall(n_chunks=4, ratio=8), n_rounds=1)
        return {f"{kind}@4": right / n for kind, (right, n) in hits.items()}

    def ask(
        self,
        rng: np.random.Generator,
        videos: Sequence[Sequence[Chunk]],
        quizzes: Sequence[Sequence[QaPair]],
        ratio: int,
    ) -> list[list[bool]]:
        """Whether each question about each whole video is answered to the letter.

        Args:
            rng: Picks a take of each card.
            videos: Of equally many held-out chunks, in time order.
            quizzes: Questions about each video; they do not see each other.
            ratio: Visual tokens a row that is kept.
        """
        shown = [video[self.memory.part(ratio)] for video in videos]
        n = len(shown[0])
        chunks = [chunk for video in shown for chunk in video]
        decoder = self.module.decoder
        sink = run_prefix(decoder, decoder.embed(torch.tensor(self._encode(PREFIX))))
        tokens = self.module.project(gather(self._held_out, chunks, rng).float())
        grouped = tokens.view(len(videos), n, *tokens.shape[1:])
        folded = self._keep(grouped, sink, ratio, PAST_CHUNKS)
        picked = np.arange(len(chunks)).reshape(len(videos), n)
        rows, labels = self._read(folded, sink, picked, n, quizzes)
        return self._fine(rows, labels, quizzes)

    def _keep(self, videos: Videos, sink: Layers, ratio: int, past: int) -> Folded:
        return self.memory.keep(self.module.decoder, videos, sink, ratio, past)

    def _labels(self, chunks: Sequence[Chunk], facts: Facts, ratio: int) -> Labels:
        return self.memory.labels(chunks, facts, ratio)


def _without_reels(seen: Features) -> Features:
    """Events across the borders of chunks teach nano to count; they are no part of this."""
    facts = seen.facts
    plain = Facts(clips=facts.clips, events=facts.events, cards=facts.cards, n_real=facts.n_real)
    return Features(clips=seen.clips, cards=seen.cards, facts=plain)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselinePlan:
    """What all arms have in common."""

    nano: NanoPlan
    """Sizes and seed; the stages' lengths in it are not used."""
    loop: LoopConfig
    arms: tuple[str, ...] = field(default=tuple(MEMORIES))


def run_baselines(
    plan: BaselinePlan, nano: Path, output: Path, *, resume: bool
) -> Iterator[Progress]:
    """Train arm after arm over the features of a finished tower.

    Args:
        plan: Must be that of the interrupted run when resuming.
        nano: Folder of a `longwatch train nano`; only read.
        output: Gets a folder for each arm.
        resume: Go on where it stopped; finished arms are not touched.
    Raises:
        NotFoundError: `nano` has no features yet.
    """
    seen, held_out = open_seen(nano, "train"), open_seen(nano, "test")
    tokenizer = Tokenizer.from_file(str(nano / "vocabulary.json"))
    for arm in () if resume else plan.arms:
        # What an earlier run left would be taken for this one's once it is resumed.
        (output / arm / WEIGHTS).unlink(missing_ok=True)
    for arm in plan.arms:
        if (output / arm / WEIGHTS).is_file():
            continue
        stage = ArmStage(arm, plan.nano, seen, held_out, tokenizer)
        yield from run_stage(stage, plan.loop, output / arm, resume=resume)
        with atomic_write(output / arm / WEIGHTS, single_writer=True) as temporary:
            save_file(stage.module.state_dict(), temporary)


def open_arm(arm: str, plan: BaselinePlan, nano: Path, output: Path) -> ArmStage:
    """A trained arm over the held-out bank.

    Raises:
        NotFoundError: It has not been trained to its end.
    """
    weights = output / arm / WEIGHTS
    if not weights.is_file():
        raise NotFoundError(
            f"{output} holds no trained arm {arm!r}",
            hint="resume the recipe nano_baselines and let it finish",
        )
    held_out = open_seen(nano, "test")
    tokenizer = Tokenizer.from_file(str(nano / "vocabulary.json"))
    stage = ArmStage(arm, plan.nano, held_out, held_out, tokenizer)
    stage.module.load_state_dict(load_file(weights))
    stage.module.eval()
    return stage
