"""The checkpoint folder that a fine-tuning run leaves: what is copied beside the new weights."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from engine.plural import counted
from engine.training.data.samples import BadSample

WEIGHTS = frozenset({".safetensors", ".bin", ".pt", ".pth"})
CARD = "README.md"


def copy_other_files(source: Path, folder: Path) -> None:
    """Copy what a checkpoint folder holds beside its weights, towers of their own included.

    Files that are there already stay; a folder that has weights gets no others. A model card stays
    behind: its figures are of the weights that it came with.
    """
    full = {path.parent for path in folder.rglob("*") if path.suffix in WEIGHTS}
    for path in sorted(source.rglob("*")):
        target = folder / path.relative_to(source)
        if not path.is_file() or target.exists() or path.name == CARD:
            continue
        is_weights = path.suffix in WEIGHTS or path.name.endswith(".index.json")
        if not (is_weights and target.parent in full):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def export_note(folder: Path, bad: Sequence[BadSample]) -> str:
    """Say where the checkpoint is, and how many samples were skipped."""
    return f"{folder}; {counted(len(bad), 'sample')} skipped" if bad else str(folder)
