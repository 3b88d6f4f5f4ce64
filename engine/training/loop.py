"""The training loop from top to bottom: loss, gradients, step, progress, curves, checkpoint."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from engine.errors import InputRefusedError
from engine.files import atomic_write
from engine.training.checkpoint import (
    load_checkpoint,
    save_state,
    set_aside,
    training_state,
    writing,
)
from engine.training.curves import Curves, Series, write_curves
from engine.training.distributed import CopiedWeights, Processes, WeightsOverProcesses, current
from engine.training.sharding import gather_state

PROGRESS = "progress.jsonl"
UNIFORM_LR: Mapping[str, float] = MappingProxyType({"": 1.0})


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopConfig:
    """Length and learning rate of a run."""

    n_steps: int
    learning_rate: float
    warmup_steps: int = 100
    final_share: float = 0.03
    """Learning rate at the end, as a share of its peak; a half cosine leads there."""
    weight_decay: float = 0.02
    """Of matrices; vectors are never decayed."""
    clip_norm: float = 1.0
    log_every: int = 50
    save_every: int = 500
    seed: int = 0
    use_bf16: bool = True
    """Products in bfloat16, weights and sums in float32."""
    accumulate: int = 1
    """Micro-batches of a step and process; the step takes the mean of all their gradients."""

    def __post_init__(self) -> None:
        if self.n_steps < 1:
            raise ValueError(f"n_steps must be at least 1, not {self.n_steps}")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be positive, not {self.learning_rate}")
        if self.accumulate < 1:
            raise ValueError(f"accumulate must be at least 1, not {self.accumulate}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """State of a run; one line of `progress.jsonl`."""

    stage: str
    step: int
    n_steps: int
    loss: float = math.nan
    """Mean since the line before."""
    learning_rate: float = 0.0
    wall_s: float = 0.0
    """Since the run began, breaks between a kill and a resume left out."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Held-out measurements, by name, where this line has any."""
    note: str = ""
    skipped: int = 0
    """Samples that this line names as unusable."""


@runtime_checkable
class TrainingTask(Protocol):
    """A module to train, and the loss of its n-th micro-batch."""

    @property
    def name(self) -> str:
        """The stage in progress lines."""
        ...

    @property
    def module(self) -> nn.Module:
        """The module to train, on its device."""
        ...

    def loss(self, step: int, n_steps: int) -> Tensor:
        """Return the loss of one micro-batch; its random choices follow from `step` and a seed.

        `step` counts micro-batches over all processes, `n_steps` is how many the run will see.
        """
        ...

    def scores(self) -> Mapping[str, float]:
        """Return held-out measurements; called at every checkpoint."""
        ...


def run_stage(
    stage: TrainingTask,
    config: LoopConfig,
    output: Path,
    *,
    resume: bool,
    lr_shares: Mapping[str, float] = UNIFORM_LR,
    betas: tuple[float, float] = (0.9, 0.98),
    weights: WeightsOverProcesses | None = None,
    measures_before: bool = False,
) -> Iterator[Progress]:
    """Train until `n_steps`, yielding progress; killed at any moment, a resumed run ends the same.

    Processes that have met (`distributed.joined`) take turns at the micro-batches: two of them end
    with the weights of one that accumulates two.

    Args:
        stage: The task; on the same device in every process, or on each one's own.
        config: Must be that of the interrupted run when resuming.
        output: Gets `checkpoint.pt`, `progress.jsonl`, `curves.json`, `curves.png`.
        resume: Go on from the checkpoint there, yielding its last line first; otherwise start from
            the beginning and keep an earlier checkpoint as `checkpoint.previous.pt`.
        lr_shares: Shares of the learning rate by prefix of parameter names; the first that fits
            counts.
        betas: Decay rates of AdamW's running means of gradients and of their squares.
        weights: How the processes hold the module; `None` gives each a copy.
        measures_before: Yield first what the scores are before any step, under names that end in
            `_before`; the first of them is the line's loss.
    Raises:
        WeightsError: The checkpoint is damaged, or of another run.
        InputRefusedError: The loss is no number any more, and the last checkpoint stands; or the
            weights are to be sharded, and the stage cannot do that.
        DiskFullError: No space; the last checkpoint stands.
    """
    processes, module = current(), stage.module
    weights = weights or _copied(stage, processes)
    plan = _plan(config, processes, lr_shares, betas)
    output.mkdir(parents=True, exist_ok=True)
    if processes.is_main and not resume:
        set_aside(output)
    processes.begin_stage()
    weights.settle(processes)
    device = next(module.parameters()).device
    if measures_before:
        yield _before(stage, config, _measured(stage, module, weights, processes))
    optimiser = AdamW(_groups(module, config, lr_shares), lr=config.learning_rate, betas=betas)
    step = load_checkpoint(output, module, optimiser, plan=plan, older_defaults=_OLDER_DEFAULTS)
    lines = _cut_progress(output, step, processes)
    yield from lines[-1:]
    started = time.monotonic() - (lines[-1].wall_s if lines else 0.0)
    losses: list[Tensor] = []
    # A loaded model may come without dropout; a resumed one must not differ from one that ran on.
    module.train()
    while step < config.n_steps:
        rate = _set_rate(optimiser, step, config)
        optimiser.zero_grad(set_to_none=True)
        for number in range(config.accumulate):
            micro = (step * config.accumulate + number) * processes.count + processes.index
            torch.manual_seed(config.seed * 1_000_003 + micro)
            with autocast(device, use_bf16=config.use_bf16):
                loss = weights.run(partial(stage.loss, micro, config.n_steps * plan["accumulate"]))
            (loss / config.accumulate).backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        weights.average_gradients()
        nn.utils.clip_grad_norm_(module.parameters(), config.clip_norm)
        optimiser.step()
        step += 1
        is_saving = step % config.save_every == 0 or step == config.n_steps
        if not is_saving and step % config.log_every:
            continue
        line = Progress(
            stage=stage.name,
            step=step,
            n_steps=config.n_steps,
            loss=_finite(processes.mean(losses), stage, step),
            learning_rate=rate,
            wall_s=time.monotonic() - started,
            scores=_measured(stage, module, weights, processes) if is_saving else {},
        )
        losses.clear()
        values = gather_state(training_state(module, optimiser)) if is_saving else {}
        if processes.is_main:
            _write(output, line, values, plan)
        # Gathered, they take as much of the host's memory as the whole model and its optimiser.
        del values
        yield line
    processes.end_stage()


def read_progress(output: Path) -> tuple[Progress, ...]:
    """Read the lines that a run has written so far, oldest first; one cut short is left out."""
    path = output / PROGRESS
    if not path.is_file():
        return ()
    complete = path.read_text(encoding="utf-8").rpartition("\n")[0]
    return tuple(Progress(**json.loads(line)) for line in complete.splitlines())


def autocast(device: torch.device, *, use_bf16: bool) -> torch.autocast:
    """Return the context of a task's products: in bfloat16, or as their tensors are."""
    # The cache would keep a 16-bit copy of every weight: all of them, where each is to have a part.
    has_cache = False if current().is_sharding else None
    return torch.autocast(device.type, torch.bfloat16, enabled=use_bf16, cache_enabled=has_cache)


_OLDER_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {item.name: item.default for item in fields(LoopConfig) if item.default is not MISSING}
)
"""Values of fields that the plan of an older checkpoint does not have."""


def _plan(
    config: LoopConfig,
    processes: Processes,
    lr_shares: Mapping[str, float],
    betas: tuple[float, float],
) -> dict[str, Any]:
    """Return all that must not change between a run and its resumption."""
    # One process may take over the micro-batches of two, and the other way round.
    plan = {**asdict(config), "accumulate": config.accumulate * processes.count}
    if lr_shares != UNIFORM_LR:
        # Parts tell stages apart, which may share a folder by mistake. The key is older than the
        # name `lr_shares`: checkpoints have it.
        plan |= {"shares": dict(lr_shares), "betas": betas}
    return plan


def _groups(
    module: nn.Module, config: LoopConfig, lr_shares: Mapping[str, float]
) -> list[dict[str, object]]:
    by_prefix: dict[str, list[nn.Parameter]] = {prefix: [] for prefix in lr_shares}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            prefix = next(prefix for prefix in lr_shares if name.startswith(prefix))
            by_prefix[prefix].append(parameter)
    groups: list[dict[str, object]] = []
    for prefix, share in lr_shares.items():
        matrices = [parameter for parameter in by_prefix[prefix] if parameter.ndim > 1]
        vectors = [parameter for parameter in by_prefix[prefix] if parameter.ndim <= 1]
        groups.append({"params": matrices, "weight_decay": config.weight_decay, "share": share})
        groups.append({"params": vectors, "weight_decay": 0.0, "share": share})
    return groups


def _set_rate(optimiser: AdamW, step: int, config: LoopConfig) -> float:
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    wave = 0.5 * (1 + math.cos(math.pi * step / config.n_steps))
    rate = config.learning_rate * warm * (config.final_share + (1 - config.final_share) * wave)
    for group in optimiser.param_groups:
        # Checkpoints from before parts could differ have no shares.
        group["lr"] = rate * group.get("share", 1.0)
    return rate


def _copied(stage: TrainingTask, processes: Processes) -> WeightsOverProcesses:
    """Return the weights of a stage that says nothing about them: a copy in every process."""
    if processes.is_sharding:
        raise InputRefusedError(
            f"{stage.name!r} cannot shard its weights over processes",
            hint="start the processes without FSDP: each then holds them whole",
        )
    return CopiedWeights(stage.module)


def _measured(
    stage: TrainingTask, module: nn.Module, weights: WeightsOverProcesses, processes: Processes
) -> Mapping[str, float]:
    """Return the scores, in the main process; all take part where each has but a part."""
    if not (processes.is_main or processes.is_sharding):
        return {}
    module.eval()
    with torch.no_grad():
        scores = weights.run(stage.scores)
    module.train()
    return scores


def _before(stage: TrainingTask, config: LoopConfig, scores: Mapping[str, float]) -> Progress:
    """Return the line of what was measured before the first step."""
    return Progress(
        stage=stage.name,
        step=0,
        n_steps=config.n_steps,
        loss=next(iter(scores.values()), math.nan),
        scores={f"{name}_before": value for name, value in scores.items()},
    )


def _write(
    output: Path, line: Progress, values: Mapping[str, Any], plan: Mapping[str, Any]
) -> None:
    """Write a line, and where there are values to save, curves and checkpoint."""
    with writing(output, line.step):
        _append(output, line)
        if values:
            write_curves(_curves(read_progress(output)), output)
            # The checkpoint comes last: what a kill in between leaves is written again.
            save_state(output, values, line.step, plan=plan)


def _append(output: Path, line: Progress) -> None:
    with (output / PROGRESS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(line)) + "\n")


def _cut_progress(output: Path, step: int, processes: Processes) -> tuple[Progress, ...]:
    """Return lines of steps that are done; those that a resumed run does again are dropped."""
    kept = tuple(line for line in read_progress(output) if line.step <= step)
    if processes.is_main:
        text = "".join(json.dumps(asdict(line)) + "\n" for line in kept)
        with atomic_write(output / PROGRESS, single_writer=True) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return kept


def _finite(loss: float, stage: TrainingTask, step: int) -> float:
    if math.isfinite(loss):
        return loss
    raise InputRefusedError(
        f"the loss of {stage.name!r} is no number at step {step}; its last checkpoint stands",
        hint="lower the learning rate and train again from the start",
    )


def _curves(lines: Sequence[Progress]) -> Curves:
    names = dict.fromkeys(name for line in lines for name in line.scores)
    return Curves(
        stage=lines[-1].stage,
        n_steps=lines[-1].n_steps,
        step=tuple(line.step for line in lines),
        loss=tuple(line.loss for line in lines),
        learning_rate=tuple(line.learning_rate for line in lines),
        wall_s=tuple(line.wall_s for line in lines),
        scores={
            name: Series(
                step=tuple(line.step for line in lines if name in line.scores),
                value=tuple(line.scores[name] for line in lines if name in line.scores),
            )
            for name in names
        },
    )
