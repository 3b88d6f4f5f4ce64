import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.errors import DiskFullError, InputRefusedError, WeightsError
from engine.training.checkpoint import FILE, PREVIOUS
from engine.training.curves import JSON, PICTURE
from engine.training.loop import PROGRESS, LoopConfig, TrainingTask, read_progress, run_stage

CONFIG = LoopConfig(
    n_steps=40, learning_rate=1e-2, warmup_steps=4, log_every=2, save_every=10, use_bf16=False
)


class Line:
    """Learns y = x W from data that follow from the step."""

    name = "line"

    def __init__(self, pause_s: float = 0.0, noise: float = 0.1) -> None:
        torch.manual_seed(0)
        self.module = nn.Linear(3, 2)
        self.pause_s, self.noise = pause_s, noise

    def loss(self, step: int, n_steps: int) -> Tensor:
        time.sleep(self.pause_s)
        random = torch.Generator().manual_seed(step)
        x = torch.randn(8, 3, generator=random)
        # Noise from the global generator too: dropout would draw from it.
        return (self.module(x) - x[:, :2] + self.noise * torch.randn(8, 2)).square().mean()

    def scores(self) -> Mapping[str, float]:
        return {"bias": float(self.module.bias.abs().sum())}


def finished(folder: Path) -> dict[str, Tensor]:
    state = torch.load(folder / FILE, weights_only=True)
    assert state["step"] == CONFIG.n_steps
    return {**state["model"], **{str(k): v["exp_avg"] for k, v in
                                 state["optimiser"]["state"].items()}}  # fmt: skip


def test_a_run_that_stops_and_resumes_ends_with_the_same_weights(tmp_path: Path) -> None:
    list(run_stage(Line(), CONFIG, tmp_path / "whole", resume=False))
    stopped = run_stage(Line(), CONFIG, tmp_path / "parts", resume=False)
    for line in stopped:
        if line.step >= 17:
            break
    list(run_stage(Line(), CONFIG, tmp_path / "parts", resume=True))
    whole, parts = finished(tmp_path / "whole"), finished(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    lines = read_progress(tmp_path / "whole")
    again = read_progress(tmp_path / "parts")
    assert [line.step for line in lines] == [line.step for line in again]
    assert [line.loss for line in lines] == [line.loss for line in again]
    assert all(early.wall_s < late.wall_s for early, late in pairwise(again))
    assert lines[-1].loss < lines[0].loss
    curves = json.loads((tmp_path / "parts" / JSON).read_text())
    assert curves["step"] == [line.step for line in lines]
    assert curves["scores"]["bias"]["step"] == [10, 20, 30, 40]
    assert (tmp_path / "parts" / PICTURE).is_file()


def test_a_killed_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    list(run_stage(Line(), CONFIG, tmp_path / "whole", resume=False))
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.engine.training.test_loop import CONFIG, Line\n"
        "from engine.training.loop import run_stage\n"
        "for line in run_stage(Line(0.02), CONFIG, Path(sys.argv[1]), resume=True):\n"
        "    print(line.step, flush=True)\n"
    )
    folder = tmp_path / "killed"
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert child.stdout is not None
    for _ in range(7):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert not torch.load(folder / FILE, weights_only=True)["step"] % CONFIG.save_every
    list(run_stage(Line(), CONFIG, folder, resume=True))
    whole, killed = finished(tmp_path / "whole"), finished(folder)
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_a_finished_run_tells_where_it_stands(tmp_path: Path) -> None:
    config = replace(CONFIG, n_steps=4)
    last = list(run_stage(Line(), config, tmp_path, resume=False))[-1]
    assert list(run_stage(Line(), config, tmp_path, resume=True)) == [last]
    assert last.scores


def test_a_new_run_keeps_the_checkpoint_of_the_one_before(tmp_path: Path) -> None:
    config = replace(CONFIG, n_steps=4)
    list(run_stage(Line(), config, tmp_path, resume=False))
    first = (tmp_path / FILE).read_bytes()
    next(run_stage(Line(), config, tmp_path, resume=False))
    assert (tmp_path / PREVIOUS).read_bytes() == first
    assert not (tmp_path / FILE).exists()


def test_a_checkpoint_from_before_accumulation_resumes_to_the_same_weights(tmp_path: Path) -> None:
    list(run_stage(Line(), CONFIG, tmp_path / "whole", resume=False))
    for line in run_stage(Line(), CONFIG, tmp_path / "old", resume=False):
        if line.step > 30:
            break
    state = torch.load(tmp_path / "old" / FILE, weights_only=True)
    assert state["step"] == 30
    assert state["plan"].pop("accumulate") == 1
    torch.save(state, tmp_path / "old" / FILE)
    list(run_stage(Line(), CONFIG, tmp_path / "old", resume=True))
    whole, old = finished(tmp_path / "whole"), finished(tmp_path / "old")
    assert all(torch.equal(whole[name], old[name]) for name in whole)


class Pairs:
    """Two micro-batches of a line as one."""

    name = "pairs"

    def __init__(self, line: Line) -> None:
        self.module, self._line = line.module, line

    def loss(self, step: int, n_steps: int) -> Tensor:
        return (self._line.loss(2 * step, n_steps) + self._line.loss(2 * step + 1, n_steps)) / 2

    def scores(self) -> Mapping[str, float]:
        return {}


def first_gradients(task: TrainingTask, config: LoopConfig, folder: Path) -> list[Tensor]:
    """The gradients that the first step of a run hands to its optimiser.

    AdamW's weights tell a sum from a mean no better than a sign would; its running mean after one
    step is the gradient itself, times a tenth.
    """
    list(run_stage(task, replace(config, n_steps=1), folder, resume=False, betas=(0.9, 0.98)))
    state = torch.load(folder / FILE, weights_only=True)["optimiser"]["state"]
    return [moments["exp_avg"] / (1 - 0.9) for moments in state.values()]


def test_accumulated_gradients_are_those_of_the_mean_loss(tmp_path: Path) -> None:
    whole, parts = Line(noise=0.0), Line(noise=0.0)
    # Clipping would hide a scale.
    config = replace(CONFIG, clip_norm=math.inf)
    expected = first_gradients(Pairs(whole), config, tmp_path / "whole")
    accumulated = first_gradients(parts, replace(config, accumulate=2), tmp_path / "parts")
    assert len(expected) == 2
    for ours, theirs in zip(accumulated, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_run_that_accumulates_two_ends_like_one_of_pairs(tmp_path: Path) -> None:
    whole, parts = Line(noise=0.0), Line(noise=0.0)
    pairs = list(run_stage(Pairs(whole), CONFIG, tmp_path / "whole", resume=False))
    config = replace(CONFIG, accumulate=2)
    lines = list(run_stage(parts, config, tmp_path / "parts", resume=False))
    torch.testing.assert_close(parts.module.weight, whole.module.weight)
    assert [line.loss for line in lines] == pytest.approx([line.loss for line in pairs])
    with pytest.raises(ValueError, match="accumulate must be at least 1, not 0"):
        replace(CONFIG, accumulate=0)


def test_gradients_are_clipped_to_their_norm_and_shorter_ones_left_alone(tmp_path: Path) -> None:
    def gradients(clip_norm: float) -> Tensor:
        config = replace(CONFIG, clip_norm=clip_norm)
        folder = tmp_path / f"{clip_norm}"
        return torch.cat([part.flatten() for part in first_gradients(Line(), config, folder)])

    free = gradients(math.inf)
    norm = float(free.norm())
    torch.testing.assert_close(gradients(norm / 10), free / 10, rtol=1e-4, atol=0)
    assert torch.equal(gradients(norm * 2), free)


class Loaded(Line):
    def __init__(self) -> None:
        super().__init__()
        self.module.eval()

    def loss(self, step: int, n_steps: int) -> Tensor:
        assert self.module.training
        return super().loss(step, n_steps)

    def scores(self) -> Mapping[str, float]:
        assert not self.module.training
        return {}


def test_a_loaded_model_learns_in_training_mode_and_is_measured_out_of_it(tmp_path: Path) -> None:
    list(run_stage(Loaded(), replace(CONFIG, n_steps=12), tmp_path, resume=False))


class Broken(Line):
    def loss(self, step: int, n_steps: int) -> Tensor:
        return super().loss(step, n_steps) * (math.nan if step == 13 else 1.0)


def test_a_loss_that_is_no_number_stops_the_run_before_it_is_saved(tmp_path: Path) -> None:
    with pytest.raises(InputRefusedError, match="'line' is no number at step 14"):
        list(run_stage(Broken(), CONFIG, tmp_path, resume=False))
    state = torch.load(tmp_path / FILE, weights_only=True)
    assert state["step"] == 10
    assert state["model"]["weight"].isfinite().all()


def test_a_disk_that_is_full_before_the_checkpoint_is_named(tmp_path: Path) -> None:
    run = run_stage(Line(), replace(CONFIG, n_steps=4), tmp_path, resume=False)
    assert next(run).step == 2
    # Progress still fits; the curves do not.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(DiskFullError, match="no space left to save step 4"):
            list(run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_half_a_line_of_progress_is_none(tmp_path: Path) -> None:
    lines = list(run_stage(Line(), replace(CONFIG, n_steps=4), tmp_path, resume=False))
    path = tmp_path / PROGRESS
    path.write_text(path.read_text() + '{"stage": "li')
    assert list(read_progress(tmp_path)) == lines


@pytest.mark.gpu
def test_a_stage_on_an_accelerator_learns_there_and_resumes(tmp_path: Path) -> None:
    class OnDevice(Line):
        def __init__(self) -> None:
            super().__init__()
            self.module.to("cuda")

        def loss(self, step: int, n_steps: int) -> Tensor:
            x = torch.randn(8, 3, device="cuda")
            assert torch.is_autocast_enabled("cuda")
            return (self.module(x) - x[:, :2]).float().square().mean()

    config = replace(CONFIG, use_bf16=True)
    whole, parts = OnDevice(), OnDevice()
    list(run_stage(whole, config, tmp_path / "whole", resume=False))
    for line in run_stage(OnDevice(), config, tmp_path / "parts", resume=False):
        if line.step > 20:
            break
    list(run_stage(parts, config, tmp_path / "parts", resume=True))
    assert parts.module.weight.device.type == "cuda"
    assert torch.equal(whole.module.weight, parts.module.weight)


def test_a_checkpoint_of_another_plan_is_refused_by_name(tmp_path: Path) -> None:
    list(run_stage(Line(), CONFIG, tmp_path, resume=False))
    other = LoopConfig(n_steps=40, learning_rate=2e-2, use_bf16=False)
    with pytest.raises(WeightsError, match="learning_rate"):
        list(run_stage(Line(), other, tmp_path, resume=True))


def test_parts_learn_at_their_shares_of_the_rate(tmp_path: Path) -> None:
    line = Line()
    before = {name: weight.clone() for name, weight in line.module.state_dict().items()}
    config = replace(CONFIG, n_steps=1, warmup_steps=1, weight_decay=0.0)
    list(run_stage(line, config, tmp_path, resume=False, lr_shares={"weight": 1.0, "bias": 0.1}))
    # The first step of AdamW has the size of its rate.
    for name, rate in (("weight", 1e-2), ("bias", 1e-3)):
        step = (line.module.state_dict()[name] - before[name]).abs()
        torch.testing.assert_close(step, torch.full_like(step, rate), rtol=1e-3, atol=0)
