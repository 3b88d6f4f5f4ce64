"""Recipes whose weights two processes share end with the model of two that hold copies."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.models.apollo.model import write_tiny as write_apollo
from engine.models.pllava.model import write_tiny as write_pllava
from engine.models.video_xl.model import write_tiny as write_video_xl
from engine.models.videollama2.model import write_tiny as write_videollama2
from engine.training.loop import read_progress
from tests.support.launch import launch_two
from tests.support.short_training import settings, write_data

VALUES = {"steps": 4, "learning_rate": 3e-3, "samples_per_step": 2, "bf16": False, "device": "cpu"}
VIDEO_XL = VALUES | {"max_frames": 4, "save_every": 2}
RUNS: dict[str, tuple[str, Callable[[Path], object], dict[str, Any]]] = {
    "whole": ("finetune", write_video_xl, VIDEO_XL | {"train_tower": True}),
    "adapted": (
        "finetune",
        write_video_xl,
        VIDEO_XL | {"lora": {"rank": 4, "alpha": 8}, "gradient_checkpointing": True},
    ),
    "in_4_bits": (
        "finetune",
        write_video_xl,
        VIDEO_XL | {"lora": {"rank": 4, "alpha": 8, "base": "nf4"}},
    ),
    "mixed": ("video_xl", write_video_xl, VIDEO_XL | {"stage": "mixed"}),
    "towers": ("apollo", write_apollo, VALUES | {"stage": "vision_pretraining"}),
    "fine_tuning": ("apollo", write_apollo, VALUES | {"stage": "fine_tuning"}),
    "qv": ("pllava", write_pllava, VALUES | {"rank": 4, "sweep": [4]}),
    "joint": (
        "videollama2",
        write_videollama2,
        VALUES | {"stage": "joint", "gradient_checkpointing": True},
    ),
}
SCRIPT = """
import importlib, sys
from pathlib import Path
from engine.training.distributed import joined, run_together
shard, *runs = sys.argv[1:]
with joined(shard=shard == "shared"):
    for run in runs:
        name, _, folder = run.partition("=")
        recipe = importlib.import_module(f"engine.training.recipes.{name}")
        for line in run_together(recipe.run, Path(folder), resume=False):
            print(run, line.stage, line.step, flush=True)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every run once with copies of the weights and once with shards, two launches in all."""
    home = tmp_path_factory.mktemp("sharded")
    (home / "together.py").write_text(SCRIPT)
    for how in ("copied", "shared"):
        runs = []
        for name, (recipe, write, values) in RUNS.items():
            folder = home / how / name
            write(folder / "base")
            write_data(folder, {"video": 3, "image": 2, "text": 2, "audio": 2})
            runs.append(f"{recipe}={settings(folder / recipe, f'{recipe}.json', **values)}")
        launch(home / "together.py", how, *runs)
    return home


def launch(script: Path, how: str, *runs: str) -> None:
    options = ("--use_fsdp", "--fsdp_version", "2") if how == "shared" else ("--multi_gpu",)
    done = launch_two(*options, script, how, *runs)
    assert done.returncode == 0, done.stderr[-4000:]


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.parent.relative_to(folder)}: {name}": tensor
        for path in sorted(folder.rglob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


@pytest.mark.parametrize("name", RUNS)
def test_the_exported_model_is_the_same(home: Path, name: str) -> None:
    recipe = RUNS[name][0]
    copied, shared = (home / how / name / recipe for how in ("copied", "shared"))
    expected, actual = tensors(copied / "model"), tensors(shared / "model")
    assert actual.keys() == expected.keys()
    base = tensors(home / "shared" / name / "base")
    assert any(not torch.equal(actual[key], base[key]) for key in actual.keys() & base.keys())
    for key, value in expected.items():
        torch.testing.assert_close(actual[key], value, atol=2e-5, rtol=1e-4, msg=key)
    lines = [read_progress(folder) for folder in (copied, shared)]
    for line, other in zip(*lines, strict=True):
        assert line.loss == pytest.approx(other.loss, rel=1e-4)
        assert line.scores == pytest.approx(other.scores, rel=1e-4)
