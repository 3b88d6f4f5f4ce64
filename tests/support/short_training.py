"""Support for tests of training: tiny plans, a few samples of every kind, what a run moved."""

import json
import math
import wave
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from engine.training.loop import LoopConfig
from engine.training.nano.clip_stage import BatchSizes, ClipSizes
from engine.training.nano.run import BankPlan, ClipPlan, DecoderPlan, NanoPlan
from tests.support.synthetic import spelled_video

TINY_LOOP = LoopConfig(n_steps=2, learning_rate=1e-3, save_every=2, log_every=1)
TINY_NANO = NanoPlan(
    bank=BankPlan(n_clips=24, n_stories=6, n_cards=32, n_real=8, n_distractors=16, n_test=12),
    clip=ClipPlan(
        loop=TINY_LOOP,
        sizes=ClipSizes(
            width=32, n_layers=2, n_heads=2, text_width=32, text_layers=1, text_heads=2
        ),
        batch=BatchSizes(cards=8, frames=8, other=4),
    ),
    decoder=DecoderPlan(loop=TINY_LOOP, width=32, mlp_width=48, n_layers=2, n_chunks=16),
)
"""A nano of two steps a stage: seconds, and as exact as a whole one."""

ANSWERS = ("red", "blue", "a dog", "none")


def write_data(folder: Path, kinds: dict[str, int]) -> None:
    """Write media and `data.jsonl`; `kinds` counts `text`, `image`, `video` and `audio` samples."""
    lines = []
    for kind, count in kinds.items():
        for number in range(count):
            entry: dict[str, Any] = {"conversations": conversation(number)}
            if kind != "text":
                entry[kind] = _MEDIA[kind](folder, number)
            lines.append(json.dumps(entry))
    (folder / "data.jsonl").write_text("\n".join(lines))


def conversation(number: int) -> list[dict[str, str]]:
    return [
        {"from": "human", "value": f"What is {number}?"},
        {"from": "gpt", "value": ANSWERS[number % len(ANSWERS)]},
    ]


def settings(folder: Path, name: str, **values: Any) -> Path:
    """Write the recipe's file into an output folder, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {"model": "../base", "data": "../data.jsonl", "media": "..", **values}
    (folder / name).write_text(json.dumps(document))
    return folder


def run_briefly(recipe: ModuleType, output: Path, stage: str, **others: Any) -> list[float]:
    """Return the losses of a few steps of a stage, fast enough to be seen to fall."""
    values = {"steps": 20, "learning_rate": 3e-3, "samples_per_step": 2, **others}
    settings(output, recipe.CONFIG, stage=stage, **values)
    return [line.loss for line in recipe.run(output, resume=False) if line.stage == stage]


def moved(before: nn.Module, after: nn.Module, parts: tuple[str, ...]) -> set[str]:
    """Return the parts in which any weight differs; every weight must lie in one of them."""
    old, changed = before.state_dict(), set[str]()
    for name, weight in after.state_dict().items():
        part = next(part for part in parts if name.startswith(part))
        if not torch.equal(weight, old[name]):
            changed.add(part)
    return changed


def _picture(folder: Path, number: int) -> str:
    pixels = np.random.default_rng(number).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / f"{number}.png")
    return f"{number}.png"


def _video(folder: Path, number: int) -> str:
    name = f"{number}.mp4"
    spelled_video(folder / name, 8 + number, fps=4.0, height=48, width=64)
    return name


def _sound(folder: Path, number: int) -> str:
    with wave.open(str(folder / f"{number}.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        pitch = 2 * math.pi * 220 * (number + 1) / 16_000
        file.writeframes((np.sin(pitch * np.arange(24_000)) * 9000).astype("<i2").tobytes())
    return f"{number}.wav"


_MEDIA = {"image": _picture, "video": _video, "audio": _sound}
