import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.errors import MissingCapabilityError
from engine.training.checkpoint import FILE
from engine.training.distributed import Processes, current, joined, run_together
from engine.training.loop import LoopConfig, Progress, read_progress, run_stage

LAUNCH = (
    *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
    *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"),
    *("--main_process_port", "0"),
)
CONFIG = LoopConfig(
    n_steps=12, learning_rate=1e-2, warmup_steps=4, log_every=2, save_every=6, use_bf16=False
)


class Uneven:
    """A part that every second micro-batch uses, and one that none does."""

    name = "uneven"

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.module = nn.ModuleDict({name: nn.Linear(3, 2) for name in ("always", "even", "never")})
        # Transposed: nothing that lies in one piece, as the exchange wants it.
        self.module["even"].weight = nn.Parameter(torch.randn(3, 2).t())

    def loss(self, step: int, n_steps: int) -> Tensor:
        assert n_steps == 2 * CONFIG.n_steps
        x = torch.randn(8, 3)
        output = self.module["always"](x)
        if step % 2 == 0:
            output = output + self.module["even"](x)
        return (output - x[:, :2]).square().mean() * (1 + step % 2)

    def scores(self) -> Mapping[str, float]:
        return {"size": float(self.module["always"].weight.norm())}


def two_stages(accumulate: int, seed: int, output: Path, resume: bool) -> Iterator[Progress]:
    """Files between the stages that only the main process may have to write."""
    config = replace(CONFIG, accumulate=accumulate)
    for name in ("first", "second"):
        marker = output / f"{name}.prepared"
        if not marker.is_file():
            assert current().is_main
            marker.write_text("by the main process")
        yield from run_stage(Uneven(seed), config, output / name, resume=resume)
    assert current().is_main
    yield Progress(stage="export", step=1, n_steps=1)


def weights(folder: Path) -> dict[str, Tensor]:
    state = torch.load(folder / FILE, weights_only=True)
    assert state["step"] == CONFIG.n_steps
    return dict(state["model"])


def test_two_processes_end_with_the_weights_of_one_that_accumulates_two(tmp_path: Path) -> None:
    single, double = tmp_path / "one", tmp_path / "two"
    single.mkdir()
    double.mkdir()
    list(two_stages(2, 0, single, False))
    # What two processes take over from one: a stage that is half done.
    halves = run_stage(Uneven(), replace(CONFIG, accumulate=2), double / "first", resume=False)
    for line in halves:
        if line.step > 6:
            break
    script = tmp_path / "together.py"
    script.write_text(
        "import sys\n"
        "from functools import partial\n"
        "from pathlib import Path\n"
        "from engine.training.distributed import joined, run_together\n"
        "from tests.engine.training.test_distributed import two_stages\n"
        "with joined() as processes:\n"
        "    recipe = partial(two_stages, 1, processes.index)\n"  # Other weights to begin with.
        "    for line in run_together(recipe, Path(sys.argv[1]), resume=True):\n"
        "        print(processes.index, line.stage, line.step, flush=True)\n"
    )
    done = subprocess.run(
        [*LAUNCH, script, double],
        env={**os.environ, "PYTHONPATH": os.getcwd(), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    steps = [f"0 uneven {step}" for step in (6, 8, 10, 12, 2, 4, 6, 8, 10, 12)]
    assert done.stdout.splitlines() == [*steps, "0 export 1"]
    for stage in ("first", "second"):
        expected, actual = weights(single / stage), weights(double / stage)
        for name in expected:
            torch.testing.assert_close(actual[name], expected[name], atol=1e-6, rtol=1e-5)
        alone, together = read_progress(single / stage), read_progress(double / stage)
        assert [line.step for line in together] == [line.step for line in alone]
        for line, other in zip(together, alone, strict=True):
            assert line.loss == pytest.approx(other.loss, rel=1e-5)
            assert line.scores == pytest.approx(other.scores, rel=1e-5)


def test_a_process_alone_waits_for_nobody(tmp_path: Path) -> None:
    processes = current()
    assert processes == Processes(index=0, count=1)
    assert processes.mean([torch.tensor(1.0), torch.tensor(2.0)]) == 1.5
    lines = list(run_together(lambda output, resume: iter((output, resume)), tmp_path, resume=True))
    assert lines == [tmp_path, True]


def test_a_launcher_without_its_package_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingCapabilityError, match="accelerate") as caught, joined():
        pass
    assert "longwatch[train]" in str(caught.value.hint)
