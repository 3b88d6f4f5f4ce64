"""Memory that a Video-XL stage will need, before it starts: a step on tensors without memory.

The net is built from its config, and its parts are chosen and adapted by the code that trains. No
weight is read and no GPU is needed; `step_memory` counts.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.models.layers.towers import Tower, find_tower
from engine.models.layers.weights import read_config
from engine.models.video_xl.net import VideoXlConfig, VideoXlNet, build, read
from engine.models.video_xl.parallel_forward import (
    Layout,
    SequenceSpec,
    build_layout,
    parallel_forward,
)
from engine.training.finetune.causal_loss import run_causal
from engine.training.finetune.precision import plans_bf16
from engine.training.finetune.stage_config import select_parts
from engine.training.finetune.step_memory import (
    LABELLED_TOKENS,
    META,
    TEXT_TOKENS,
    StepSizes,
    TrainingMemory,
    count_memory,
)
from engine.training.finetune.trainer import tower_features
from engine.training.finetune.video_xl import TOWER_BATCH, VideoXlStage
from engine.training.finetune.video_xl_trainer import (
    VideoXlTuning,
    adjust_stage,
    named_parts,
    set_dtypes,
    used_parts,
)
from engine.training.live_bytes import LiveBytes


def plan_memory(
    config: VideoXlTuning, stage: VideoXlStage, *, n_processes: int = 1
) -> TrainingMemory:
    """Count what a stage will hold on an accelerator.

    Args:
        config: The settings; their model needs its config files alone.
        stage: As the recipe states it, before the settings adjust it.
        n_processes: More than one share the weights.
    Raises:
        WeightsError: The config does not fit Video-XL.
    Cost: seconds, most of them for loading what traces without memory.
    """
    stage = adjust_stage(stage, config)
    is_bf16 = plans_bf16(config)
    named = read_config(config.model).get("mm_vision_tower")
    files = find_tower(config.model, named, None) if named else None
    sizes = read(config.model, files)
    n_tokens, chunks = _chunks(sizes, stage)
    layout = None
    if stage.ratios:
        spec = SequenceSpec(n_prefix=0, chunks=chunks, texts=(), is_closed=True)
        layout = build_layout(spec)
    is_small = is_bf16 and not stage.trains("decoder.")
    net = build(sizes, META, torch.bfloat16 if is_small else torch.float32)
    if files is not None and files.config.text is not None and not _has_text(net):
        # The tower of search, which a release may share with the decoder: then there is less.
        with META:
            net.joint = Tower(files.config).to(net.decoder.embed.weight.dtype)
    set_dtypes(net, stage, is_small=is_small)
    # Before some of them share a byte.
    n_parameters = sum(weight.numel() for weight in net.parameters())
    root = named_parts(net, config.low_rank, seed=config.seed)
    if n_processes > 1:
        root = used_parts(root)
    module, _ = select_parts(root, stage)
    adapters = tuple(root.get_submodule("adapters").parameters()) if config.low_rank else ()
    work = _Work(net, stage, layout, n_tokens, is_bf16=is_bf16, has_cache=n_processes == 1)
    step = StepSizes(
        stage=stage.name,
        root=root,
        module=module,
        layers=net.decoder.stack(),
        n_parameters=n_parameters + sum(weight.numel() for weight in adapters),
        adapters=adapters,
        n_tokens=n_tokens,
        samples=config.samples_per_step,
        is_checkpointing=stage.gradient_checkpointing,
        is_bf16=is_bf16,
        peak_bytes=lambda: work.peak_bytes(config.samples_per_step),
    )
    return count_memory(step, n_processes=n_processes)


def _has_text(net: VideoXlNet) -> bool:
    return net.tower is not None and net.tower.has_text


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
        has_cache: bool,
    ) -> None:
        self._net, self._stage, self._layout = net, stage, layout
        self._n_tokens, self._is_bf16, self._has_cache = n_tokens, is_bf16, has_cache

    def peak_bytes(self, n_samples: int) -> int:
        """Return the most that a micro-batch holds: every sample is held until the backward pass.

        Beyond two samples each adds what the second one did.
        """
        n_run = min(2, n_samples)
        with LiveBytes() as live:
            with torch.autocast(
                "cpu", torch.bfloat16, enabled=self._is_bf16, cache_enabled=self._has_cache
            ):
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
        with torch.set_grad_enabled(self._stage.trains("tower.")):
            features = tower_features(
                net.tower, torch.split(pixels, TOWER_BATCH), vision.select_layer
            )
        n_text = min(TEXT_TOKENS, self._n_tokens)
        n_visual = self._n_tokens - n_text
        visual = net.projector(features).flatten(0, 1)[:n_visual]
        text = net.decoder.embed(torch.zeros(n_text, dtype=torch.int64))
        return visual.float(), text.float()
