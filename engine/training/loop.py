"""The training loop from top to bottom: loss, gradients, step, progress, checkpoint."""

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from engine.training.checkpoint import load_checkpoint, save_checkpoint

PROGRESS = "progress.jsonl"
ALL_ALIKE: Mapping[str, float] = MappingProxyType({"": 1.0})


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopConfig:
    """How long and how fast to learn."""

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

    def __post_init__(self) -> None:
        if self.n_steps < 1:
            raise ValueError(f"n_steps must be at least 1, not {self.n_steps}")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be positive, not {self.learning_rate}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run stands; one line of `progress.jsonl`."""

    stage: str
    step: int
    n_steps: int
    loss: float = math.nan
    """Mean since the line before."""
    learning_rate: float = 0.0
    wall_s: float = 0.0
    scores: Mapping[str, float] = field(default_factory=dict)
    """Held-out measurements, by name, where this line has any."""
    note: str = ""


@runtime_checkable
class Stage(Protocol):
    """Something to be learnt: a module, and the loss of its n-th step."""

    @property
    def name(self) -> str:
        """What the progress lines call it."""
        ...

    @property
    def module(self) -> nn.Module:
        """Whose parameters learn."""
        ...

    def loss(self, step: int, n_steps: int) -> Tensor:
        """The loss of one step; all that is random in it follows from the step and a seed."""
        ...

    def scores(self) -> Mapping[str, float]:
        """Held-out measurements; called at every checkpoint."""
        ...


def run_stage(
    stage: Stage,
    config: LoopConfig,
    output: Path,
    *,
    resume: bool,
    shares: Mapping[str, float] = ALL_ALIKE,
    betas: tuple[float, float] = (0.9, 0.98),
) -> Iterator[Progress]:
    """Train until `n_steps`, yielding progress; killed at any moment, a resumed run ends the same.

    Args:
        stage: What is learnt.
        config: Must be that of the interrupted run when resuming.
        output: Gets `checkpoint.pt`, `progress.jsonl`.
        resume: Go on from the checkpoint there; otherwise start anew.
        shares: Of the learning rate, by prefix of parameter names; the first that fits counts.
        betas: How long AdamW remembers gradients and their squares.
    """
    output.mkdir(parents=True, exist_ok=True)
    module = stage.module
    optimiser = AdamW(_groups(module, config, shares), lr=config.learning_rate, betas=betas)
    plan = asdict(config)
    if shares != ALL_ALIKE:
        # Parts tell stages apart, which may share a folder by mistake.
        plan |= {"shares": dict(shares), "betas": betas}
    step = load_checkpoint(output, module, optimiser, plan=plan) if resume else 0
    _cut_progress(output, step)
    started, losses = time.monotonic(), []
    while step < config.n_steps:
        rate = _set_rate(optimiser, step, config)
        torch.manual_seed(config.seed * 1_000_003 + step)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.use_bf16):
            loss = stage.loss(step, config.n_steps)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(module.parameters(), config.clip_norm)
        optimiser.step()
        step += 1
        losses.append(float(loss.detach()))
        is_saving = step % config.save_every == 0 or step == config.n_steps
        if is_saving or step % config.log_every == 0:
            line = Progress(
                stage=stage.name,
                step=step,
                n_steps=config.n_steps,
                loss=sum(losses) / len(losses),
                learning_rate=rate,
                wall_s=time.monotonic() - started,
                scores=_measured(stage, module) if is_saving else {},
            )
            losses.clear()
            _append(output, line)
            yield line
        if is_saving:
            save_checkpoint(output, module, optimiser, step, plan=plan)


def read_progress(output: Path) -> tuple[Progress, ...]:
    """The lines that a run has written so far, oldest first."""
    path = output / PROGRESS
    if not path.is_file():
        return ()
    return tuple(Progress(**json.loads(line)) for line in path.read_text().splitlines())


def _groups(
    module: nn.Module, config: LoopConfig, shares: Mapping[str, float]
) -> list[dict[str, object]]:
    found: dict[str, list[nn.Parameter]] = {prefix: [] for prefix in shares}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            found[next(prefix for prefix in shares if name.startswith(prefix))].append(parameter)
    groups: list[dict[str, object]] = []
    for prefix, share in shares.items():
        matrices = [parameter for parameter in found[prefix] if parameter.ndim > 1]
        vectors = [parameter for parameter in found[prefix] if parameter.ndim <= 1]
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


def _measured(stage: Stage, module: nn.Module) -> Mapping[str, float]:
    module.eval()
    with torch.no_grad():
        scores = stage.scores()
    module.train()
    return scores


def _append(output: Path, line: Progress) -> None:
    with (output / PROGRESS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(line)) + "\n")


def _cut_progress(output: Path, step: int) -> None:
    """Drop lines of steps that a resumed run does again."""
    kept = [line for line in read_progress(output) if line.step <= step]
    text = "".join(json.dumps(asdict(line)) + "\n" for line in kept)
    (output / PROGRESS).write_text(text, encoding="utf-8")
