"""Video-XL's stages: align the projector, then train everything to work on summary tokens.

Command: write `runs/video_xl/video_xl.json`, then `longwatch train video_xl`, once for every
stage, each beginning from the `model` that the last one left:

    {"model": "VideoXL_weight_8", "stage": "mixed", "steps": 15000, "samples_per_step": 8,
     "data": [{"file": "vico.jsonl", "media": "clips", "weight": 2.0},
              {"file": "images.json", "media": "images"}, {"file": "text.json", "media": "."}]}

| stage | learns | rate | ratios | frames | batch a GPU | epochs | data of the release |
|---|---|---|---|---|---|---|---|
| `align` | projector, without VSTs | 5e-4 | none | 4 | 8 x 4 | 1 | captions, bare |
| `images` | all, tower too | 1e-5 | 2 to 16 | 128 | 8 | 1 | single images |
| `mixed` | all, tower too | 1e-5 | 2, 4, 8 | 128 | 8 | 3 | VICO, images, videos |

The first stage may start from a checkpoint without summary tokens: they begin as copies. One
file beside `media` will do as `data`; weights say how often a source's samples are drawn.
Optional, with what they are otherwise: `learning_rate`, `max_frames`, `compression_ratios`,
`train_tower`, `gradient_checkpointing` (the stage's), `lora` (none; `{"rank": 64, "alpha": 16}`
keeps the decoder and learns adapters, merged at the end; with `"base": "nf4"` the decoder is kept
in 4 bits meanwhile), `bf16` (where the device is built for it), `device` ("auto"), `accumulate`
(1), `save_every` (100), `seed`, `held_out` (a tenth of `data`).

Source: arXiv:2409.14485 and upstream's scripts at 6e3dc89: AdamW, weight decay 0, warm-up 0.03,
cosine, bf16, a ratio drawn for every window; the release stopped at step 15000. The number of
its GPUs and its hours are not stated.
Expect: run here only for a few steps of every stage on the tiny variant, by its tests.

Differs from upstream, each on purpose: text alone and several media in one sample are learnt as
they stand; samples are not grouped by their number of windows; a remainder gets a last VST; the
tower of search stays as it is, the decoder's own learns.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from engine.training.finetune.memory_plan import plan_memory
from engine.training.finetune.settings import find_stage, read_settings, read_split
from engine.training.finetune.step_memory import TrainingMemory, announce
from engine.training.finetune.video_xl import VideoXlStage
from engine.training.finetune.video_xl_trainer import VideoXlTuning, train
from engine.training.loop import Progress

CONFIG = "video_xl.json"
EVERYTHING = {"decoder.": 1e-5, "projector.": 1e-5, "tower.": 1e-5}
STAGES = (
    VideoXlStage(
        name="align",
        rates={"projector.": 5e-4},
        mixture={},
        template="plain",
        ratios=(),
        max_frames=4,
        batch=32,
    ),
    VideoXlStage(name="images", rates=EVERYTHING, mixture={}, ratios=(2, 4, 8, 12, 16), batch=8),
    VideoXlStage(name="mixed", rates=EVERYTHING, mixture={}, ratios=(2, 4, 8), batch=8, epochs=3),
)
"""In order; a batch is one GPU's."""


def plan(output: Path, n_processes: int = 1) -> TrainingMemory:
    """Count the memory of a stage on an accelerator, without one."""
    config = read_settings(output / CONFIG, VideoXlTuning)
    return plan_memory(config, find_stage(STAGES, config), n_processes=n_processes)


def run(output: Path, resume: bool) -> Iterator[Progress]:
    """Train one stage; the last line names the checkpoint's folder."""
    config = read_settings(output / CONFIG, VideoXlTuning)
    stage = find_stage(STAGES, config)
    read, held_out = read_split(config)
    yield from announce(config, partial(plan, output))
    yield from train(config, stage, read, held_out, output, resume=resume)
