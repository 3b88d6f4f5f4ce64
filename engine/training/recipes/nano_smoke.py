"""A small nano in minutes: proves that the road from drawn frames to answers still learns.

Command: `longwatch train nano_smoke`, 7 minutes on two shared cores of an AMD EPYC.
Expect: `digit_1` >= 0.85 of the vision tower (guessing gives 0.1), `light@1` >= 0.8 (0.5) and
`where@1` >= 0.8 (0.2) of the decoder, all on held-out frames. One run on 2026-11-21 gave 0.96, 0.94
and 1.00; direction (0.67) and codes (0.00) take a longer run. That run was before stories joined
the frame bank; it has not been repeated to its end since.
"""

from collections.abc import Iterator
from pathlib import Path

from engine.training.loop import LoopConfig, Progress
from engine.training.nano.clip_stage import BatchSizes
from engine.training.nano.run import BankPlan, ClipPlan, DecoderPlan, NanoPlan, run_nano

EXPECTED = {"digit_1": 0.85, "light@1": 0.8, "where@1": 0.8}
"""Last scores of each name that a healthy run reaches."""

PLAN = NanoPlan(
    bank=BankPlan(
        n_clips=1500, n_stories=60, n_cards=2500, n_real=100, n_distractors=300, n_test=150
    ),
    clip=ClipPlan(
        loop=LoopConfig(n_steps=300, learning_rate=1.5e-3, warmup_steps=40, save_every=150),
        batch=BatchSizes(cards=64, frames=64, other=16),
    ),
    decoder=DecoderPlan(
        loop=LoopConfig(n_steps=400, learning_rate=1.5e-3, warmup_steps=40, save_every=200)
    ),
)


def run(output: Path, resume: bool) -> Iterator[Progress]:
    """Train, yielding progress; the last line names the model's folder."""
    yield from run_nano(PLAN, output, resume=resume)
