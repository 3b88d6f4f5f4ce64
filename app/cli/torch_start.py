"""A quicker start of torch for commands that ask and end.

*Decision*: torch's kernels for tensors without memory are loaded when somebody asks for one of
them by name. *Because* `import torch` took 3.0 s of processor time with them and 2.2 s without (one
run each, 2-core AMD EPYC under load, torch 2.13, 2026-11-29), and an answer needs none: nets that
are built on the meta device draw their weights without them, too, and without the compiler that
they bring along. *Not*: `torch.export`, 0.3 s more; used late, it imports itself in a circle.
*Revisit when* torch loads them late by itself.
"""

import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

LATE: Final = "torch._meta_registrations"
"""The module that `import torch` names and does not need."""

_loading: Final = threading.RLock()


def load_late() -> None:
    """Have the module `LATE` run at its first use; before torch is imported."""
    if "torch" not in sys.modules and not any(isinstance(item, _Finder) for item in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _LateModule(ModuleType):
    """A module that runs its file when a name is asked of it that it does not have yet."""

    def __getattr__(self, name: str) -> Any:
        # `inspect` asks every module for its file and the like: that is no use of it.
        if name.startswith("__"):
            raise AttributeError(name)
        with _loading:
            loader = self.__dict__.pop("_late_loader", None)
            if loader is not None:
                loader.exec_module(self)
                object.__setattr__(self, "__class__", ModuleType)
        if type(self) is _LateModule:  # Its own file asks, which is not through yet.
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self, name)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != LATE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _LateLoader(spec.loader)
        return spec


class _LateLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _LateModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["_late_loader"] = self._loader
