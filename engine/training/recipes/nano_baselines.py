"""Four ways to keep a chunk, equally trained: VSTs, average pooling, uniform sampling, everything.

Command: `longwatch train nano_baselines`, with `nano_baselines.json` in the output folder:
{"nano": "../nano"} names the folder of a `longwatch train nano` whose features they share.
Then `python -m tests.bench.nano_baselines runs/nano_baselines --json FILE` measures them.
Hardware and time: one core of an Intel Xeon with AMX (avx512_bf16), no GPU; 32 minutes of
processor time for the four variants, 5 more for the measurement.
Expect: needles of one frame, from the full memory of 64 to 256 frames at ratio 8, about 0.9 for
VSTs and below 0.3 for the others of that size (2026-11-21; all variants are still learning after
1,000 steps, so what they would reach in the end is not known).
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from engine.errors import NotFoundError
from engine.training.loop import LoopConfig, Progress
from engine.training.nano.baselines import BaselinePlan, run_baselines
from engine.training.recipes import nano

CONFIG = "nano_baselines.json"

PLAN = BaselinePlan(
    nano=replace(nano.PLAN, decoder=replace(nano.PLAN.decoder, n_chunks=32)),
    loop=LoopConfig(n_steps=1000, learning_rate=1.5e-3, warmup_steps=60, save_every=250),
)


def run(output: Path, resume: bool) -> Iterator[Progress]:
    """Train, yielding progress."""
    yield from run_baselines(PLAN, nano_folder(output), output, resume=resume)


def nano_folder(output: Path) -> Path:
    """Return the nano run that an output folder names.

    Raises:
        NotFoundError: It names none.
    """
    settings = output / CONFIG
    hint = 'write {"nano": "../nano"} into it: the folder of a run of the recipe nano'
    if not settings.is_file():
        raise NotFoundError(f"there is no {settings}", hint=hint)
    folder = json.loads(settings.read_text(encoding="utf-8")).get("nano")
    if not isinstance(folder, str):
        raise NotFoundError(f"{settings} names no nano run", hint=hint)
    return output / folder
