"""A small nano in minutes: proves that the road from drawn frames to answers still learns.

Command: `longwatch train nano_smoke`, on two CPU cores; meant for ten minutes.
Expect: `direction@1` and `light@1` >= 0.8 on held-out clips, where guessing gives 0.5. Taken from
the full run, which had passed both after 500 steps of its reader; at these sizes not yet measured.
"""

from collections.abc import Iterator
from pathlib import Path

from engine.training.loop import LoopConfig, Progress
from engine.training.nano_run import NanoPlan, run_nano
from engine.training.tower_stage import BatchSizes

EXPECTED = {"direction@1": 0.8, "light@1": 0.8}
"""Scores of the last checkpoint of the reader that a healthy run reaches."""

PLAN = NanoPlan(
    tower_loop=LoopConfig(n_steps=300, learning_rate=1.5e-3, warmup_steps=40, save_every=150),
    reader_loop=LoopConfig(n_steps=400, learning_rate=1.5e-3, warmup_steps=40, save_every=200),
    tower_batch=BatchSizes(cards=64, frames=64, other=16),
    n_clips=1500,
    n_cards=2500,
    n_real=100,
    n_junk=300,
    n_test=150,
)


def run(output: Path, resume: bool) -> Iterator[Progress]:
    """Train, yielding progress; the last line names the model's folder."""
    yield from run_nano(PLAN, output, resume=resume)
