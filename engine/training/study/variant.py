"""One variant of a study: nano's decoder stage with the variant's choices, and its score."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from engine.models.layers.splice import IGNORED_LABEL
from engine.training.loop import LoopConfig
from engine.training.nano.baselines import VARIANT_CONTEXTS, without_stories
from engine.training.nano.chunks import draw_chunk
from engine.training.nano.curriculum import RecallSpec, pick_recalled
from engine.training.nano.decoder_stage import DecoderStage, Features
from engine.training.nano.keep_strategies import KeepVsts
from engine.training.nano.questions import QuestionSampler
from engine.training.nano.run import DecoderPlan, decoder_config
from engine.training.study.plan import MeasureSpec, StudyPlan, StudyVariant, ratio_of

_ROUND_CONTEXTS = 16
"""Contexts measured in one pass."""
_CHUNKS_PER_VIDEO = 8
_PAST_CHUNKS = 8
"""How far a chunk looks back; the product's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextScore:
    """The questions about one held-out context."""

    n: int
    right: int
    """Answered to the letter."""
    tokens: int
    """Of all right answers."""
    loss: float
    """Summed over these tokens, in nats."""


class StudyStage(DecoderStage):
    """The decoder stage of one variant; stories are left out, as in `baselines`."""

    contexts = VARIANT_CONTEXTS

    def __init__(
        self,
        variant: StudyVariant,
        plan: StudyPlan,
        features: Features,
        held_out: Features,
        tokenizer: Tokenizer,
    ) -> None:
        size = plan.sizes[variant.size]
        # A plan of nano's decoder needs a loop, of which nothing is used here.
        loop = LoopConfig(n_steps=1, learning_rate=plan.training.learning_rate)
        super().__init__(
            decoder_config(DecoderPlan(loop=loop, **asdict(size)), tokenizer),
            without_stories(features),
            without_stories(held_out),
            tokenizer,
            n_chunks=plan.training.chunks,
            seed=variant.seed,
        )
        self.name = variant.name
        self.kinds = plan.mixtures[str(variant.choices["mixture"])]
        self.ratio = ratio_of(variant.choices["tokens_a_frame"])
        self.strategy = KeepVsts(int(variant.choices["frame_every_s"]))
        self._measured = plan.measure
        self._plan_seed = plan.seed

    def learn(self, what: Literal["all", "projector"]) -> None:
        """Let everything learn from now on, or the projector and the head that names its frames."""
        for name, parameter in self.module.named_parameters():
            is_projector = name.startswith(("inner.", "outer.", "early."))
            parameter.requires_grad = what == "all" or is_projector

    def scores(self) -> Mapping[str, float]:
        """Return a glance at every checkpoint; the end is measured apart."""
        few = replace(self._measured, contexts=_ROUND_CONTEXTS)
        return summarise(self.score_contexts(few))

    @torch.no_grad()
    def score_contexts(self, measured: MeasureSpec) -> tuple[ContextScore, ...]:
        """Answer the held-out contexts: the same chunks and questions for every variant."""
        scores: list[ContextScore] = []
        for n_chunks in measured.recalled_chunks:
            for number in range(-(-measured.contexts // _ROUND_CONTEXTS)):
                # Neither the variant's seed nor its ratio: all variants answer the same.
                rng = np.random.default_rng([self._plan_seed, 35, n_chunks, number])
                scores += self._score_round(rng, n_chunks, measured)
        return tuple(scores)

    def _score_round(
        self, rng: np.random.Generator, n_chunks: int, measured: MeasureSpec
    ) -> list[ContextScore]:
        facts = self.held_out.facts
        chunks = [
            draw_chunk(rng, facts, real=0.3, cards=0.8)
            for _ in range(_ROUND_CONTEXTS * _CHUNKS_PER_VIDEO)
        ]
        assert self.ratio is not None
        recall = RecallSpec(n_chunks=n_chunks, ratio=self.ratio)
        picked = pick_recalled(rng, len(chunks), _ROUND_CONTEXTS, recall)
        contexts = []
        for row in picked:
            sampler = QuestionSampler(rng, [chunks[idx] for idx in row], held_out=True)
            contexts.append(list(sampler.ask(measured.questions, measured.kinds)))
        tokens = self._visual_tokens(self.held_out, chunks, rng)
        compressed, sink = self._compress(tokens, _CHUNKS_PER_VIDEO, self.ratio, _PAST_CHUNKS)
        rows, packed = self._run_questions(compressed, sink, picked, _CHUNKS_PER_VIDEO, contexts)
        logits = self.module.decoder.logits(rows).float()
        right = packed.are_right(logits.argmax(-1))
        # context token vocabulary -> (context token) vocabulary, one loss a token
        losses = F.cross_entropy(
            logits.flatten(0, 1),
            packed.labels.flatten(),
            ignore_index=IGNORED_LABEL,
            reduction="none",
        ).view(packed.labels.shape)
        counted = packed.labels != IGNORED_LABEL
        return [
            ContextScore(
                n=len(flags),
                right=sum(flags),
                tokens=int(counted[idx].sum()),
                loss=float(losses[idx].sum()),
            )
            for idx, flags in enumerate(right)
        ]


def summarise(scores: tuple[ContextScore, ...]) -> dict[str, float]:
    """Return the share of right answers, and the mean likelihood of an answer's token."""
    loss = sum(score.loss for score in scores) / sum(score.tokens for score in scores)
    return {
        "right": sum(score.right for score in scores) / sum(score.n for score in scores),
        "likelihood": float(np.exp(-loss)),
    }


def settings_of(variant: StudyVariant, plan: StudyPlan) -> dict[str, Any]:
    """Return all that a variant's record depends on, as JSON holds it."""
    choices = variant.choices
    return {
        "size": asdict(plan.sizes[variant.size]),
        "seed": variant.seed,
        "choices": dict(choices),
        "encoder": asdict(plan.encoders[str(choices["encoder"])]),
        "mixture": dict(plan.mixtures[str(choices["mixture"])]),
        "stages": [asdict(schedule) for schedule in plan.stages[str(choices["stages"])]],
        "plan_seed": plan.seed,
        "bank": asdict(plan.bank),
        "training": asdict(plan.training),
        "measure": {**asdict(plan.measure), "recalled_chunks": list(plan.measure.recalled_chunks)},
    }
