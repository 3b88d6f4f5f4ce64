"""A nano checkpoint trained further on fresh draws, with more of the questions that it mixes up.

Projector and decoder go on from the checkpoint's weights. The CLIP pair stays as it is, so search
finds the same moments and what was calibrated for the checkpoint still holds.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import CLIPModel

from engine.models.video_xl.net import load_net
from engine.training.loop import LoopConfig, Progress, run_stage
from engine.training.nano.curriculum import CONTEXTS
from engine.training.nano.decoder_stage import DecoderStage
from engine.training.nano.export import export, restore
from engine.training.nano.run import BANK, POLISH, BankPlan, bank_features, build_bank


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinePlan:
    """Everything that decides what a run ends with."""

    loop: LoopConfig
    bank: BankPlan
    kinds: Mapping[str, float]
    """Weight of each kind of question."""
    contexts: Mapping[int, tuple[int, int]] = field(default_factory=lambda: CONTEXTS)
    """Chunks recalled in a context, to contexts in a step and questions each."""
    n_chunks: int = 64
    """Chunks put together in a step."""
    seed: int = 0
    """Of the frame bank and the questions: another than that of the checkpoint's own training."""


def refine_nano(
    checkpoint: Path, plan: RefinePlan, output: Path, *, resume: bool
) -> Iterator[Progress]:
    """Train a checkpoint further; the last line names the model's folder.

    Args:
        checkpoint: As `run_nano` exports it.
        plan: Must be that of the interrupted run when resuming.
        output: Gets `bank/`, `polish/`, `model/`.
        resume: Go on from the last checkpoint of the run; a frame bank is kept in any case.
    Raises:
        WeightsError: The checkpoint does not fit.
    """
    output.mkdir(parents=True, exist_ok=True)
    yield Progress(stage="bank", step=0, n_steps=1, note="drawing frames")
    train = build_bank(output / BANK / "train", plan.bank, plan.seed, held_out=False)
    test = build_bank(output / BANK / "test", plan.bank, plan.seed, held_out=True)
    yield Progress(stage="features", step=0, n_steps=1, note="running the tower over the bank")
    clip = CLIPModel.from_pretrained(checkpoint / "clip", attn_implementation="eager").float()
    net = load_net(checkpoint, torch.device("cpu"), torch.float32)
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    stage = DecoderStage(
        net.config.decoder,
        bank_features(clip, train, output / BANK / "train_features.safetensors"),
        bank_features(clip, test, output / BANK / "test_features.safetensors"),
        tokenizer,
        n_chunks=plan.n_chunks,
        seed=plan.seed,
    )
    restore(stage.module, net)
    stage.contexts, stage.has_summary = plan.contexts, False
    stage.polish(plan.kinds)
    yield from run_stage(stage, plan.loop, output / POLISH, resume=resume)
    model = output / "model"
    export(clip, stage.module, tokenizer, model, variant=checkpoint.resolve().name)
    yield Progress(stage="export", step=1, n_steps=1, note=str(model))
