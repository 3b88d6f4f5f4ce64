"""Quantities that a parity file hands back, and the walk over a folder of cases."""

import importlib
import json
import pkgutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import torch
from jaxtyping import UInt8
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
        """Whether it is within tolerance; not-a-number is not."""
        return self.error <= self.tolerance


def difference(ours: Tensor, expected: Tensor) -> float:
    """Return the largest absolute difference; infinite where shapes differ."""
    if ours.shape != expected.shape:
        return float("inf")
    if not ours.numel():
        return 0.0
    return float((ours.detach().double() - expected.double()).abs().max())


def mismatches(ours: Tensor, expected: Tensor) -> Quantity:
    """Count the entries that differ, where none may."""
    same_shape = ours.shape == expected.shape
    return Quantity(float(torch.ne(ours, expected).sum()) if same_shape else float("inf"), 0.0)


def config_of(folder: Path) -> dict[str, Any]:
    """Read a case's `config.json`; empty where it has none."""
    path = folder / "config.json"
    if not path.is_file():
        return {}
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return config


@contextmanager
def checkpoint(folder: Path) -> Iterator[Path]:
    """Lay out a case's config and weights under the file names of a release."""
    with TemporaryDirectory() as name:
        home = Path(name)
        (home / "config.json").symlink_to(folder.resolve() / "config.json")
        (home / "model.safetensors").symlink_to(folder.resolve() / "weights.safetensors")
        yield home


def drawn_frames(n_frames: int, height_px: int, width_px: int) -> UInt8[Tensor, "frame 3 h w"]:
    """Draw the frames of the preprocessing cases: two ramps, and a pattern that moves."""
    row, col = torch.arange(height_px)[:, None], torch.arange(width_px)[None, :]
    red = (255 * col // max(1, width_px - 1)).expand(height_px, width_px)
    green = (255 * row // max(1, height_px - 1)).expand(height_px, width_px)
    planes = [
        torch.stack((red, green, (3 * col + 5 * row + 40 * time) % 256)) for time in range(n_frames)
    ]
    return torch.stack(planes).to(torch.uint8)


def families() -> Mapping[str, ModuleType]:
    """Import the parity files, by family."""
    names = (module.name for module in pkgutil.iter_modules(tests.parity.__path__))
    chosen = sorted(name for name in names if not name.startswith(("_", "test_")))
    return {name: importlib.import_module(f"tests.parity.{name}") for name in chosen}


def cases(root: Path) -> Iterator[tuple[str | None, Path]]:
    """Yield every case folder below `root` with its family; `None` if none knows it."""
    by_name = families()
    yield from _walk(root, by_name)


def _walk(folder: Path, by_name: Mapping[str, ModuleType]) -> Iterator[tuple[str | None, Path]]:
    family = next((name for name, module in by_name.items() if module.recognises(folder)), None)
    files = [path for path in folder.iterdir() if path.suffix in {".json", ".safetensors"}]
    if family is not None or files:
        yield family, folder
        return
    for below in sorted(path for path in folder.iterdir() if path.is_dir()):
        yield from _walk(below, by_name)
