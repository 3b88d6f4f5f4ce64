"""The processes of one run, started by `accelerate launch`: their order, and what they exchange.

    main process   recipe until its first stage | stage | recipe | stage | rest of the recipe
    others         wait                         | recipe until there, stage | wait | ...

Between stages the main process goes ahead, and the others find its files there; after the last
stage they end. A run of one process is the same thing with nobody to wait for.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from engine.errors import MissingCapabilityError

_Line = TypeVar("_Line")
_Result = TypeVar("_Result")
_is_sharding = ContextVar("is_sharding", default=False)
_PATIENCE = timedelta(days=1)
"""Time that a process waits for another: one alone draws frames and measures scores. The launcher
notices a process that dies, and ends the others."""
_PLAIN = torch.contiguous_format
"""What is exchanged must lie in one piece; a transposed weight does not."""


class RunOverError(Exception):
    """The end of the recipe, reached by the main process: a signal that ends the others.

    Like StopIteration it reports no failure, so it is no LongwatchError and nobody is shown it.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """This process among all of its run."""

    index: int = 0
    """0 is the main one: it alone writes files and reports."""
    count: int = 1
    is_sharding: bool = False
    """Whether each is to hold a part of the weights, and not all of them."""

    @property
    def is_main(self) -> bool:
        """Whether this process writes and reports."""
        return self.index == 0

    def begin_stage(self) -> None:
        """Let the others follow to the stage that begins."""
        if self.is_main:
            self._share_is_over(is_over=False)

    def end_stage(self) -> None:
        """Wait until the main process has come to the next stage.

        Raises:
            RunOverError: There is none; never in the main process.
        """
        if not self.is_main:
            self.follow()

    def end_run(self) -> None:
        """Let the others end; for the main process."""
        self._share_is_over(is_over=True)

    def follow(self) -> None:
        """Wait for the main process to begin a stage or to end the run.

        Raises:
            RunOverError: It has come to the end.
        """
        if self._share_is_over(is_over=False):
            raise RunOverError

    def equalise(self, module: nn.Module) -> None:
        """Give every process the main one's weights and buffers."""
        if self.count == 1:
            return
        from accelerate.utils import broadcast

        with torch.no_grad():
            for tensor in (*module.parameters(), *module.buffers()):
                tensor.copy_(broadcast(tensor.detach().clone(memory_format=_PLAIN)))

    def average_gradients(self, module: nn.Module) -> None:
        """Replace gradients by their mean; parameters that no process has used keep none."""
        if self.count == 1:
            return
        from accelerate.utils import reduce

        learnt = [parameter for parameter in module.parameters() if parameter.requires_grad]
        is_used = torch.tensor([float(parameter.grad is not None) for parameter in learnt])
        counts = reduce(is_used.to(learnt[0].device), "sum")
        for parameter, n_uses in zip(learnt, counts.tolist(), strict=True):
            if n_uses:
                own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad = reduce(own.contiguous(), "mean")

    def mean(self, values: Sequence[Tensor]) -> float:
        """Return the mean over values of all processes, the same number of each."""
        own = torch.stack(tuple(values)).float().mean()
        if self.count > 1:
            from accelerate.utils import reduce

            own = reduce(own, "mean")
        return float(own)

    def _share_is_over(self, *, is_over: bool) -> bool:
        """Return in every process whether the main one has come to the end of the recipe."""
        if self.count == 1:
            return is_over
        from accelerate import PartialState
        from accelerate.utils import broadcast

        flag = torch.tensor(float(is_over), device=PartialState().device)
        return bool(broadcast(flag))


@runtime_checkable
class WeightsOverProcesses(Protocol):
    """The weights of a stage, wherever they lie, and what the processes exchange of them."""

    def settle(self, processes: Processes) -> None:
        """Give every process what it needs of the main one's weights, before the first step."""
        ...

    def run(self, compute: Callable[[], _Result]) -> _Result:
        """Return what `compute` returns, with all weights at hand."""
        ...

    def average_gradients(self) -> None:
        """Complete the gradients of a step."""
        ...


class CopiedWeights:
    """Weights that every process holds whole."""

    def __init__(self, module: nn.Module) -> None:
        self._module, self._processes = module, Processes()

    def settle(self, processes: Processes) -> None:
        """Give every process the main one's weights and buffers."""
        self._processes = processes
        processes.equalise(self._module)

    def run(self, compute: Callable[[], _Result]) -> _Result:
        """Return what `compute` returns."""
        return compute()

    def average_gradients(self) -> None:
        """Replace gradients by their mean over the processes."""
        self._processes.average_gradients(self._module)


@contextmanager
def joined(*, shard: bool = False) -> Iterator[Processes]:
    """Meet the other processes that the launcher has started, and part from them at the end.

    Args:
        shard: Whether they are to share one copy of the weights.
    Raises:
        MissingCapabilityError: The package that joins them is not installed.
    """
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise MissingCapabilityError(
            "training in several processes needs the package accelerate",
            hint="pip install 'longwatch[train]', or train in one process without a launcher",
        ) from error
    if torch.cuda.is_available():
        # Both: a stage's module lies where its recipe puts it.
        PartialState(backend="cuda:nccl,cpu:gloo", timeout=_PATIENCE)
    else:
        PartialState(cpu=True, timeout=_PATIENCE)
    before = _is_sharding.set(shard)
    try:
        yield current()
    finally:
        _is_sharding.reset(before)
        # Its threads may hold tensors that Python knows: one that gives such a tensor back while
        # the interpreter ends aborts the process.
        torch.distributed.destroy_process_group()


def current() -> Processes:
    """Return the processes that have met; this one alone where none have."""
    group = torch.distributed
    if not (group.is_available() and group.is_initialized()):
        return Processes()
    return Processes(
        index=group.get_rank(), count=group.get_world_size(), is_sharding=_is_sharding.get()
    )


def run_together(
    run: Callable[[Path, bool], Iterator[_Line]], output: Path, *, resume: bool
) -> Iterator[_Line]:
    """Run a recipe in every process; lines come from the main one alone.

    Args:
        run: The recipe's.
        output: The same folder for all of them.
        resume: Of the main process; the others always take up what it has left.
    """
    processes = current()
    if processes.is_main:
        yield from run(output, resume)
        processes.end_run()
        return
    try:
        processes.follow()
        for _ in run(output, True):
            pass
    except RunOverError:
        return
