"""Checkpoint folders for tests: copied, with tensors changed, split or taken away."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

Tensors = dict[str, Tensor]


def tensors_of(folder: Path) -> Tensors:
    """All tensors of a folder's shards."""
    found: Tensors = {}
    for path in sorted(folder.glob("model*.safetensors")):
        found |= load_file(path)
    return found


def rewritten(source: Path, target: Path, change: Callable[[Tensors], Tensors]) -> Path:
    """A copy of a checkpoint as one file, with its tensors changed."""
    shutil.copytree(source, target)
    tensors = change(tensors_of(source))
    for path in target.glob("model*"):
        path.unlink()
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


def edit_config(folder: Path, **fields: object) -> None:
    """Set fields of a `config.json`; `None` removes one."""
    path = folder / "config.json"
    said = json.loads(path.read_text()) | fields
    kept = {key: value for key, value in said.items() if value is not None}
    path.write_text(json.dumps(kept))


def without(key: str) -> Callable[[Tensors], Tensors]:
    """Lose one tensor."""
    return lambda tensors: {name: each for name, each in tensors.items() if name != key}
