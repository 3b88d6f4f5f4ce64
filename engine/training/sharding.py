"""Weights, gradients and optimiser spread over the processes of a run: FSDP2 under our loop.

    layer            gathered for its own pass, forwards and backwards, and given back
    other learning   embedding, head, projector, a tower that learns: gathered for a micro-batch
    other frozen     whole in every process: gathered it would take the same memory

A gradient is averaged over the processes as soon as a layer's backward pass is done, and each
keeps its part of it; the optimiser sees parts alone. Checkpoints hold whole tensors, so that a run
goes on with any number of processes, sharded or not.

Source: torch's `fully_shard`; ZeRO, arXiv:1910.02054.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from engine.models.layers.weights import headers_only
from engine.training.distributed import Processes, current

CPU, META = torch.device("cpu"), torch.device("meta")
_Opened = TypeVar("_Opened")
_Result = TypeVar("_Result")
_Place = tuple[nn.Module, str]
"""A module, and the name of a tensor that is its own."""


def open_to_shard(
    open_net: Callable[[torch.device], _Opened], *, needs_values: bool = False
) -> _Opened:
    """Open what is to be sharded: on the CPU in the main process, without memory in the others.

    Args:
        open_net: Loads onto a device.
        needs_values: Whether it computes with what it loads; then every process has to load.
    """
    if current().is_main or needs_values:
        return open_net(CPU)
    with headers_only():
        return open_net(META)


class ShardedWeights:
    """A net whose weights lie in parts over the processes of a run."""

    def __init__(self, root: nn.Module, layers: Sequence[nn.Module], device: torch.device) -> None:
        """Bind a net that is whole yet.

        Args:
            root: All weights that a loss uses, what does not learn frozen already; the main
                process has the values, the others may have no memory.
            layers: Of `root`, gathered one by one; each is run by calling it, as often in every
                process.
            device: Where this process computes.
        """
        self._step, self._layers, self._device = _Step(root), tuple(layers), device
        self._places = _places(root)
        self._learning: list[_Place] = []
        self._settled: set[_Place] = set()
        self._used: set[_Place] = set()
        self._place_of: dict[int, _Place] = {}
        self._seen: set[nn.Module] = set()

    def settle(self, processes: Processes) -> None:
        """Give each process its part of every tensor of the main one; once, before the optimiser.

        Cost: a device holds its parts and one layer whole, a host what the caller has loaded.
        """
        mesh = init_device_mesh(self._device.type, (processes.count,))
        for layer in self._layers:
            self._receive(layer, processes)
            fully_shard(layer, mesh=mesh, reshard_after_forward=True)
            # The first of all hooks, and the one that comes once weights are gathered.
            layer.register_forward_pre_hook(_demand_gradient, prepend=True)
            layer.register_forward_pre_hook(self._note_layer)
        root = self._step.root
        self._receive(root, processes)
        kept = {
            weight
            for weight in root.parameters()
            if isinstance(weight, DTensor) or not weight.requires_grad
        }
        _shard_rest(self._step, mesh, kept)
        self._learning = [
            place
            for place, places in self._places.items()
            if place == places[0] and _tensor(place).requires_grad
        ]

    def run(self, compute: Callable[[], _Result]) -> _Result:
        """Return what `compute` returns, with the net's weights at hand; in all processes at once.

        A loss that it returns may be differentiated afterwards.
        """
        result: _Result = self._step(compute, self._note)
        if isinstance(result, Tensor) and result.requires_grad:
            self._used |= {
                self._place_of[leaf] for leaf in _leaves(result) if leaf in self._place_of
            }
        else:
            # Nothing follows that would give the weights back.
            assert isinstance(self._step, FSDPModule)
            self._step.reshard()
        return result

    def average_gradients(self) -> None:
        """Let parameters that no process has used keep no gradient; the others are averaged."""
        own = [float(place in self._used) for place in self._learning]
        counts = torch.tensor(own, device=self._device)
        torch.distributed.all_reduce(counts)
        for place, n_uses in zip(self._learning, counts.tolist(), strict=True):
            if not n_uses:
                _tensor(place).grad = None
        self._used.clear()

    def _receive(self, module: nn.Module, processes: Processes) -> None:
        """Put the main process's tensors of a module onto the device, where they are whole yet."""
        for owner in module.modules():
            own = (*owner.named_parameters(recurse=False), *owner.named_buffers(recurse=False))
            for name, tensor in own:
                places = self._places[owner, name]
                if self._settled.issuperset(places):
                    continue
                value = _broadcast(tensor, self._device, processes)
                for place in places:
                    setattr(place[0], place[1], value)
                self._settled.update(places)

    def _note_layer(self, layer: nn.Module, inputs: object) -> None:
        self._note(layer)

    def _note(self, module: nn.Module) -> None:
        """Remember whose the gathered tensors are: they stay the same from step to step."""
        if module in self._seen:
            return
        self._seen.add(module)
        for owner in module.modules():
            for name, tensor in owner.named_parameters(recurse=False):
                if not isinstance(tensor, DTensor):
                    self._place_of[id(tensor)] = self._places[owner, name][0]


class _Step(nn.Module):
    """The module that hooks watch: everything of a micro-batch happens in its call."""

    def __init__(self, root: nn.Module) -> None:
        super().__init__()
        self.root = root

    def forward(self, compute: Callable[[], _Result], note: Callable[[nn.Module], None]) -> _Result:
        """Return what `compute` returns."""
        note(self.root)
        return compute()


def gather_state(state: Any) -> Any:
    """Return a state dict with whole tensors on the CPU; for all processes at once.

    Args:
        state: Of a module or an optimiser, sharded or not.
    Returns:
        In the main process the same dict; in the others nothing is left of sharded tensors.
    Cost: tensors are gathered one by one; the main process's host memory takes them all.
    """
    if isinstance(state, DTensor):
        whole = state.full_tensor()
        return whole.cpu() if current().is_main else None
    if isinstance(state, Mapping):
        return {key: gather_state(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(gather_state(value) for value in state)
    return state


def part_of(whole: Any, like: Tensor) -> Any:
    """Return this process's part of a tensor that every process can read; no exchange.

    Args:
        whole: A tensor; anything that has not the shape of `like` is returned as it is.
        like: Sharded, or not.
    """
    if not isinstance(like, DTensor) or not isinstance(whole, Tensor) or whole.shape != like.shape:
        return whole
    mesh, placements = like.device_mesh, like.placements
    part: Tensor = distribute_tensor(whole, mesh, placements, src_data_rank=None)
    return part


def is_sharded(module: nn.Module) -> bool:
    """Say whether any parameter of a module lies in parts."""
    return any(isinstance(weight, DTensor) for weight in module.parameters())


def _shard_rest(step: _Step, mesh: DeviceMesh, kept: set[nn.Parameter]) -> None:
    """Shard what learns beside the layers, gathered from a micro-batch's start to its end."""
    fully_shard(step, mesh=mesh, reshard_after_forward=False, ignored_params=kept)
    assert isinstance(step, FSDPModule)
    # A sample of text alone uses no projector: its process still has to take part.
    step.set_reduce_scatter_unused_params(True)
    for module in step.modules():
        if isinstance(module, FSDPModule):
            # gloo has no mean; a sum that is divided is the same.
            module.set_force_sum_reduction_for_comms(mesh.device_type == "cpu")


def _demand_gradient(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Let a layer's input have a gradient, even if nothing before it learns.

    The gradients of a layer are exchanged once its input's is known; without one that comes at
    another time, and the processes would wait for one another in different places.
    """
    if not torch.is_grad_enabled():
        return inputs
    return tuple(
        value.detach().requires_grad_()
        if isinstance(value, Tensor) and value.is_floating_point() and not value.requires_grad
        else value
        for value in inputs
    )


def _broadcast(tensor: Tensor, device: torch.device, processes: Processes) -> Tensor:
    """Return the main process's tensor, on the device of each."""
    if processes.is_main:
        value = tensor.detach().to(device).contiguous()
    else:
        value = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
    if value.numel():
        # As bytes: not every backend knows every dtype.
        torch.distributed.broadcast(value.reshape(-1).view(torch.uint8), src=0)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(value, requires_grad=tensor.requires_grad)
    return value


def _places(root: nn.Module) -> dict[_Place, list[_Place]]:
    """Return where each tensor stands, by each of its places: modules may share one."""
    by_tensor: dict[int, list[_Place]] = {}
    for owner in root.modules():
        for name, tensor in (
            *owner.named_parameters(recurse=False),
            *owner.named_buffers(recurse=False),
        ):
            by_tensor.setdefault(id(tensor), []).append((owner, name))
    return {place: places for places in by_tensor.values() for place in places}


def _tensor(place: _Place) -> Tensor:
    owner, name = place
    tensor = getattr(owner, name)
    assert isinstance(tensor, Tensor)
    return tensor


def _leaves(loss: Tensor) -> Iterable[int]:
    """Yield the identities of the parameters that a loss depends on."""
    seen, waiting = set[Any](), [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield id(node.variable)
        waiting.extend(following for following, _ in node.next_functions)
