"""Memory for a net that was built without any: at once, or for each matrix when it is read.

Decision: where a format of fewer bits is asked for, a matrix of a decoder's layers gets memory with
its first value and is turned once it is whole, *because* a machine that a 7B in 4 bits suits has no
15 GB to hold it in 16 bits first. *Measured*: see docs/models.md.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import nn

from engine.allocator import return_free_memory
from engine.models.layers.weight_formats import KINDS, is_turned
from engine.records import WeightFormat

_LAYERS = "decoder.layers."
"""Where every family's net has the layers of its decoder."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a matrix without memory stands, and what it will be."""

    owner: nn.Module
    name: str
    device: torch.device
    dtype: torch.dtype | None


class MatrixStore:
    """Matrices that are turned into a format one by one, while their net is being filled."""

    def __init__(self, weights: WeightFormat, but: str) -> None:
        self._kind, self._but = KINDS[weights], re.compile(but)
        self._places: dict[nn.Module, _Place] = {}

    def takes(
        self,
        net: nn.Module,
        path: str,
        *,
        device: torch.device,
        dtype: torch.dtype | None,
    ) -> bool:
        """Note a module of a net that gets its memory later; false if it gets it now."""
        module = net.get_submodule(path)
        if not path.startswith(_LAYERS) or self._but.fullmatch(path):
            return False
        owner, _, name = path.rpartition(".")
        if not is_turned(name, module):
            return False
        self._places[module] = _Place(net.get_submodule(owner), name, device, dtype)
        return True

    def open(self, module: nn.Module) -> None:
        """Give a matrix memory, if it has none yet; other modules have theirs."""
        place = self._places.get(module)
        if place is not None and module.get_parameter("weight").is_meta:
            _materialise(module, {}, place.device, place.dtype)

    def close(self, module: nn.Module) -> None:
        """Turn a matrix that is whole, and let go of it."""
        place = self._places.pop(module, None)
        if place is None:
            return
        assert isinstance(module, nn.Linear)
        setattr(place.owner, place.name, self._kind(module))
        # Who fills the net still knows the module.
        module.weight = nn.Parameter(module.weight.detach().to("meta"), requires_grad=False)
        # What stays lies between what went: glibc would keep nearly all of it.
        return_free_memory()


_store = ContextVar[MatrixStore | None]("_store", default=None)


@contextmanager
def matrices_in(weights: WeightFormat, *, but: str = r"(?!)") -> Iterator[None]:
    """Have every net that is loaded meanwhile hold the matrices of its decoder in a format.

    Host and device then hold what is turned already, and beside it one matrix of the model's dtype.

    Args:
        weights: `native` changes nothing.
        but: Regular expression of names that stay as they are read; none by itself.
    """
    token = _store.set(None if weights == "native" else MatrixStore(weights, but))
    try:
        yield
    finally:
        _store.reset(token)


def matrix_store() -> MatrixStore | None:
    """Return the store of the loading that goes on, if it has one."""
    return _store.get()


def materialise(
    module: nn.Module, device: torch.device, dtype: torch.dtype | None, *, but: str = ""
) -> None:
    """Give a module built on the meta device uninitialised memory.

    Args:
        module: On the meta device.
        device: Where its parameters get their memory.
        dtype: Of the parameters; `None` keeps each one's own.
        but: Regular expression of the names of weights that stay without memory, with all that
            belongs to their modules.

    Written out, because `to_empty` imports torch's compiler and sympy: 1 s of CPU.
    """
    store = matrix_store()
    # The old ones are held on to, so that no new one is born with the id of one that is gone.
    pairs: dict[int, tuple[nn.Parameter, nn.Parameter]] = {}
    for prefix, owner in module.named_modules():
        if but and re.fullmatch(but, f"{prefix}.weight"):
            continue
        if store is None or not store.takes(module, prefix, device=device, dtype=dtype):
            _materialise(owner, pairs, device, dtype)


def _materialise(
    owner: nn.Module,
    pairs: dict[int, tuple[nn.Parameter, nn.Parameter]],
    device: torch.device,
    dtype: torch.dtype | None,
) -> None:
    """Give the parameters and buffers that are a module's own their memory."""
    for name, old in list(owner.named_parameters(recurse=False)):
        # A parameter that two modules share stays shared.
        if id(old) not in pairs:
            memory = torch.empty(old.shape, dtype=dtype or old.dtype, device=device)
            pairs[id(old)] = old, nn.Parameter(memory, requires_grad=old.requires_grad)
        setattr(owner, name, pairs[id(old)][1])
    for name, buffer in list(owner.named_buffers(recurse=False)):
        kind = dtype if dtype and buffer.is_floating_point() else buffer.dtype
        setattr(owner, name, torch.empty(buffer.shape, dtype=kind, device=device))
