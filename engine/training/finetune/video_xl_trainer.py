"""A Video-XL stage from settings to checkpoint: the parts that learn, their device, the export.

    full      decoder, projector (and tower, if set) learn in float32
    low rank  adapters on every projection, the VSTs' q, k, v and embedding, projector; on export
              the adapters are merged, so that the checkpoint loads like any other; the projections
              beside them may be held in 4 bits (QLoRA)
    align     the projector alone, behind a plain decoder

Decision: what does not learn stays in bfloat16 on an accelerator and in float32 on the CPU,
because a frozen 7B then takes 17 GB instead of 34, and small models on a CPU lose nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from engine.device import pick_device
from engine.errors import InputRefusedError
from engine.models.layers.allocation import matrices_in
from engine.models.layers.decoder import Decoder, RmsNorm
from engine.models.layers.nf4 import Nf4Linear
from engine.models.layers.tokenizer import Tokenizer
from engine.models.layers.towers import Tower
from engine.models.layers.weights import keys_of, read_tensors
from engine.models.video_xl.net import VideoXlNet, load_net, save_net
from engine.training.checkpoint import load_learnt
from engine.training.data.samples import BadSample, Sample, SampleFile
from engine.training.distributed import current
from engine.training.finetune.export import CARD, copy_other_files, export_note
from engine.training.finetune.lora import BaseFormat, LowRankConfig, add_adapters, merge_adapters
from engine.training.finetune.mixture import (
    WeightedSamples,
    group_by_kind,
    kind_of,
    kind_shares,
)
from engine.training.finetune.precision import holds_bf16, uses_bf16
from engine.training.finetune.settings import TuningConfig, recomputes_layers
from engine.training.finetune.stage_config import select_parts
from engine.training.finetune.trainer import loop_config, report_bad
from engine.training.finetune.video_xl import TaskSamples, VideoXlStage, VideoXlTask
from engine.training.loop import Progress, run_stage
from engine.training.sharding import CPU, ShardedWeights, open_to_shard

TEXT_SHARE = (0.10, 0.14)
"""Of samples without media among those a decoder learns from: more and less were worse for Apollo
(arXiv:2412.10360, section 6)."""
LOW_RANK_RATE = 2e-4
"""Of adapters where no rate is set; LLaVA's own script."""
SHARD_BYTES = 5 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoXlTuning(TuningConfig):
    """The contents of a Video-XL recipe's JSON file; `None` takes the value of the stage."""

    max_frames: int | None = None
    compression_ratios: Sequence[int] = ()
    train_tower: bool | None = None
    lora: Mapping[str, Any] | None = None
    """`rank`, `alpha`, `dropout` and `base` of adapters; `None` trains the decoder whole."""
    seed: int = 0
    accumulate: int = 1
    """Micro-batches of `samples_per_step` samples before a step is taken."""
    save_every: int = 100
    """Steps between checkpoints, which are measured."""

    def __post_init__(self) -> None:
        TuningConfig.__post_init__(self)
        ratios = self.compression_ratios
        if not all(isinstance(ratio, int) and ratio >= 1 for ratio in ratios):
            raise ValueError(
                f"compression_ratios must be whole numbers of at least 1, not {ratios}"
            )
        for name in ("accumulate", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        frames = self.max_frames
        if frames is not None and (not isinstance(frames, int) or frames < 1):
            raise ValueError(f"max_frames must be a whole number of at least 1, not {frames!r}")

    @property
    def low_rank(self) -> LowRankConfig | None:
        """The adapters that the settings ask for.

        Raises:
            InputRefusedError: An unknown field, or a value that is not allowed.
        """
        if self.lora is None:
            return None
        values = dict(self.lora)
        try:
            rank = values.pop("rank")
            if not isinstance(rank, int):
                raise ValueError(f"rank must be a whole number, not {rank!r}")
            base, known = values.pop("base", "native"), get_args(BaseFormat)
            if base not in known:
                raise ValueError(f"base must be one of {', '.join(known)}, not {base!r}")
            return LowRankConfig(
                rank=rank, base=base, **{name: float(value) for name, value in values.items()}
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputRefusedError(
                f"lora does not fit: {error}", hint='write {"rank": 64, "alpha": 16}'
            ) from error


def adjust_stage(stage: VideoXlStage, config: VideoXlTuning) -> VideoXlStage:
    """Return a stage with the changes of the settings."""
    rates = dict(stage.rates)
    if config.lora is not None and "decoder." in rates:
        own = rates.pop("decoder.")
        rate = own if config.learning_rate else LOW_RANK_RATE
        rates = {"adapters.": rate, "vst.": rate} | dict.fromkeys(rates, rate)
    if config.train_tower is not None:
        rates.pop("tower.", None)
    if config.train_tower:
        rates["tower."] = max(rates.values())
    # A stage without VSTs stays without.
    ratios = tuple(config.compression_ratios) if stage.ratios else ()
    return replace(
        stage,
        rates=rates,
        ratios=ratios or stage.ratios,
        max_frames=config.max_frames or stage.max_frames,
        gradient_checkpointing=recomputes_layers(stage, config),
    )


def train(
    config: VideoXlTuning,
    stage: VideoXlStage,
    read: SampleFile,
    held_out: Sequence[Sample],
    output: Path,
    *,
    resume: bool,
) -> Iterator[Progress]:
    """Run one stage and write the checkpoint to `output/model`.

    Args:
        config: The settings.
        stage: As the recipe states it, before the settings adjust it.
        read: Samples to learn.
        held_out: Samples to measure on.
        output: The folder of the run.
        resume: Go on from the checkpoint there.
    Raises:
        InputRefusedError: Nothing in the data suits the stage.
    """
    stage = adjust_stage(stage, config)
    read = without_unsuitable(read, stage)
    yield from report_bad(read.bad)
    if not read.samples:
        raise InputRefusedError(
            f"{config.data_files} holds nothing that {stage.name!r} can learn from"
        )
    if stage.trains("decoder.") or stage.trains("adapters."):
        yield from advise_on_text(read.samples)
    device, is_sharding = pick_device(config.device), current().is_sharding
    is_bf16 = uses_bf16(config, device)
    open_net = partial(_open, config, stage, is_small=holds_bf16(device, is_bf16=is_bf16))
    if is_sharding:
        # 4 bits are made of values, here as there.
        net, root = open_to_shard(open_net, needs_values=_is_in_4_bits(config))
    else:
        net, root = open_net(device)
    module, lr_shares = select_parts(root, stage)
    samples = TaskSamples(
        draw=WeightedSamples(read.samples).draw,
        per_step=config.samples_per_step,
        measured={
            "loss_of_all": read.samples,
            **({"held_out_loss": held_out} if held_out else {}),
        },
    )
    tokenizer = Tokenizer.load(config.model)
    task = VideoXlTask(
        net, tokenizer, stage, module, samples, device=device, is_bf16=is_bf16, seed=config.seed
    )
    loop = loop_config(
        stage,
        config,
        save_every=config.save_every,
        seed=config.seed,
        use_bf16=is_bf16,
        accumulate=config.accumulate,
    )
    # So that a run shows what it has changed.
    yield from run_stage(
        task,
        loop,
        output,
        resume=resume,
        lr_shares=lr_shares,
        betas=stage.betas,
        weights=(
            ShardedWeights(used_parts(root), net.decoder.stack(), device) if is_sharding else None
        ),
        measures_before=True,
    )
    if is_sharding:
        # The parts of this process are no net; the checkpoint has all that was learnt.
        net, root = open_net(CPU)
        load_learnt(output, select_parts(root, stage)[0])
    folder = output / "model"
    folder.mkdir(exist_ok=True)
    export(net, config.model, folder, variant=output.name)
    (folder / CARD).write_text(model_card(output.name, stage, config, read), encoding="utf-8")
    yield Progress(stage="export", step=1, n_steps=1, note=export_note(folder, read.bad))


def model_card(name: str, stage: VideoXlStage, config: VideoXlTuning, read: SampleFile) -> str:
    """Return the text of the new checkpoint's model card."""
    method = "whole"
    if config.low_rank is not None:
        base = " over 4 bits" if config.low_rank.base == "nf4" else ""
        method = f"adapters{base}, merged"
    return (
        f"# {name}\n\n"
        f"Trained from `{config.model.name}`, stage `{stage.name}`, decoder {method}: "
        f"{config.steps} steps of {config.samples_per_step} samples x {config.accumulate}, "
        f"ratios {', '.join(map(str, stage.ratios)) or 'none'}, "
        f"at most {stage.max_frames} frames a sample.\n\n"
        f"Data: {config.data_files} ({len(read.samples)} samples, {len(read.bad)} skipped).\n\n"
        "Not measured beyond the losses of its run: figures of the model it was trained from do "
        "not hold for it.\n"
    )


def without_unsuitable(read: SampleFile, stage: VideoXlStage) -> SampleFile:
    """Return the samples that a stage can learn from; the others join the bad ones."""
    good, bad = [], []
    for sample in read.samples:
        kind = kind_of(sample)
        if kind == "audio":
            bad.append(BadSample(location=sample.location, reason="Video-XL does not hear sound"))
        elif kind == "text" and stage.template == "plain":
            bad.append(BadSample(location=sample.location, reason="there is nothing to see"))
        else:
            good.append(sample)
    return SampleFile(samples=tuple(good), bad=(*read.bad, *bad))


def advise_on_text(samples: Sequence[Sample]) -> Iterator[Progress]:
    """Yield a line if the share of text alone is not what Apollo's study found best."""
    share = kind_shares(group_by_kind(samples, kind_of)).get("text", 0.0)
    low, high = TEXT_SHARE
    if low <= share <= high:
        return
    advice = "add conversations without media" if share < low else "add samples with media"
    note = (
        f"text alone is {share:.1%} of what is drawn; Apollo's study found {low:.0%} to {high:.0%}"
        f" best: {advice}, or set weights"
    )
    yield Progress(stage="data", step=0, n_steps=0, note=note)


def named_parts(net: VideoXlNet, low_rank: LowRankConfig | None, *, seed: int) -> nn.ModuleDict:
    """Return the net's parts by the names that stages use, with new adapters if configured."""
    parts: dict[str, nn.Module] = {"net": net, "decoder": net.decoder}
    for name in ("projector", "tower"):
        part = net.get_submodule(name)
        parts[name] = part.vision_model if isinstance(part, Tower) else part
    if low_rank is not None:
        parts["adapters"] = add_adapters(net.decoder, low_rank, seed=seed)
        parts["vst"] = SummaryTokens(net.decoder)
    return nn.ModuleDict(parts)


class SummaryTokens(nn.Module):
    """The weights of summary tokens alone: the embedding, and q, k and v of every layer."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.embedding = decoder.vst_embed
        own = [layer.attention.vst_qkv for layer in decoder.stack()]
        self.qkv = nn.ModuleList(linear for linear in own if linear is not None)


def export(net: VideoXlNet, source: Path, folder: Path, *, variant: str) -> None:
    """Write a checkpoint in the released layout and in the dtype of the one it came from.

    Args:
        net: Adapters in it are merged, over 4 bits into the weights of `source` as they are read
            again; nothing can be learnt afterwards.
        source: The checkpoint that training began from; its other files are copied.
        folder: Exists.
        variant: The new model's name.
    """
    dtype, is_in_4_bits = _dtype_of(source), any(isinstance(m, Nf4Linear) for m in net.modules())
    read = load_net(source, torch.device("cpu"), dtype).decoder if is_in_4_bits else None
    merge_adapters(net.decoder, read=read)
    net.to(dtype)
    n_bytes = sum(parameter.nbytes for parameter in net.parameters())
    save_net(net, folder, variant=variant, n_shards=1 + n_bytes // SHARD_BYTES)
    copy_other_files(source, folder)


def _open(
    config: VideoXlTuning, stage: VideoXlStage, device: torch.device, *, is_small: bool
) -> tuple[VideoXlNet, nn.ModuleDict]:
    """Load the net, its learning parts in float32; a tower that learns is split from search's."""
    is_small = is_small and not stage.trains("decoder.")
    low_rank = config.low_rank
    # Made of the values on a CPU, 4 bits are the same wherever they go.
    read_to = CPU if _is_in_4_bits(config) else device
    with matrices_in("native" if low_rank is None else low_rank.base, but=r".*\.vst_qkv"):
        net = load_net(config.model, read_to, torch.bfloat16 if is_small else torch.float32)
    if net.tower is None or net.projector is None:
        raise InputRefusedError(f"{config.model} has no vision tower, which training needs")
    set_dtypes(net, stage, is_small=is_small)
    root = named_parts(net, low_rank, seed=config.seed)
    return net, root if read_to == device else root.to(device)


def _is_in_4_bits(config: VideoXlTuning) -> bool:
    return config.low_rank is not None and config.low_rank.base == "nf4"


def used_parts(root: nn.ModuleDict) -> nn.ModuleDict:
    """Return the parts that a loss uses: a tower of search stays where it is."""
    return nn.ModuleDict({name: part for name, part in root.items() if name != "net"})


def set_dtypes(net: VideoXlNet, stage: VideoXlStage, *, is_small: bool) -> None:
    """Put what learns into float32, and split a tower that learns from search's.

    Args:
        net: In one dtype, with a tower.
        stage: What learns.
        is_small: Whether that dtype is bfloat16.
    """
    assert net.tower is not None
    assert net.projector is not None
    if stage.trains("tower."):
        split_towers(net)
    if not is_small:
        return
    for module in net.modules():
        # In float32: norms and what learns. Frozen matrices are what fills the memory.
        if isinstance(module, RmsNorm):
            module.float()
    net.projector.float()
    SummaryTokens(net.decoder).float()
    if stage.trains("tower."):
        net.tower.float()


def split_towers(net: VideoXlNet) -> None:
    """Give the decoder a tower of its own to learn with.

    A tower with a text side also makes the vectors of search, which must stay what they are.
    """
    tower = net.tower
    assert tower is not None
    if not tower.has_text:
        return
    weight = next(tower.parameters())
    own = Tower(tower.config.vision_only()).to(weight)
    own.vision_model.load_state_dict(tower.vision_model.state_dict())
    net.tower, net.joint = own, tower


def _dtype_of(folder: Path) -> torch.dtype:
    """Return the dtype that a checkpoint's matrices are stored in."""
    names = sorted(key for key in keys_of(folder) if key.endswith("q_proj.weight"))
    _, tensor = next(read_tensors(folder, wanted=lambda key: key == names[0]))
    return tensor.dtype
