"""What the released 7B sizes would ask of a card, as a table: `python -m tests.bench.dry_run`.

Counted on tensors without memory; `tests/engine/test_dry_run.py` holds the same to budgets.
"""

import tempfile
from pathlib import Path

import torch

from engine.evaluation.device_ledger import DeviceCounts
from engine.protocols import Sampling
from tests.support.dry_run import counted, encoded, recalled_chunks
from tests.support.fake_cuda import CUDA, fake_cuda
from tests.support.released_sizes import FAMILIES, build_model

RECALLED = {"video_xl": 180, "apollo": 8, "pllava": 1, "videollama2": 2}
"""Chunks of the question; 32,400 latents of Video-XL."""


def main() -> None:
    """Print a line for each family and phase."""
    print("| Family | Phase | operations | round trips | GB held at most |")
    print("|---|---|---|---|---|")
    for family in FAMILIES:
        with fake_cuda(), tempfile.TemporaryDirectory() as folder:
            for phase, counts in _phases(family, Path(folder)).items():
                held = f"{counts.peak_bytes / 1e9:.2f}"
                trips, n = counts.n_round_trips, counts.n_operations
                print(f"| {family} | {phase} | {n:,} | {trips} | {held} |", flush=True)


def _phases(family: str, folder: Path) -> dict[str, DeviceCounts]:
    model = build_model(family, CUDA, torch.bfloat16, folder)
    tokens, encoding = encoded(model)
    stream = model.open_stream()
    model.compress(tokens, stream)
    latents, compressing = counted(lambda: model.compress(tokens, stream))
    recalled = recalled_chunks(model, latents, RECALLED[family])
    steps = model.generate("What is there?", recalled, Sampling(max_tokens=8))
    _, first = counted(lambda: next(steps))
    _, step = counted(lambda: next(steps))
    n = sum(chunk.latents.n_latents for chunk in recalled)
    return {
        f"encode {model.card.chunk_frames} frames": encoding,
        "compress them": compressing,
        f"first token behind {n:,} latents": first,
        "each further token": step,
    }


if __name__ == "__main__":
    main()
