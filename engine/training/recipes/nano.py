"""The shipped nano: a Video-XL-family model learnt from nothing on drawn video.

Command: `longwatch train nano` (with `nano.json` in the output folder: {"footage": "FOLDER"} to
use real recordings as background; without it, drawn distractors take their place).
Hardware and time: two cores of an Intel Xeon (AMX, avx512_bf16), no GPU; 11 minutes of frame bank,
38 of vision tower, 70 of decoder and 14 of polish, on cores shared with other work. 8 GB of memory.
Expect: the tables of `assets/models/nano/README.md`, whose weights this recipe made.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from engine.training.loop import LoopConfig, Progress
from engine.training.nano.run import BankPlan, ClipPlan, DecoderPlan, NanoPlan, run_nano

CONFIG = "nano.json"
TRAINED_ON = (
    "bbb_opening.mp4",
    "coffee_pour.mp4",
    "dog_fetch.mp4",
    "highway_cyclist.avi",
    "office_dialogue.mp4",
    "shell_game_cups.mp4",
    "store_aisle.mp4",
    "toy_frog.mp4",
)
"""Recordings used as background; every other one in the folder is held out."""
CONTEXTS = {
    1: (36, 4), 2: (28, 5), 4: (22, 6), 8: (16, 8), 16: (11, 10), 32: (6, 16), 64: (4, 24),
}  # fmt: skip
"""Fewer questions a step than by default, for more steps in the same time."""

PLAN = NanoPlan(
    bank=BankPlan(n_clips=16_000, n_stories=1500, n_cards=40_000, n_real=4000),
    clip=ClipPlan(
        loop=LoopConfig(
            n_steps=4000,
            learning_rate=1.5e-3,
            warmup_steps=150,
            weight_decay=0.05,
            final_share=0.02,
        )
    ),
    decoder=DecoderPlan(
        loop=LoopConfig(n_steps=6500, learning_rate=1.5e-3),
        polish_loop=LoopConfig(n_steps=1400, learning_rate=7e-4, warmup_steps=50),
        contexts=CONTEXTS,
    ),
)


def run(output: Path, resume: bool) -> Iterator[Progress]:
    """Train, yielding progress; the last line names the model's folder."""
    plan, settings = PLAN, output / CONFIG
    if settings.is_file():
        footage = output / json.loads(settings.read_text(encoding="utf-8"))["footage"]
        plan = replace(plan, bank=replace(plan.bank, footage=footage, footage_names=TRAINED_ON))
    yield from run_nano(plan, output, resume=resume)
