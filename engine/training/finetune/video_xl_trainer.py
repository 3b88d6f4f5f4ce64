"""A Video-XL stage from settings to checkpoint: which parts learn, on which device, what is left.

    full      decoder, projector (and tower, if asked) learn in float32
    low rank  adapters on every projection, the VSTs' q, k, v and embedding, projector; on export
              the adapters are merged, so that the checkpoint loads like any other
    align     the projector alone, behind a plain decoder

Decision: what does not learn stays in bfloat16 on an accelerator and in float32 on the CPU,
because a frozen 7B then takes 17 GB instead of 34, and small models on a CPU lose nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.errors import InputRefusedError
from engine.models.layers.decoder import Decoder, RmsNorm
from engine.models.layers.tokenizer import Tokenizer
from engine.models.layers.towers import Tower
from engine.models.layers.weights import keys_of, read_tensors
from engine.models.video_xl.net import VideoXlNet, load_net, save_net
from engine.pipeline.engine import pick_device
from engine.training.data.samples import BadSample, Sample, SampleFile
from engine.training.finetune.lora import LowRankConfig, adapt_all, merge_all
from engine.training.finetune.stage_config import prepare
from engine.training.finetune.trainer import (
    CARD,
    Pool,
    TuningConfig,
    carry_over,
    exported,
    kind_of,
    name_bad,
    shares_of,
    sorted_by_kind,
)
from engine.training.finetune.video_xl import VideoXlStage, VideoXlTask
from engine.training.loop import LoopConfig, Progress, run_stage

TEXT_SHARE = (0.10, 0.14)
"""Of text alone among what a decoder learns from: more and less were both worse for Apollo
(arXiv:2412.10360, section 6)."""
LOW_RANK_RATE = 2e-4
"""Of adapters where no rate is set; LLaVA's own script."""
SHARD_BYTES = 5 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoXlTuning(TuningConfig):
    """What the JSON file of a Video-XL recipe says; `None` takes what the stage has."""

    max_frames: int | None = None
    compression_ratios: Sequence[int] = ()
    train_tower: bool | None = None
    lora: Mapping[str, Any] | None = None
    """`rank`, `alpha` and `dropout` of adapters; `None` trains the decoder whole."""
    gradient_checkpointing: bool | None = None
    bf16: bool | None = None
    """Products in bfloat16; `None` where the device is built for it."""
    device: str = "auto"
    seed: int = 0
    accumulate: int = 1
    """Times that `samples_per_step` are gone through before a step is taken."""
    save_every: int = 100
    """Steps from one checkpoint, with its measurements, to the next."""

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
        """The adapters that are asked for.

        Raises:
            InputRefusedError: An unknown field, or a value that is not allowed.
        """
        if self.lora is None:
            return None
        said = dict(self.lora)
        try:
            rank = said.pop("rank")
            if not isinstance(rank, int):
                raise ValueError(f"rank must be a whole number, not {rank!r}")
            return LowRankConfig(rank=rank, **{name: float(value) for name, value in said.items()})
        except (KeyError, TypeError, ValueError) as error:
            raise InputRefusedError(
                f"lora does not fit: {error}", hint='write {"rank": 64, "alpha": 16}'
            ) from error


def adjusted(stage: VideoXlStage, config: VideoXlTuning) -> VideoXlStage:
    """A stage with what the settings change of it."""
    rates = dict(stage.rates)
    if config.lora is not None and "decoder." in rates:
        rate = rates.pop("decoder.") if config.learning_rate else LOW_RANK_RATE
        rates = {"adapters.": rate, "vst.": rate} | dict.fromkeys(rates, rate)
    if config.train_tower is not None:
        rates.pop("tower.", None)
    if config.train_tower:
        rates["tower."] = max(rates.values())
    checkpoints = config.gradient_checkpointing
    asked = tuple(config.compression_ratios) if stage.ratios else ()
    return replace(
        stage,
        rates=rates,
        ratios=asked or stage.ratios,
        max_frames=config.max_frames or stage.max_frames,
        gradient_checkpointing=stage.gradient_checkpointing if checkpoints is None else checkpoints,
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
        stage: As the recipe states it; the settings adjust it.
        read: Samples to learn.
        held_out: Samples to measure on.
        output: The folder of the run.
        resume: Go on from the checkpoint there.
    Raises:
        InputRefusedError: Nothing in the data suits the stage.
    """
    stage, low_rank = adjusted(stage, config), config.low_rank
    read = suitable(read, stage)
    yield from name_bad(read.bad)
    if not read.samples:
        raise InputRefusedError(f"{config.said} holds nothing that {stage.name!r} can learn from")
    if stage.trains("decoder.") or stage.trains("adapters."):
        yield from text_advice(read.samples)
    device = pick_device(config.device)
    is_bf16 = has_fast_bf16(device) if config.bf16 is None else config.bf16
    net = _load(config.model, device, stage, is_bf16=is_bf16)
    root = teachable(net, low_rank, seed=config.seed)
    module, shares = prepare(root, stage)
    learning = VideoXlTask(
        net,
        Tokenizer.load(config.model),
        stage,
        module,
        draw=Pool(read.samples).draw,
        samples_per_step=config.samples_per_step,
        measured={
            "loss_of_all": read.samples,
            **({"held_out_loss": held_out} if held_out else {}),
        },
        is_bf16=is_bf16,
        seed=config.seed,
    )
    yield _before(learning, config)
    loop = LoopConfig(
        n_steps=config.steps,
        learning_rate=config.learning_rate or stage.learning_rate,
        warmup_steps=max(1, round(config.steps * stage.warmup_share)),
        final_share=stage.final_share,
        weight_decay=stage.weight_decay,
        clip_norm=stage.max_gradient_norm,
        log_every=10,
        save_every=config.save_every,
        seed=config.seed,
        use_bf16=is_bf16,
        accumulate=config.accumulate,
    )
    yield from run_stage(learning, loop, output, resume=resume, shares=shares, betas=stage.betas)
    folder = output / "model"
    folder.mkdir(exist_ok=True)
    export(net, config.model, folder, variant=output.name)
    (folder / CARD).write_text(card(output.name, stage, config, read), encoding="utf-8")
    yield Progress(
        stage="export",
        step=1,
        n_steps=1,
        note=exported(folder, read.bad),
    )


def card(name: str, stage: VideoXlStage, config: VideoXlTuning, read: SampleFile) -> str:
    """What the new checkpoint is, for who finds it later."""
    how = "adapters, merged" if config.lora is not None else "whole"
    return (
        f"# {name}\n\n"
        f"Trained from `{config.model.name}`, stage `{stage.name}`, decoder {how}: "
        f"{config.steps} steps of {config.samples_per_step} samples x {config.accumulate}, "
        f"ratios {', '.join(map(str, stage.ratios)) or 'none'}, "
        f"at most {stage.max_frames} frames a sample.\n\n"
        f"Data: {config.said} ({len(read.samples)} samples, {len(read.bad)} skipped).\n\n"
        "Not measured beyond the losses of its run: figures of the model it was trained from do "
        "not hold for it.\n"
    )


def suitable(read: SampleFile, stage: VideoXlStage) -> SampleFile:
    """Samples that a stage can learn from; the others join the bad ones."""
    good, bad = [], []
    for sample in read.samples:
        kind = kind_of(sample)
        if kind == "audio":
            bad.append(BadSample(place=sample.place, reason="Video-XL does not hear sound"))
        elif kind == "text" and stage.template == "plain":
            bad.append(BadSample(place=sample.place, reason="there is nothing to see"))
        else:
            good.append(sample)
    return SampleFile(samples=tuple(good), bad=(*read.bad, *bad))


def text_advice(samples: Sequence[Sample]) -> Iterator[Progress]:
    """One line where the share of text alone is not what Apollo's study found best."""
    share = shares_of(sorted_by_kind(samples, kind_of)).get("text", 0.0)
    low, high = TEXT_SHARE
    if low <= share <= high:
        return
    advice = "add conversations without media" if share < low else "add samples with media"
    note = (
        f"text alone is {share:.1%} of what is drawn; Apollo's study found {low:.0%} to {high:.0%}"
        f" best: {advice}, or set weights"
    )
    yield Progress(stage="data", step=0, n_steps=0, note=note)


def has_fast_bf16(device: torch.device) -> bool:
    """Whether products in bfloat16 are faster than in float32 there."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    said = torch.cpu.get_capabilities()
    return bool(said.get("avx512_bf16") or said.get("amx_bf16"))


def teachable(net: VideoXlNet, low_rank: LowRankConfig | None, *, seed: int) -> nn.Module:
    """The net's parts under the names that stages use; adapters are put in if asked for."""
    parts: dict[str, nn.Module] = {"net": net, "decoder": net.decoder}
    for name in ("projector", "tower"):
        part = net.get_submodule(name)
        parts[name] = part.vision_model if isinstance(part, Tower) else part
    if low_rank is not None:
        parts["adapters"] = adapt_all(net.decoder, low_rank, seed=seed)
        parts["vst"] = SummaryTokens(net.decoder)
    return nn.ModuleDict(parts)


class SummaryTokens(nn.Module):
    """What summary tokens have of their own: the embedding, and q, k and v of every layer."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.embedding = decoder.vst_embed
        own = [layer.attention.vst_qkv for layer in decoder.stack()]
        self.qkv = nn.ModuleList(each for each in own if each is not None)


def export(net: VideoXlNet, source: Path, folder: Path, *, variant: str) -> None:
    """Write a checkpoint in the released layout and in the dtype of the one it came from.

    Args:
        net: Adapters in it are merged; nothing can be learnt afterwards.
        source: The checkpoint that training began from; its other files are copied.
        folder: Exists.
        variant: The new model's name.
    """
    merge_all(net.decoder)
    net.to(_dtype_of(source))
    n_bytes = sum(parameter.nbytes for parameter in net.parameters())
    save_net(net, folder, variant=variant, n_shards=1 + n_bytes // SHARD_BYTES)
    carry_over(source, folder)


def _load(folder: Path, device: torch.device, stage: VideoXlStage, *, is_bf16: bool) -> VideoXlNet:
    """The net, what learns in float32; a tower that learns is parted from the one of search."""
    is_frozen = not stage.trains("decoder.")
    is_small = is_bf16 and is_frozen and device.type == "cuda"
    net = load_net(folder, device, torch.bfloat16 if is_small else torch.float32)
    if net.tower is None or net.projector is None:
        raise InputRefusedError(f"{folder} has no vision tower: there is nothing to see with")
    if stage.trains("tower."):
        part_towers(net)
    if is_small:
        for module in net.modules():
            # Sums and what learns; matrices that stay are what fills the memory.
            if isinstance(module, RmsNorm):
                module.float()
        net.projector.float()
        SummaryTokens(net.decoder).float()
        if stage.trains("tower."):
            net.tower.float()
    return net


def part_towers(net: VideoXlNet) -> None:
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


def _before(learning: VideoXlTask, config: VideoXlTuning) -> Progress:
    """Losses before the first step, so that a run says what it has changed."""
    scores = learning.scores()
    return Progress(
        stage=learning.name,
        step=0,
        n_steps=config.steps,
        loss=scores["loss_of_all"],
        scores={f"{name}_before": value for name, value in scores.items()},
    )


def _dtype_of(folder: Path) -> torch.dtype:
    """In which numbers a checkpoint's matrices are stored."""
    names = sorted(key for key in keys_of(folder) if key.endswith("q_proj.weight"))
    _, tensor = next(read_tensors(folder, wanted=lambda key: key == names[0]))
    return tensor.dtype
