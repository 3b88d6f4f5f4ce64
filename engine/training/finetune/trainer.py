"""The trainer of every family: one stage over people's own samples, ending in a checkpoint.

A recipe reads its settings, opens a model as a `TrainableModel`, and hands both to `tune`.

Decision: float32 on the CPU, as nano is trained, because only tiny and small models were ever run
through it. Revisit when a released size is to be trained: device and dtype are the recipes' calls
of `load_net`, and the loop's autocast.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from engine.models.layers.decoder import Decoder
from engine.models.layers.splice import splice_batch
from engine.models.layers.towers import Tower
from engine.training.data.samples import BadSample, Sample
from engine.training.finetune.causal_loss import LabelledSequence, causal_loss
from engine.training.finetune.export import copy_other_files, export_note
from engine.training.finetune.mixture import (
    WeightedSamples,
    draw_kinds,
    group_by_kind,
    kind_of,
    mixture_for,
)
from engine.training.finetune.settings import TuningConfig, read_split
from engine.training.finetune.stage_config import Kind, StageConfig, select_parts
from engine.training.loop import LoopConfig, Progress, run_stage


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
    model: TrainableModel, stage: StageConfig, config: TuningConfig, output: Path, *, resume: bool
) -> Iterator[Progress]:
    """Run one stage over people's samples and write the checkpoint to `output/model`."""
    read, held_out = read_split(config)
    yield from report_bad(read.bad)
    by_kind = group_by_kind(read.samples, model.kind)
    mixture = mixture_for(stage, by_kind, config.data_files)
    if mixture.keys() != stage.mixture.keys():
        shares = ", ".join(f"{kind} {share:.1%}" for kind, share in mixture.items())
        yield Progress(stage="data", step=0, n_steps=0, note=f"kinds are missing; drawn: {shares}")
    module, lr_shares = select_parts(model.root, stage)
    task = SampleTask(model, stage.name, module, by_kind, mixture, held_out, config)
    loop = loop_config(stage, config)
    yield from run_stage(task, loop, output, resume=resume, lr_shares=lr_shares, betas=stage.betas)
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
        name: str,
        module: nn.Module,
        by_kind: Mapping[Kind, Sequence[Sample]],
        mixture: Mapping[Kind, float],
        held_out: Sequence[Sample],
        config: TuningConfig,
    ) -> None:
        self.name, self.module = name, module
        self._model, self._mixture = model, mixture
        self._by_kind = {kind: WeightedSamples(samples) for kind, samples in by_kind.items()}
        self._held_out, self._config = held_out, config

    def loss(self, step: int, n_steps: int) -> Tensor:
        """Return the mean over the labelled tokens of a few samples."""
        kinds = draw_kinds(self._mixture, self._config.samples_per_step, seed=(35, step))
        random = np.random.default_rng([36, step])
        batch = []
        for kind in kinds:
            sequences = self._model.label(self._by_kind[kind].draw(random))
            batch.append(sequences[int(random.integers(len(sequences)))])
        return batch_loss(self._model, batch)

    def scores(self) -> Mapping[str, float]:
        """Return the loss on what is held out; nothing where nothing is."""
        if not self._held_out:
            return {}
        return {"held_out_loss": mean_loss(self._model, self._held_out)}


def batch_loss(model: TrainableModel, batch: Sequence[LabelledSequence]) -> Tensor:
    """Return the next-token loss of some sequences in one pass."""
    pairs = [(sequence.ids, sequence.visual) for sequence in batch]
    labels = [sequence.labels for sequence in batch]
    spliced = splice_batch(model.decoder.embed, pairs, labels, max_tokens=model.max_tokens)
    return causal_loss(model.decoder, spliced)


@torch.no_grad()
def mean_loss(model: TrainableModel, samples: Sequence[Sample]) -> float:
    """Return the mean of samples' losses, each over all its turns."""
    losses = [float(batch_loss(model, model.label(sample))) for sample in samples]
    return sum(losses) / len(losses)


def tower_features(
    tower: Tower, batches: Iterable[Float[Tensor, "_ 3 h w"]], select_layer: int
) -> Float[Tensor, "frame patch width"]:
    """Run a vision tower over prepared frames, batch by batch; gradients as the caller has them."""
    parts = [tower.run(batch, select_layer, with_vectors=False)[0] for batch in batches]
    return torch.cat(parts)
