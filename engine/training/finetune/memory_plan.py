"""Memory that a Video-XL stage will need, before it starts: a step on tensors without memory.

The net is built from its config, its parts are chosen and adapted by the code that trains, and one
micro-batch of the longest samples runs forwards and backwards with every byte counted. No weight is
read and no GPU is needed.

Left out: what the allocator wastes between blocks, and the libraries' own working memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from engine.device import pick_device
from engine.models.layers.towers import Tower, find_tower
from engine.models.layers.weights import materialise, read_config
from engine.models.video_xl.net import VideoXlConfig, VideoXlNet, build, read
from engine.models.video_xl.parallel_forward import (
    Layout,
    SequenceSpec,
    build_layout,
    parallel_forward,
)
from engine.training.finetune.causal_loss import run_causal
from engine.training.finetune.stage_config import select_parts
from engine.training.finetune.trainer import tower_features
from engine.training.finetune.video_xl import TOWER_BATCH, VideoXlStage
from engine.training.finetune.video_xl_trainer import (
    VideoXlTuning,
    adjust_stage,
    named_parts,
    set_dtypes,
)
from engine.training.live_bytes import LiveBytes
from engine.training.loop import Progress

TEXT_TOKENS = 256
"""Of a sample's conversation, beside its media."""
LABELLED_TOKENS = 128
"""Of these, answers: the head runs where there is a label alone."""
CPU, META = torch.device("cpu"), torch.device("meta")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMemory:
    """Bytes of one process, by what they are for."""

    stage: str
    n_parameters: int
    n_learning: int
    """Parameters that learn."""
    n_tokens: int
    """Of the longest sample."""
    samples: int
    """In a micro-batch."""
    is_checkpointing: bool
    """Whether layers are computed again in the backward pass."""
    is_bf16: bool
    """Whether products are in bfloat16, and frozen weights with them."""
    weights_bytes: int
    """All of them, adapters included."""
    adapters_bytes: int
    gradients_bytes: int
    optimiser_bytes: int
    """AdamW's two means of every number that learns."""
    working_bytes: int
    """Most that a micro-batch holds beside them: activations, 16-bit copies, passing gradients; or
    the optimiser in its step, if that is more."""

    @property
    def total_bytes(self) -> int:
        """All of it together."""
        held = self.weights_bytes + self.gradients_bytes + self.optimiser_bytes
        return held + self.working_bytes


def plan_memory(config: VideoXlTuning, stage: VideoXlStage) -> TrainingMemory:
    """Count what a stage will hold on an accelerator.

    Args:
        config: The settings; their model needs its config files alone.
        stage: As the recipe states it, before the settings adjust it.
    Raises:
        WeightsError: The config does not fit Video-XL.
    Cost: seconds, most of them for loading what traces without memory.
    """
    stage = adjust_stage(stage, config)
    # Without a word in the settings, as on any card that this is for.
    is_bf16 = config.bf16 is not False
    named = read_config(config.model).get("mm_vision_tower")
    files = find_tower(config.model, named, None) if named else None
    sizes = read(config.model, files)
    n_tokens, chunks = _chunks(sizes, stage)
    layout = None
    if stage.ratios:
        spec = SequenceSpec(n_prefix=0, chunks=chunks, texts=(), is_closed=True)
        layout = build_layout(spec)
    net = build(sizes, META, torch.float32)
    if files is not None and files.config.text is not None and not _has_text(net):
        # The tower of search, which a release may share with the decoder: then there is less.
        with META:
            net.joint = Tower(files.config)
    set_dtypes(net, stage, is_small=is_bf16 and not stage.trains("decoder."))
    root = named_parts(net, config.low_rank, seed=config.seed)
    module, _ = select_parts(root, stage)
    module.train()
    # Layouts are real: what they hold decides what is run.
    with FakeTensorMode(allow_non_fake_inputs=True):
        materialise(root, CPU, None)
        learning = [weight for weight in module.parameters() if weight.requires_grad]
        for weight in learning:
            # As a micro-batch meets them that is not the first of its step.
            weight.grad = torch.empty_like(weight)
        work = _Work(net, stage, layout, n_tokens, is_bf16=is_bf16)
        peak_bytes = work.peak_bytes(config.samples_per_step)
    whole = {id(weight): weight for weight in root.parameters()}.values()
    adapters = root.get_submodule("adapters").parameters() if config.low_rank else ()
    learning_bytes = sum(weight.nbytes for weight in learning)
    return TrainingMemory(
        stage=stage.name,
        n_parameters=sum(weight.numel() for weight in whole),
        n_learning=sum(weight.numel() for weight in learning),
        n_tokens=n_tokens,
        samples=config.samples_per_step,
        is_checkpointing=stage.gradient_checkpointing,
        is_bf16=is_bf16,
        weights_bytes=sum(weight.nbytes for weight in whole),
        adapters_bytes=sum(weight.nbytes for weight in adapters),
        gradients_bytes=learning_bytes,
        optimiser_bytes=2 * learning_bytes,
        # torch's AdamW on a card computes all updates before it applies them.
        working_bytes=max(peak_bytes, learning_bytes),
    )


def _has_text(net: VideoXlNet) -> bool:
    return net.tower is not None and net.tower.has_text


def announce(config: VideoXlTuning, stage: VideoXlStage) -> Iterator[Progress]:
    """Yield a line with the plan, where a run goes to an accelerator, whose memory is short."""
    if pick_device(config.device).type == "cpu":
        return
    plan = plan_memory(config, stage)
    parts = {
        "weights": plan.weights_bytes,
        "gradients": plan.gradients_bytes,
        "optimiser": plan.optimiser_bytes,
        "working": plan.working_bytes,
    }
    sums = ", ".join(f"{name} {n_bytes / 1e9:.1f} GB" for name, n_bytes in parts.items())
    note = f"memory planned: {plan.total_bytes / 1e9:.1f} GB ({sums})"
    yield Progress(stage="memory", step=0, n_steps=0, note=note)


def _chunks(sizes: VideoXlConfig, stage: VideoXlStage) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Return the tokens of the longest sample, and its windows with the least ratio."""
    assert sizes.vision is not None
    shape, room = sizes.vision.tower.vision, sizes.decoder.max_positions
    per_frame = (shape["image_size"] // shape["patch_size"] // sizes.vision.pool_stride) ** 2
    n_visual = min(stage.max_frames * per_frame, max(1, room - TEXT_TOKENS))
    window, ratio = sizes.chunk_tokens, min(stage.ratios, default=1)
    windows = tuple((min(window, n_visual - start), ratio) for start in range(0, n_visual, window))
    n_text = min(TEXT_TOKENS, room)
    return n_visual + n_text, (*windows, (n_text, 0))


class _Work:
    """A micro-batch of the longest samples."""

    def __init__(
        self,
        net: VideoXlNet,
        stage: VideoXlStage,
        layout: Layout | None,
        n_tokens: int,
        *,
        is_bf16: bool,
    ) -> None:
        self._net, self._stage, self._layout = net, stage, layout
        self._n_tokens, self._is_bf16 = n_tokens, is_bf16

    def peak_bytes(self, n_samples: int) -> int:
        """Return the most that a micro-batch holds: every sample is held until the backward pass.

        Beyond two samples each adds what the second one did.
        """
        n_run = min(2, n_samples)
        with LiveBytes() as live:
            with torch.autocast("cpu", torch.bfloat16, enabled=self._is_bf16):
                losses, held = [], [0]
                for _ in range(n_run):
                    losses.append(self._loss())
                    held.append(live.now)
                total = torch.stack(losses).mean()
            total.backward()  # type: ignore[no-untyped-call]
        return int(live.peak) + (n_samples - n_run) * (held[-1] - held[-2])

    def _loss(self) -> Tensor:
        net = self._net
        rows = torch.cat(self._rows())[: self._n_tokens][None]
        checkpointing = self._stage.gradient_checkpointing
        if self._layout is None:
            hidden = run_causal(net.decoder, rows, gradient_checkpointing=checkpointing)
        else:
            hidden = parallel_forward(
                net.decoder, rows, self._layout, gradient_checkpointing=checkpointing
            )
        logits = net.decoder.logits(hidden[0, -LABELLED_TOKENS:])
        targets = torch.zeros(len(logits), dtype=torch.int64)
        return F.cross_entropy(logits.float(), targets)

    def _rows(self) -> tuple[Tensor, Tensor]:
        """Return visual tokens and text, in float32 as in training."""
        net, vision = self._net, self._net.config.vision
        assert vision is not None
        assert net.tower is not None
        assert net.projector is not None
        side = int(vision.tower.vision["image_size"])
        pixels = torch.empty(self._stage.max_frames, 3, side, side)
        weight = next(net.tower.vision_model.parameters())
        batches = (batch.to(weight) for batch in torch.split(pixels, TOWER_BATCH))
        with torch.set_grad_enabled(self._stage.trains("tower.")):
            features = tower_features(net.tower, batches, vision.select_layer)
        n_text = min(TEXT_TOKENS, self._n_tokens)
        n_visual = self._n_tokens - n_text
        visual = net.projector(features).flatten(0, 1)[:n_visual]
        text = net.decoder.embed(torch.zeros(n_text, dtype=torch.int64))
        return visual.float(), text.float()
