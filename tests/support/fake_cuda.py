"""Accelerator without memory: tensors that say `cuda:0` and have shapes, but no values.

Code runs on it as on a card as far as devices, dtypes, shapes and lifetimes go. A torch without
CUDA refuses a few methods of such tensors before they reach an operation; here they are spelled
in operations.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CUDA = torch.device("cuda:0")
_aten = torch.ops.aten


@contextmanager
def fake_cuda() -> Iterator[None]:
    """Make tensors on `CUDA` within the block; those of the CPU are real."""
    # Else the first tensor on the device would look for a driver.
    was_initialised, torch.cuda._initialized = torch.cuda._initialized, True
    try:
        with _Spelled(), _FakeCuda():
            yield
    finally:
        torch.cuda._initialized = was_initialised


class _FakeCuda(TorchDispatchMode):
    """Runs what touches the stand-in without values, and all else as it is.

    What comes down to the host is zeros, so that the code goes on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        is_device = any(_is_fake(leaf) for leaf in leaves)
        if not is_device and not any(
            isinstance(leaf, torch.device) and leaf.type == "cuda" for leaf in leaves
        ):
            return func(*args, **kwargs)
        if func.name().startswith("aten::to."):
            with self:
                return func.decompose(*args, **kwargs)
        if func is _aten._local_scalar_dense.default:
            dtype = args[0].dtype
            return 0.0 if dtype.is_floating_point else (False if dtype is torch.bool else 0)
        if func is _aten._pin_memory.default:
            return args[0]
        if func is _aten.copy_.default and not _is_fake(args[0]):
            return args[0].zero_()
        if func is _aten._to_copy.default and not _is_fake(args[0]):
            # A stand-in of a host tensor would be computed with where its values are known.
            with self._fake:
                kind = kwargs.get("dtype") or args[0].dtype
                return torch.empty(args[0].shape, dtype=kind, device=CUDA)
        is_conv1d = func.name().startswith("aten::convolution") and args[0].ndim == 3
        if is_conv1d or func.name().startswith("aten::upsample"):
            # Their spelling in Python uses methods that are refused; sizes are all that is wanted.
            sizes = func(*tree_map(_without_device, args), **tree_map(_without_device, kwargs))
            with self._fake:
                return torch.empty(sizes.shape, dtype=sizes.dtype, device=CUDA)
        with self._fake:
            result = func(*args, **kwargs)
        return tree_map(_on_host, result)


def _without_device(value: Any) -> Any:
    if isinstance(value, Tensor):
        return torch.empty(value.shape, dtype=value.dtype, device="meta")
    return value


def _on_host(value: Any) -> Any:
    if isinstance(value, FakeTensor) and value.device.type == "cpu":
        return torch.zeros(value.shape, dtype=value.dtype)
    return value


class _Spelled(TorchFunctionMode):
    """Spells methods that a torch without CUDA refuses in operations that it has."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        spelled = _SPELLED.get(func)
        if spelled is not None and args and _is_fake(args[0]):
            return spelled(*args, **kwargs)
        if func is torch.tensor and torch.device(kwargs.get("device") or "cpu").type == "cuda":
            return func(*args, **{**kwargs, "device": None}).to(kwargs["device"])
        if func is Tensor.__setitem__ and any(_is_fake(part) for part in args):
            return _set_item(*args)
        return func(*args, **kwargs)


def _is_fake(value: Any) -> bool:
    return isinstance(value, FakeTensor) and value.device.type == "cuda"


def _get_item(tensor: Tensor, index: Any) -> Tensor:
    parts = list(index) if isinstance(index, tuple) else [index]
    used = sum(part is not None and part is not Ellipsis for part in parts)
    if Ellipsis in [part for part in parts if not isinstance(part, Tensor)]:
        at = next(i for i, part in enumerate(parts) if part is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (tensor.ndim - used)
    axis, indices = 0, list[Tensor | None]()
    for part in parts:
        if part is None:
            tensor = _aten.unsqueeze(tensor, axis)
        elif isinstance(part, slice):
            if part != slice(None):
                tensor = _aten.slice(tensor, axis, part.start, part.stop, part.step or 1)
        elif isinstance(part, Tensor | list):
            indices += [None] * (axis - len(indices))
            indices.append(part if isinstance(part, Tensor) else torch.tensor(part))
        else:
            tensor = _aten.select(tensor, axis, int(part))
            continue
        axis += 1
    return _aten.index(tensor, indices) if indices else tensor


def _set_item(tensor: Tensor, index: Any, value: Any) -> None:
    is_masked = isinstance(index, Tensor) or (
        isinstance(index, tuple) and any(isinstance(part, Tensor) for part in index)
    )
    if is_masked:
        _aten.index_put_(tensor, [index] if isinstance(index, Tensor) else list(index), value)
        return
    view = _get_item(tensor, index)
    if isinstance(value, Tensor):
        _aten.copy_(view, value)
    else:
        _aten.fill_(view, value)


def _copy(tensor: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    return _aten.copy_(tensor, source, non_blocking)


def _contiguous(tensor: Tensor, **_: Any) -> Tensor:
    if tensor.is_contiguous():
        return tensor
    return _aten.clone(tensor, memory_format=torch.contiguous_format)


def _number(kind: type) -> Any:
    return lambda tensor: kind(_aten._local_scalar_dense(tensor))


_SPELLED: Mapping[Any, Any] = {
    Tensor.__getitem__: _get_item,
    Tensor.copy_: _copy,
    Tensor.contiguous: _contiguous,
    Tensor.__invert__: lambda tensor: _aten.bitwise_not(tensor),
    Tensor.__int__: _number(int),
    Tensor.__index__: _number(int),
    Tensor.__float__: _number(float),
    Tensor.__bool__: _number(bool),
    Tensor.item: lambda tensor: _aten._local_scalar_dense(tensor),
    Tensor.tolist: lambda tensor: [0] * tensor.numel(),
}
