"""Memory that a step of any family holds, counted on tensors without memory.

A net without weights runs a micro-batch of the longest samples forwards and backwards, with every
byte counted. Of several processes that shard the weights, one process's bytes are at most the sum
of that and of what is gathered.

Left out: what the allocator wastes between blocks, and the libraries' own working memory.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils.rnn import pad_sequence

from engine.device import pick_device
from engine.models.layers.allocation import materialise
from engine.models.layers.decoder import Decoder
from engine.training.distributed import current
from engine.training.finetune.causal_loss import run_causal
from engine.training.finetune.precision import plans_bf16, round_frozen
from engine.training.finetune.settings import TuningConfig, recomputes_layers
from engine.training.finetune.stage_config import StageConfig, select_parts
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
    """Of the whole model, as are those that learn."""
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
    n_processes: int = 1
    """Processes that share one copy of the weights."""
    weights_bytes: int
    """All that the process holds between steps, adapters included."""
    adapters_bytes: int
    gradients_bytes: int
    optimiser_bytes: int
    """AdamW's two means of every number that learns."""
    working_bytes: int
    """Most that a micro-batch holds beside them: activations, 16-bit copies, passing gradients,
    weights gathered from other processes; or the optimiser in its step, if that is more."""

    @property
    def total_bytes(self) -> int:
        """All of it together."""
        held = self.weights_bytes + self.gradients_bytes + self.optimiser_bytes
        return held + self.working_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSizes:
    """A stage's net without memory, and what a micro-batch of it is."""

    stage: str
    root: nn.Module
    """All weights, on the meta device; what does not learn is frozen."""
    module: nn.Module
    """The parts that learn."""
    layers: Sequence[nn.Module]
    """Gathered one by one where weights are sharded."""
    n_parameters: int | None = None
    """Of the whole model, where some of its parameters hold several; `None` counts them."""
    adapters: Iterable[nn.Parameter] = ()
    n_tokens: int
    samples: int
    is_checkpointing: bool = False
    is_bf16: bool = False
    peak_bytes: Callable[[], int]
    """Returns the most that a micro-batch holds; called once the net has memory that is none."""


def count_memory(step: StepSizes, *, n_processes: int = 1) -> TrainingMemory:
    """Count what one process of a run will hold.

    Args:
        step: The stage; its net gets memory that is none, and gradients.
        n_processes: More than one share the weights.
    Raises:
        ValueError: `n_processes` is below 1.
    Cost: seconds, most of them for loading what traces without memory.
    """
    if n_processes < 1:
        raise ValueError(f"n_processes must be at least 1, not {n_processes}")
    step.module.train()
    # What is given as real tensors stays readable: layouts decide what is run.
    with FakeTensorMode(allow_non_fake_inputs=True):
        materialise(step.root, CPU, None)
        learning = _learning(step.module)
        for weight in learning:
            # As a micro-batch meets them that is not the first of its step.
            weight.grad = torch.empty_like(weight)
        peak_bytes = step.peak_bytes()
    whole = list({id(weight): weight for weight in step.root.parameters()}.values())
    learning_bytes = _bytes(learning)
    memory = TrainingMemory(
        stage=step.stage,
        n_parameters=step.n_parameters or sum(weight.numel() for weight in whole),
        n_learning=sum(weight.numel() for weight in learning),
        n_tokens=step.n_tokens,
        samples=step.samples,
        is_checkpointing=step.is_checkpointing,
        is_bf16=step.is_bf16,
        weights_bytes=_bytes(whole),
        adapters_bytes=_bytes(step.adapters),
        gradients_bytes=learning_bytes,
        optimiser_bytes=2 * learning_bytes,
        # torch's AdamW on a card computes all updates before it applies them.
        working_bytes=max(peak_bytes, learning_bytes),
    )
    return memory if n_processes == 1 else _shared(memory, step, peak_bytes, n_processes)


def plan_causal(
    root: nn.Module,
    decoder: Decoder,
    visual: Callable[[], Float[Tensor, "visual width"]],
    stage: StageConfig,
    config: TuningConfig,
    *,
    max_tokens: int,
    adapters: Iterable[nn.Parameter] = (),
    n_processes: int = 1,
) -> TrainingMemory:
    """Count what a stage of a family without summary tokens will hold.

    Args:
        root: Holds the parts that the stage names; on the meta device.
        decoder: The net's.
        visual: Makes the visual tokens of the longest sample.
        stage: What learns.
        config: The settings.
        max_tokens: Longer samples lose their end.
        adapters: Those of the weights that are.
        n_processes: More than one share the weights.
    """
    module, _ = select_parts(root, stage)
    with torch.no_grad():
        n_tokens = min(max_tokens, len(visual()) + TEXT_TOKENS)
    is_bf16, is_checkpointing = plans_bf16(config), recomputes_layers(stage, config)
    if is_bf16:
        round_frozen(root)

    def step_bytes(n_samples: int) -> int:
        with LiveBytes() as live:
            with torch.autocast(
                "cpu", torch.bfloat16, enabled=is_bf16, cache_enabled=n_processes == 1
            ):
                visuals = [visual() for _ in range(n_samples)]
                loss = _causal_loss(
                    decoder, visuals, n_tokens, gradient_checkpointing=is_checkpointing
                )
            # They are gone in a run, too, before the backward pass begins.
            visuals.clear()
            loss.backward()  # type: ignore[no-untyped-call]
        return int(live.peak)

    step = StepSizes(
        stage=stage.name,
        root=root,
        module=module,
        layers=decoder.stack(),
        adapters=tuple(adapters),
        n_tokens=n_tokens,
        samples=config.samples_per_step,
        is_checkpointing=is_checkpointing,
        is_bf16=is_bf16,
        peak_bytes=lambda: _two_at_most(step_bytes, config.samples_per_step),
    )
    return count_memory(step, n_processes=n_processes)


def announce(config: TuningConfig, plan: Callable[[int], TrainingMemory]) -> Iterator[Progress]:
    """Yield a line with the plan, where a run goes to an accelerator, whose memory is short.

    Args:
        config: The settings.
        plan: Counts the memory of one of so many processes that share the weights.
    """
    if pick_device(config.device).type == "cpu":
        return
    processes = current()
    memory = plan(processes.count if processes.is_sharding else 1)
    parts = {
        "weights": memory.weights_bytes,
        "gradients": memory.gradients_bytes,
        "optimiser": memory.optimiser_bytes,
        "working": memory.working_bytes,
    }
    sums = ", ".join(f"{name} {n_bytes / 1e9:.1f} GB" for name, n_bytes in parts.items())
    note = f"memory planned: {memory.total_bytes / 1e9:.1f} GB ({sums})"
    yield Progress(stage="memory", step=0, n_steps=0, note=note)


def _two_at_most(step_bytes: Callable[[int], int], n_samples: int) -> int:
    """Return the bytes of a micro-batch: beyond two samples each adds what the second one did.

    Args:
        step_bytes: Returns those of one sample or two.
        n_samples: Of the micro-batch.
    """
    first = step_bytes(1)
    if n_samples == 1:
        return first
    second = step_bytes(2)
    return second + (n_samples - 2) * (second - first)


def _causal_loss(
    decoder: Decoder,
    visuals: Sequence[Tensor],
    n_tokens: int,
    *,
    gradient_checkpointing: bool = False,
) -> Tensor:
    """Return a loss of the cost of `trainer.batch_loss`, whose own steps depend on contents."""
    rows = []
    for visual in visuals:
        n = len(visual) + TEXT_TOKENS
        is_visual = torch.zeros(n, 1, dtype=torch.bool)
        embedded = decoder.embed(torch.zeros(n, dtype=torch.int64)).float()
        rows.append(embedded.masked_scatter(is_visual, visual.to(embedded))[:n_tokens])
    padded = pad_sequence(rows, batch_first=True)
    hidden = run_causal(decoder, padded, gradient_checkpointing=gradient_checkpointing)[:, :-1]
    labelled = hidden[:, -LABELLED_TOKENS:].flatten(0, 1)
    targets = torch.zeros(len(labelled), dtype=torch.int64)
    return F.cross_entropy(decoder.logits(labelled).float(), targets)


def _shared(
    memory: TrainingMemory, step: StepSizes, peak_bytes: int, n_processes: int
) -> TrainingMemory:
    """Return what one of several processes holds at most that shard the weights.

    What is gathered is added to the peak of a whole net, which it may miss: of small decoders a
    process was seen to hold 4 to 17 % less (tests).
    """
    inside = {id(weight) for layer in step.layers for weight in layer.parameters()}
    whole = {id(weight): weight for weight in step.root.parameters()}.values()
    frozen = [w for w in whole if id(w) not in inside and not w.requires_grad]
    gathered_bytes = _bytes(w for w in _learning(step.module) if id(w) not in inside)
    layer_bytes = max((_bytes(layer.parameters()) for layer in step.layers), default=0)
    learning_bytes = max((_bytes(_learning(layer)) for layer in step.layers), default=0)
    # A layer and the next one's parts as they come; its gradients, and those of the one before as
    # they leave.
    of_layers = 2 * layer_bytes + 2 * learning_bytes
    # What is beside the layers is gathered all the time, and so are its gradients; they leave last.
    working_bytes = gathered_bytes + max(
        peak_bytes + gathered_bytes + of_layers, 2 * gathered_bytes
    )

    def part(n_bytes: int) -> int:
        return -(-n_bytes // n_processes)

    frozen_bytes = _bytes(frozen)
    return replace(
        memory,
        n_processes=n_processes,
        weights_bytes=frozen_bytes + part(memory.weights_bytes - frozen_bytes),
        adapters_bytes=part(memory.adapters_bytes),
        gradients_bytes=part(memory.gradients_bytes),
        optimiser_bytes=part(memory.optimiser_bytes),
        working_bytes=max(working_bytes, part(memory.gradients_bytes)),
    )


def _learning(module: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in module.parameters() if weight.requires_grad]


def _bytes(weights: Iterable[Tensor]) -> int:
    return sum(weight.nbytes for weight in weights)
