"""What the recipes' tests share: a few samples of every kind, and what a run moved."""

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

from tests.support.synthetic import spelled_video

ANSWERS = ("red", "blue", "a dog", "none")


def write_data(folder: Path, kinds: dict[str, int]) -> None:
    """Media and `data.jsonl`: so many samples of each of `text`, `image`, `video`, `audio`."""
    lines = []
    for kind, count in kinds.items():
        for number in range(count):
            entry: dict[str, Any] = {"conversations": said(number)}
            if kind != "text":
                entry[kind] = _MEDIA[kind](folder, number)
            lines.append(json.dumps(entry))
    (folder / "data.jsonl").write_text("\n".join(lines))


def said(number: int) -> list[dict[str, str]]:
    return [
        {"from": "human", "value": f"What is {number}?"},
        {"from": "gpt", "value": ANSWERS[number % len(ANSWERS)]},
    ]


def settings(folder: Path, name: str, **said: Any) -> Path:
    """An output folder with the recipe's file in it."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {"model": "../base", "data": "../data.jsonl", "media": "..", **said}
    (folder / name).write_text(json.dumps(whole))
    return folder


def run_briefly(recipe: ModuleType, output: Path, stage: str) -> list[float]:
    """The losses of a few steps of a stage, fast enough to be seen to fall."""
    said = {"steps": 20, "learning_rate": 3e-3, "samples_per_step": 2}
    settings(output, recipe.CONFIG, stage=stage, **said)
    return [line.loss for line in recipe.run(output, resume=False) if line.stage == stage]


def moved(before: nn.Module, after: nn.Module, parts: tuple[str, ...]) -> set[str]:
    """Parts in which any weight differs; every weight must lie in one of them."""
    old, found = before.state_dict(), set[str]()
    for name, weight in after.state_dict().items():
        part = next(part for part in parts if name.startswith(part))
        if not torch.equal(weight, old[name]):
            found.add(part)
    return found


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
