"""The trainer of every family: one stage over people's own samples, ending in a checkpoint.

A recipe reads its settings, opens a model as a `TrainableModel`, and hands both to `tune`. Media
and text are read on the host; pixels go to the device with `tower_features` and the model's own
preparation, text with `batch_loss`.

Decision: on an accelerator, what does not learn is held in bfloat16 where products are in it, and
exported as it was read, because a frozen 7B then takes 14 GB instead of 28.

Decision: with `gradient_checkpointing` the decoder's layers alone are computed again, because they
hold nearly all activations of the stages that papers run longest: 36 layers over 16,384 tokens.
Revisit when a stage whose towers learn is to be trained on a card.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from engine.device import pick_device
from engine.models.layers.decoder import Decoder
from engine.models.layers.splice import splice_batch
from engine.models.layers.towers import Tower
from engine.training.checkpoint import load_learnt
from engine.training.data.samples import BadSample, Sample
from engine.training.distributed import current
from engine.training.finetune.causal_loss import LabelledSequence, causal_loss
from engine.training.finetune.export import copy_other_files, export_note
from engine.training.finetune.mixture import (
    WeightedSamples,
    draw_kinds,
    group_by_kind,
    kind_of,
    mixture_for,
)
from engine.training.finetune.precision import holds_bf16, round_frozen, uses_bf16
from engine.training.finetune.settings import TuningConfig, read_split, recomputes_layers
from engine.training.finetune.stage_config import Kind, StageConfig, select_parts
from engine.training.loop import LoopConfig, Progress, autocast, run_stage
from engine.training.sharding import CPU, ShardedWeights, open_to_shard


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainableModel:
    """A model in training: its weights, and how a sample becomes sequences."""

    root: nn.Module
    """Holds the parts that stages name."""
    decoder: Decoder
    max_tokens: int
    label: Callable[[Sample], Sequence[LabelledSequence]]
    """Returns one or more sequences to learn of a sample."""
    save: Callable[[Path], None]
    """Writes the checkpoint into a folder that exists."""
    kind: Callable[[Sample], Kind] = kind_of


def tune(
    open_model: Callable[[torch.device], TrainableModel],
    stage: StageConfig,
    config: TuningConfig,
    output: Path,
    *,
    resume: bool,
) -> Iterator[Progress]:
    """Run one stage over people's samples and write the checkpoint to `output/model`.

    Args:
        open_model: Loads the model of the settings onto a device, in float32.
        stage: What learns, and from what.
        config: The settings.
        output: The folder of the run.
        resume: Go on from the checkpoint there.
    """
    read, held_out = read_split(config)
    yield from report_bad(read.bad)
    device, is_sharding = pick_device(config.device), current().is_sharding
    is_bf16 = uses_bf16(config, device)
    model = open_to_shard(open_model) if is_sharding else open_model(CPU)
    by_kind = group_by_kind(read.samples, model.kind)
    mixture = mixture_for(stage, by_kind, config.data_files)
    if mixture.keys() != stage.mixture.keys():
        shares = ", ".join(f"{kind} {share:.1%}" for kind, share in mixture.items())
        yield Progress(stage="data", step=0, n_steps=0, note=f"kinds are missing; drawn: {shares}")
    module, lr_shares = select_parts(model.root, stage)
    if holds_bf16(device, is_bf16=is_bf16):
        round_frozen(model.root)
    if not is_sharding:
        # Once it is small: the whole may not fit there.
        model.root.to(device)
    yield from run_stage(
        SampleTask(model, stage, module, by_kind, mixture, held_out, config, is_bf16=is_bf16),
        loop_config(stage, config, use_bf16=is_bf16),
        output,
        resume=resume,
        lr_shares=lr_shares,
        betas=stage.betas,
        weights=ShardedWeights(model.root, model.decoder.stack(), device) if is_sharding else None,
    )
    if is_sharding or device != CPU:
        # The parts of this process are no model, and what is frozen was rounded on a card; the
        # checkpoint has all that was learnt.
        model = open_model(CPU)
        load_learnt(output, select_parts(model.root, stage)[0])
    folder = output / "model"
    folder.mkdir(exist_ok=True)
    model.save(folder)
    copy_other_files(config.model, folder)
    yield Progress(stage="export", step=1, n_steps=1, note=export_note(folder, read.bad))


def loop_config(
    stage: StageConfig,
    config: TuningConfig,
    *,
    save_every: int = 100,
    seed: int = 0,
    use_bf16: bool = False,
    accumulate: int = 1,
) -> LoopConfig:
    """Return the loop of a stage under the settings of a run."""
    return LoopConfig(
        n_steps=config.steps,
        learning_rate=config.learning_rate or stage.learning_rate,
        warmup_steps=max(1, round(config.steps * stage.warmup_share)),
        final_share=stage.final_share,
        weight_decay=stage.weight_decay,
        clip_norm=stage.max_gradient_norm,
        log_every=10,
        save_every=save_every,
        seed=seed,
        use_bf16=use_bf16,
        accumulate=accumulate,
    )


def report_bad(bad: Sequence[BadSample]) -> Iterator[Progress]:
    """Yield a line of progress for each sample that is skipped."""
    for sample in bad:
        note = f"{sample.location}: {sample.reason}; skipped"
        yield Progress(stage="data", step=0, n_steps=0, note=note, skipped=1)


class SampleTask:
    """A stage over samples, for `loop.run_stage`."""

    def __init__(
        self,
        model: TrainableModel,
        stage: StageConfig,
        module: nn.Module,
        by_kind: Mapping[Kind, Sequence[Sample]],
        mixture: Mapping[Kind, float],
        held_out: Sequence[Sample],
        config: TuningConfig,
        *,
        is_bf16: bool = False,
    ) -> None:
        self.name, self.module = stage.name, module
        self._model, self._mixture = model, mixture
        self._by_kind = {kind: WeightedSamples(samples) for kind, samples in by_kind.items()}
        self._held_out, self._config, self._is_bf16 = held_out, config, is_bf16
        self._recomputes = recomputes_layers(stage, config)

    def loss(self, step: int, n_steps: int) -> Tensor:
        """Return the mean over the labelled tokens of a few samples."""
        kinds = draw_kinds(self._mixture, self._config.samples_per_step, seed=(35, step))
        random = np.random.default_rng([36, step])
        batch = []
        for kind in kinds:
            sequences = self._model.label(self._by_kind[kind].draw(random))
            batch.append(sequences[int(random.integers(len(sequences)))])
        return batch_loss(self._model, batch, gradient_checkpointing=self._recomputes)

    def scores(self) -> Mapping[str, float]:
        """Return the loss on what is held out; nothing where nothing is."""
        if not self._held_out:
            return {}
        return {"held_out_loss": mean_loss(self._model, self._held_out, use_bf16=self._is_bf16)}


def batch_loss(
    model: TrainableModel,
    batch: Sequence[LabelledSequence],
    *,
    gradient_checkpointing: bool = False,
) -> Tensor:
    """Return the next-token loss of some sequences in one pass.

    Args:
        model: On any device.
        batch: Ids and labels on the host; they go to the model's device here.
        gradient_checkpointing: Compute layers again in the backward pass.
    """
    pairs = [(sequence.ids, sequence.visual) for sequence in batch]
    labels = [sequence.labels for sequence in batch]

    def embed(ids: Tensor) -> Tensor:
        # Rows are in float32 from here on, whatever the products and a frozen table are in.
        rows: Tensor = model.decoder.embed(ids).float()
        return rows

    spliced = splice_batch(embed, pairs, labels, max_tokens=model.max_tokens)
    return causal_loss(model.decoder, spliced, gradient_checkpointing=gradient_checkpointing)


@torch.no_grad()
def mean_loss(model: TrainableModel, samples: Sequence[Sample], *, use_bf16: bool = False) -> float:
    """Return the mean of samples' losses, each over all its turns."""
    losses = []
    for sample in samples:
        with autocast(model.decoder.embed.weight.device, use_bf16=use_bf16):
            losses.append(float(batch_loss(model, model.label(sample))))
    return sum(losses) / len(losses)


def tower_features(
    tower: Tower, batches: Iterable[Float[Tensor, "_ 3 h w"]], select_layer: int
) -> Float[Tensor, "frame patch width"]:
    """Run a vision tower over prepared frames, batch by batch; gradients as the caller has them.

    Each batch goes to the device and the dtype of the tower when its turn comes.
    """
    weight = next(tower.vision_model.parameters())
    parts = [tower.run(batch.to(weight), select_layer, with_vectors=False)[0] for batch in batches]
    return torch.cat(parts)
