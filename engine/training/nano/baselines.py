"""Variants of nano that keep other things than VSTs, trained on the same data, steps and questions.

All variants share the frozen vision tower, the projector's and decoder's shape and first weights,
the draws of every step, and the summary supervision (on the rows that each keeps).

Decision: every variant has its summary supervision. *Because* without it a small model does not
start to learn (feasibility study), and to give it to VSTs alone would decide the comparison.

Decision: uniform sampling is trained as a variant of its own, and never on less than one frame a
chunk. *Because* weights that always saw all frames would meet an unknown kind of video.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from safetensors.torch import save_file
from tokenizers import Tokenizer

from engine.files import atomic_write
from engine.training.loop import LoopConfig, Progress, run_stage
from engine.training.nano.chunks import Facts
from engine.training.nano.curriculum import CONTEXTS, RecallSpec
from engine.training.nano.decoder_stage import DecoderStage, Features
from engine.training.nano.keep_strategies import KEEP_STRATEGIES
from engine.training.nano.run import NanoPlan, decoder_config, open_features

WEIGHTS: Final = "reader.safetensors"

VARIANT_KINDS: Final[Mapping[str, float]] = MappingProxyType(
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
"""The kinds that are measured, and no others: variants get fewer steps than nano."""
VARIANT_CONTEXTS: Final[Mapping[int, tuple[int, int]]] = MappingProxyType(
    {recalled: (n // 2, n_questions) for recalled, (n, n_questions) in CONTEXTS.items()}
)
"""Half of nano's, and more steps for it."""


class VariantStage(DecoderStage):
    """The decoder stage over another keep strategy."""

    kinds = VARIANT_KINDS
    contexts = VARIANT_CONTEXTS

    def __init__(
        self,
        variant: str,
        plan: NanoPlan,
        features: Features,
        held_out: Features,
        tokenizer: Tokenizer,
    ) -> None:
        super().__init__(
            decoder_config(plan.decoder, tokenizer),
            without_stories(features),
            without_stories(held_out),
            tokenizer,
            n_chunks=plan.decoder.n_chunks,
            seed=plan.seed,
        )
        self.name, self.strategy = variant, KEEP_STRATEGIES[variant]

    def scores(self) -> Mapping[str, float]:
        """Return a glance at every checkpoint; the end is measured apart, over whole videos."""
        counts = self.measure(RecallSpec(n_chunks=4, ratio=8), n_rounds=1)
        return {f"{kind}@4": right / n for kind, (right, n) in counts.items()}


def without_stories(features: Features) -> Features:
    """Leave out stories: nano learns to count from them, which is no part of the comparison."""
    facts = features.facts
    plain = Facts(clips=facts.clips, events=facts.events, cards=facts.cards, n_real=facts.n_real)
    return Features(clips=features.clips, cards=features.cards, facts=plain)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselinePlan:
    """Everything that all variants have in common."""

    nano: NanoPlan
    """Sizes and seed; the stages' lengths in it are not used."""
    loop: LoopConfig
    variants: tuple[str, ...] = field(default=tuple(KEEP_STRATEGIES))


def run_baselines(
    plan: BaselinePlan, nano: Path, output: Path, *, resume: bool
) -> Iterator[Progress]:
    """Train variant after variant over the features of a finished vision tower.

    Args:
        plan: Must be that of the interrupted run when resuming.
        nano: Folder of a `longwatch train nano`; only read.
        output: Gets a folder for each variant.
        resume: Go on where it stopped; finished variants are not touched.
    Raises:
        NotFoundError: `nano` has no features yet.
    """
    features, held_out = open_features(nano, "train"), open_features(nano, "test")
    tokenizer = Tokenizer.from_file(str(nano / "vocabulary.json"))
    for variant in () if resume else plan.variants:
        # What an earlier run left would be taken for this one's once it is resumed.
        (output / variant / WEIGHTS).unlink(missing_ok=True)
    for variant in plan.variants:
        if (output / variant / WEIGHTS).is_file():
            continue
        stage = VariantStage(variant, plan.nano, features, held_out, tokenizer)
        yield from run_stage(stage, plan.loop, output / variant, resume=resume)
        with atomic_write(output / variant / WEIGHTS, single_writer=True) as temporary:
            save_file(stage.module.state_dict(), temporary)
