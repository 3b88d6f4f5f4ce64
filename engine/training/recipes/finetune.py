"""Fine-tunes a Video-XL checkpoint on people's own video and questions.

Command: write `runs/finetune/finetune.json`, then `longwatch train finetune`:

    {"model": "../../assets/models/nano", "data": "mine.jsonl", "media": "videos",
     "steps": 200, "learning_rate": 2e-4}

Paths are relative to the file. Projector and decoder learn, with a ratio drawn per chunk among
those of the checkpoint; the tower stays as it is unless `"train_tower": true`. All samples are
learnt, none is held out but those of `held_out`. `data` may be a list of sources with weights;
all other settings are listed in `recipes/video_xl.py`. Bad samples are named in the first lines
of progress and skipped. The new model lies in `runs/finetune/model`.

A large checkpoint needs `"lora": {"rank": 64, "alpha": 16}` and an accelerator, which
`"device": "auto"` takes where there is one; on a small one also `"base": "nf4"` among them, which
keeps the frozen decoder in 4 bits (`pip install 'longwatch[nf4]'`). `longwatch train finetune
--plan` counts the memory first, on a machine without one.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from engine.models.video_xl.net import read as read_config
from engine.training.finetune.memory_plan import plan_memory
from engine.training.finetune.settings import read_settings, read_usable
from engine.training.finetune.step_memory import TrainingMemory, announce
from engine.training.finetune.video_xl import VideoXlStage
from engine.training.finetune.video_xl_trainer import VideoXlTuning, train
from engine.training.loop import Progress

CONFIG = "finetune.json"
RATE = 2e-4


def plan(output: Path, n_processes: int = 1) -> TrainingMemory:
    """Count the memory of a run on an accelerator, without one."""
    config = read_settings(output / CONFIG, VideoXlTuning)
    return plan_memory(config, _stage(config), n_processes=n_processes)


def run(output: Path, resume: bool) -> Iterator[Progress]:
    """Train, yielding progress; the last line names the new checkpoint's folder."""
    config = read_settings(output / CONFIG, VideoXlTuning)
    read = read_usable(config.data)
    held_out = read_usable(config.held_out).samples if config.held_out else ()
    yield from announce(config, partial(plan, output))
    yield from train(config, _stage(config), read, held_out, output, resume=resume)


def _stage(config: VideoXlTuning) -> VideoXlStage:
    return VideoXlStage(
        name="finetune",
        rates={"decoder.": RATE, "projector.": RATE},
        mixture={},
        ratios=read_config(config.model, None).compression_ratios,
        batch=4,
        final_share=0.03,
        betas=(0.9, 0.98),
        gradient_checkpointing=False,
    )
