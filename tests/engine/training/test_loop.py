import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.errors import WeightsError
from engine.training.checkpoint import FILE
from engine.training.loop import LoopConfig, read_progress, run_stage

CONFIG = LoopConfig(
    n_steps=40, learning_rate=1e-2, warmup_steps=4, log_every=2, save_every=5, use_bf16=False
)


class Line:
    """Learns y = x W from data that follow from the step."""

    name = "line"

    def __init__(self, pause_s: float = 0.0) -> None:
        torch.manual_seed(0)
        self.module = nn.Linear(3, 2)
        self.pause_s = pause_s

    def loss(self, step: int, n_steps: int) -> Tensor:
        time.sleep(self.pause_s)
        random = torch.Generator().manual_seed(step)
        x = torch.randn(8, 3, generator=random)
        # Noise from the global generator too: dropout would draw from it.
        return (self.module(x) - x[:, :2] + 0.1 * torch.randn(8, 2)).square().mean()

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
    assert lines[-1].loss < lines[0].loss


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
    for _ in range(1):
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert child.stdout is not None
        for _ in range(4):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    list(run_stage(Line(), CONFIG, folder, resume=True))
    whole, killed = finished(tmp_path / "whole"), finished(folder)
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_a_checkpoint_of_another_plan_is_refused_by_name(tmp_path: Path) -> None:
    list(run_stage(Line(), CONFIG, tmp_path, resume=False))
    other = LoopConfig(n_steps=40, learning_rate=2e-2, use_bf16=False)
    with pytest.raises(WeightsError, match="learning_rate"):
        list(run_stage(Line(), other, tmp_path, resume=True))


def test_parts_learn_at_their_shares_of_the_rate(tmp_path: Path) -> None:
    line = Line()
    before = {name: weight.clone() for name, weight in line.module.state_dict().items()}
    config = replace(CONFIG, n_steps=1, warmup_steps=1, weight_decay=0.0)
    list(run_stage(line, config, tmp_path, resume=False, shares={"weight": 1.0, "bias": 0.1}))
    # The first step of AdamW has the size of its rate.
    for name, rate in (("weight", 1e-2), ("bias", 1e-3)):
        step = (line.module.state_dict()[name] - before[name]).abs()
        torch.testing.assert_close(step, torch.full_like(step, rate), rtol=1e-3, atol=0)
