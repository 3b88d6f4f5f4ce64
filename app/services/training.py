"""Training recipes, run by name."""

import os
import shlex
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.progress import ProgressCallback, ProgressUpdate
from app.schemas.training import MemoryPlanResponse, TrainResponse
from app.timefmt import format_duration
from engine import plugins
from engine.errors import InputRefusedError

if TYPE_CHECKING:
    from engine.training.finetune.step_memory import TrainingMemory
    from engine.training.loop import Progress

MODEL_FOLDER: Final = "model"
"""Where every recipe that makes a checkpoint leaves it, inside the folder of its run."""

LEAST_FREE: Final = 0.9
"""Share of a card that a plan may take: the rest is for what it does not count, the allocator's
gaps and the libraries' own memory."""


def train_recipe(
    name: str,
    output: Path,
    *,
    resume: bool,
    report: ProgressCallback,
    say: Callable[[str], None],
) -> TrainResponse | None:
    """Run a training recipe; what it leaves lies in `output/NAME`.

    Args:
        name: A file of `engine/training/recipes`.
        output: Above the folder of the run.
        resume: Go on from the last checkpoint; without it a run starts afresh.
        report: Hears how far each stage is.
        say: Hears what is not progress: samples that cannot be used.
    Returns:
        What the run left; `None` in every process of it but the main one.
    Raises:
        NotFoundError: No such recipe; the message lists what there is.
        MissingCapabilityError: A launcher has started several processes, which nothing joins here.
    """
    # Late for their weight: torch, and what trains.
    from engine.training import recipes
    from engine.training.distributed import current, joined, run_together

    recipe = plugins.load(recipes, name, defines=("run",))
    # A launcher's words about the processes that it has started; they configure nothing else.
    shard = os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"
    is_alone = int(os.environ.get("WORLD_SIZE") or 1) == 1
    folder = output / name
    measured: dict[str, float] = {}
    n_steps = skipped = 0
    with nullcontext(current()) if is_alone else joined(shard=shard) as processes:
        for line in run_together(recipe.run, folder, resume=resume):
            n_steps = max(n_steps, line.step)
            measured.update(line.scores)
            skipped += line.skipped
            if line.n_steps:
                report(
                    ProgressUpdate(
                        what=f"{name}: {line.stage}",
                        done=line.step,
                        total=line.n_steps,
                        note=line.note or standing(line),
                    )
                )
            else:
                say(f"{name}: {line.note}")
    if not processes.is_main:
        return None
    model = folder / MODEL_FOLDER
    return TrainResponse(
        recipe=name,
        output=str(folder),
        steps=n_steps,
        measured=measured,
        skipped=skipped,
        model=str(model) if model.is_dir() else None,
        curves=[str(path) for path in sorted(folder.glob("**/curves.png"))],
    )


def plan_recipe(
    name: str, output: Path, *, card_bytes: int, processes: int = 1
) -> MemoryPlanResponse:
    """Count the memory that a recipe's run will hold on an accelerator, without one.

    Args:
        name: A file of `engine/training/recipes` that can say so.
        output: Above the folder of the run, which holds its settings.
        card_bytes: Memory of the card.
        processes: More than one share the weights, and the bytes are those of one of them.
    Raises:
        NotFoundError: No such recipe; the message lists what there is.
        InputRefusedError: The recipe cannot say, or its settings do not fit.
    """
    # Late for their weight: torch, and what trains.
    from engine.training import recipes

    recipe = plugins.load(recipes, name, defines=("run",))
    if not hasattr(recipe, "plan"):
        able = [
            other
            for other in plugins.names(recipes)
            if hasattr(plugins.load(recipes, other, defines=("run",)), "plan")
        ]
        raise InputRefusedError(
            f"the recipe {name} has no memory plan; there is one of {', '.join(able)}"
        )
    plan: TrainingMemory = recipe.plan(output / name, processes)
    return MemoryPlanResponse(
        recipe=name,
        stage=plan.stage,
        parameters=plan.n_parameters,
        learning=plan.n_learning,
        sample_tokens=plan.n_tokens,
        samples=plan.samples,
        gradient_checkpointing=plan.is_checkpointing,
        bf16=plan.is_bf16,
        processes=plan.n_processes,
        weights_bytes=plan.weights_bytes,
        adapters_bytes=plan.adapters_bytes,
        gradients_bytes=plan.gradients_bytes,
        optimiser_bytes=plan.optimiser_bytes,
        working_bytes=plan.working_bytes,
        total_bytes=plan.total_bytes,
        card_bytes=card_bytes,
        fits=plan.total_bytes <= LEAST_FREE * card_bytes,
    )


def describe_interruption(name: str, output: Path) -> str:
    """Return what an interrupted run has kept, and how to go on."""
    # Late for its weight: torch, which an interrupted run has loaded.
    from engine.training.checkpoint import FILE

    folder = output / name
    if not any(folder.glob(f"**/{FILE}")):
        return "stopped before the first checkpoint; the same command starts afresh"
    command = f"longwatch train {shlex.quote(name)} --output {shlex.quote(str(output))} --resume"
    return f"stopped; the last checkpoint below {folder} is kept; `{command}` goes on there"


def standing(line: "Progress") -> str:
    """Return loss, rate, speed and the time that is left at that speed."""
    rate = f"step {line.step}, loss {line.loss:.3f}, rate {line.learning_rate:.1e}"
    if not line.wall_s:
        return rate
    steps_per_s = line.step / line.wall_s
    left_s = (line.n_steps - line.step) / steps_per_s
    return f"{rate}, {steps_per_s:.2g} steps/s, {format_duration(left_s)} left"
