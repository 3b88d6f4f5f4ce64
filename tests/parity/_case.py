"""What a parity file hands back, and how a folder of cases is walked."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

import tests.parity

TOLERANCE = 1e-4
"""Absolute, in float32; a file that needs another one says why."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """The largest absolute difference from the expected numbers."""

    error: float
    tolerance: float = TOLERANCE

    @property
    def is_ok(self) -> bool:
        """Whether it is within tolerance; not a number is not."""
        return self.error <= self.tolerance


def difference(ours: Tensor, expected: Tensor) -> float:
    """Largest absolute difference; infinite where shapes differ."""
    if ours.shape != expected.shape:
        return float("inf")
    if not ours.numel():
        return 0.0
    return float((ours.detach().double() - expected.double()).abs().max())


def mismatches(ours: Tensor, expected: Tensor) -> Quantity:
    """How many entries differ, where none may."""
    same_shape = ours.shape == expected.shape
    return Quantity(float(torch.ne(ours, expected).sum()) if same_shape else float("inf"), 0.0)


def families() -> Mapping[str, ModuleType]:
    """The parity files by family."""
    names = (module.name for module in pkgutil.iter_modules(tests.parity.__path__))
    found = sorted(name for name in names if not name.startswith(("_", "test_")))
    return {name: importlib.import_module(f"tests.parity.{name}") for name in found}


def cases(root: Path) -> Iterator[tuple[str | None, Path]]:
    """Every case folder below `root` with the family that knows it; `None` if none does."""
    known = families()
    yield from _walk(root, known)


def _walk(folder: Path, known: Mapping[str, ModuleType]) -> Iterator[tuple[str | None, Path]]:
    family = next((name for name, module in known.items() if module.recognises(folder)), None)
    files = [path for path in folder.iterdir() if path.suffix in {".json", ".safetensors"}]
    if family is not None or files:
        yield family, folder
        return
    for below in sorted(path for path in folder.iterdir() if path.is_dir()):
        yield from _walk(below, known)
