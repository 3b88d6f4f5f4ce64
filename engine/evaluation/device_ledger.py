"""Account of what code asks of a device: operations, copies to and from the host, peak bytes.

Runs on a real accelerator and on stand-ins alike: it reads only devices, shapes and storages.
`longwatch bench gpu` counts with it on a card, the tests on tensors without memory.
"""

import weakref
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_READS: Final = {"aten::_local_scalar_dense", "aten::item"}
_COPIES: Final = {"aten::_to_copy", "aten::copy_", "aten::_pin_memory"}
_FREE: Final = {
    "aten::empty",
    "aten::empty_strided",
    "aten::empty_like",
    "aten::new_empty",
    "aten::new_empty_strided",
    "aten::_unsafe_view",
    "aten::_reshape_alias",
    "aten::detach",
    "aten::lift_fresh",
    "aten::set_",
}
"""Operations that start no kernel."""
_FUSED: Final = {"aten::rms_norm", "aten::scaled_dot_product_attention"}
"""Operations taken for one kernel each, as a CUDA build runs them in 16 bit."""


@dataclass
class DeviceCounts:
    """Operations, copies and bytes of a device between two moments."""

    operations: Counter[str] = field(default_factory=Counter)
    """Kernels by the name of their operation; views and allocations start none."""
    downloads: list[int] = field(default_factory=list)
    """Bytes of each copy or read to the host: it waits for all the work before it."""
    uploads: list[int] = field(default_factory=list)
    """Bytes of each copy from the host."""
    blocking_uploads: int = 0
    """Uploads that wait, because their source may change."""
    peak_bytes: int = 0
    """Most that lived at once, beyond what lived at the start."""

    @property
    def n_operations(self) -> int:
        """Kernels started."""
        return self.operations.total()

    @property
    def n_round_trips(self) -> int:
        """Moments at which the host waits for the device."""
        return len(self.downloads) + self.blocking_uploads


class DeviceLedger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """DeviceCounts what happens on devices other than the CPU within its `with` block.

    Raises:
        ValueError: An operation mixes tensors of the host and of a device, which only a copy may.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts = DeviceCounts()
        self._live: dict[int, int] = {}
        self._live_bytes = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one operation and write it down."""
        kwargs = dict(kwargs or {})
        name = func._schema.name
        if name.startswith("prim::"):
            return func(*args, **kwargs)
        # In inference mode composite operations arrive whole; their parts are what runs.
        composite = torch._C.DispatchKey.CompositeImplicitAutograd
        has_parts = torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), composite)
        if has_parts and name not in _FUSED:
            with self:
                return func._op_dk(composite, *args, **kwargs)
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if name in _READS:
            if _is_device(inputs[0]):
                self.counts.downloads.append(inputs[0].nbytes)
            return func(*args, **kwargs)
        for tensor in inputs:
            if _is_device(tensor):
                self._follow(tensor, is_new=False)
        result = func(*args, **kwargs)
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        for output in outputs:
            if _is_device(output):
                self._follow(output, is_new=True)
        if not any(_is_device(tensor) for tensor in (*inputs, *outputs)):
            return result
        if name in _COPIES and self._wrote_copy(name, inputs, outputs, args, kwargs):
            return result
        self._refuse_mixture(name, inputs)
        if name not in _FREE and not func.is_view:
            self.counts.operations[name.removeprefix("aten::")] += 1
        return result

    def _wrote_copy(
        self,
        name: str,
        inputs: list[Tensor],
        outputs: list[Tensor],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> bool:
        """Write down a copy between host and device; tell whether it was one."""
        source = inputs[1] if name == "aten::copy_" and len(inputs) > 1 else inputs[0]
        target = outputs[0]
        if _is_device(source) == _is_device(target):
            return False
        if _is_device(source):
            self.counts.downloads.append(source.nbytes)
            return True
        self.counts.uploads.append(source.nbytes)
        waits = not bool(kwargs.get("non_blocking", len(args) > 2 and args[2]))
        self.counts.blocking_uploads += waits
        return True

    def _follow(self, tensor: Tensor, *, is_new: bool) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._live:
            return
        # What was there before counts as nothing.
        n_bytes = storage.nbytes() if is_new else 0
        self._live[key] = n_bytes
        self._live_bytes += n_bytes
        self.counts.peak_bytes = max(self.counts.peak_bytes, self._live_bytes)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self._live_bytes -= self._live.pop(key, 0)

    def _refuse_mixture(self, name: str, inputs: list[Tensor]) -> None:
        # A number in a tensor of no axes may come from the host; anything larger may not.
        foreign = [tensor for tensor in inputs if not _is_device(tensor) and tensor.ndim]
        # Indexing takes indices from either side, and uploads those of the host.
        if foreign and "index" in name:
            self.counts.uploads += [tensor.nbytes for tensor in foreign]
            self.counts.blocking_uploads += len(foreign)
        elif foreign:
            shapes = ", ".join(f"{tensor.device} {tuple(tensor.shape)}" for tensor in inputs)
            raise ValueError(f"{name} mixes host and device: {shapes}")


def _is_device(tensor: Tensor) -> bool:
    return tensor.device.type != "cpu"
