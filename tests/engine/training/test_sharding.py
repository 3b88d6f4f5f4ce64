"""Two processes on the CPU that share one copy of weights, gradients and optimiser."""

import gc
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import AdamW

from engine.errors import InputRefusedError
from engine.training.checkpoint import FILE
from engine.training.distributed import Processes, current
from engine.training.loop import LoopConfig, Progress, read_progress, run_stage
from engine.training.sharding import ShardedWeights
from tests.support.launch import launch_two

CONFIG = LoopConfig(
    n_steps=12, learning_rate=1e-2, warmup_steps=4, log_every=2, save_every=4, use_bf16=False
)


class Block(nn.Module):
    """A layer: frozen weights with an adapter, and a part that not every sample uses."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(6, 6).to(torch.float64).requires_grad_(False)
        self.adapter = nn.Sequential(nn.Linear(6, 3, bias=False), nn.Linear(3, 6))
        self.seldom = nn.Linear(6, 6)
        self.register_buffer("scale", torch.tensor(0.5))

    def forward(self, compute: Callable[..., Tensor], x: Tensor, *, is_special: bool) -> Tensor:
        return compute(self, x, is_special)


def run_block(block: Block, x: Tensor, is_special: bool) -> Tensor:
    added = block.seldom(x) if is_special else 0.0
    own: Tensor = block.base(x.double()).float() + block.adapter(x) + added
    return x + block.scale * own.tanh()


class Uneven:
    """Two samples a micro-batch; what they use differs between processes, and some is never used.

    The table of the embedding is shared with a module of its own, as summary tokens are.
    """

    name = "uneven"

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.embed = nn.Embedding(7, 6)
        self.layers = nn.ModuleList(Block() for _ in range(3))
        self.parts = nn.ModuleDict({name: nn.Linear(6, 5) for name in ("head", "seldom", "never")})
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        shared = nn.Module()
        shared.table = self.embed.weight
        self.module = nn.ModuleDict(
            {"shared": shared, "layers": self.layers, "parts": self.parts, "embed": self.embed}
        )
        self.root = nn.ModuleDict({"module": self.module, "frozen": self.frozen})

    def loss(self, step: int, n_steps: int) -> Tensor:
        """Every third micro-batch uses the parts that are used seldom, in its second sample."""
        random = np.random.default_rng(step)
        samples = [self._sample(random, is_special=False)]
        samples.append(self._sample(random, is_special=step % 3 == 0))
        return torch.stack(samples).mean() * (1 + step % 2)

    def _sample(self, random: np.random.Generator, *, is_special: bool) -> Tensor:
        ids = torch.from_numpy(random.integers(7, size=4))
        # What comes before the layers learns in special samples alone.
        x = self.embed(ids) if is_special else self.frozen(self.embed.weight.detach()[ids])
        for layer in self.layers:
            x = layer(run_block, x, is_special=is_special)
        head = self.parts["seldom" if is_special else "head"]
        x = nn.functional.dropout(x, 0.1, training=self.module.training)
        error: Tensor = head(x) - x.detach()[:, :5]
        return error.square().mean()

    def scores(self) -> Mapping[str, float]:
        return {"loss": float(self._sample(np.random.default_rng(0), is_special=True))}


def stage(accumulate: int, seed: int, output: Path, resume: bool) -> Iterator[Progress]:
    """Train; in processes that share the weights, from the main one's alone."""
    task = Uneven(seed)
    weights = None
    if current().is_sharding:
        weights = ShardedWeights(task.root, list(task.layers), torch.device("cpu"))
    for line in run_stage(
        task,
        replace(CONFIG, accumulate=accumulate),
        output,
        resume=resume,
        weights=weights,
        measures_before=True,
    ):
        note = {"module": bytes_here(task.module.parameters()), "optimiser": optimiser_bytes()}
        (output / f"bytes.{current().index}.json").write_text(json.dumps(note))
        yield line


def bytes_here(tensors: Iterable[Tensor]) -> int:
    """The bytes of tensors that this process holds."""
    return sum(
        (tensor.to_local() if isinstance(tensor, DTensor) else tensor).nbytes for tensor in tensors
    )


def optimiser_bytes() -> int:
    """The bytes of the means of the youngest optimiser of this process."""
    optimisers = [found for found in gc.get_objects() if type(found) is AdamW]
    states = [values for found in optimisers[-1:] for values in found.state.values()]
    return 2 * bytes_here(values["exp_avg"] for values in states)


def launch(script: str, folder: Path, *arguments: str) -> CompletedProcess[str]:
    path = folder / "together.py"
    path.write_text(script)
    return launch_two("--use_fsdp", "--fsdp_version", "2", path, *arguments)


SCRIPT = """
import os, signal, sys
from functools import partial
from pathlib import Path
from engine.training.distributed import joined, run_together
from tests.engine.training.test_sharding import stage
with joined(shard=True) as processes:
    # Other weights to begin with: those of the main process count.
    recipe = partial(stage, 1, processes.index)
    for line in run_together(recipe, Path(sys.argv[1]), resume=True):
        print(line.step, flush=True)
        if line.step == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
"""


def state(folder: Path) -> dict[str, Any]:
    saved = torch.load(folder / FILE, weights_only=True)
    assert saved["step"] == CONFIG.n_steps
    return dict(saved)


def assert_same_run(folder: Path, expected: Path) -> None:
    ours, theirs = state(folder), state(expected)
    assert ours["plan"] == theirs["plan"]
    assert ours["model"].keys() == theirs["model"].keys()
    for name, value in theirs["model"].items():
        torch.testing.assert_close(ours["model"][name], value, atol=1e-6, rtol=1e-5)
    of_ours, of_theirs = ours["optimiser"]["state"], theirs["optimiser"]["state"]
    # A part that no process has used has no state.
    assert of_ours.keys() == of_theirs.keys()
    for number, values in of_theirs.items():
        for name, value in values.items():
            torch.testing.assert_close(of_ours[number][name], value, atol=1e-6, rtol=1e-5)
    alone, together = read_progress(expected), read_progress(folder)
    assert [line.step for line in together] == [line.step for line in alone]
    for line, other in zip(together, alone, strict=True):
        assert line.loss == pytest.approx(other.loss, rel=1e-5)
        assert line.scores == pytest.approx(other.scores, rel=1e-5)


def test_shards_end_with_the_weights_of_one_process_that_accumulates_two(tmp_path: Path) -> None:
    single, double = tmp_path / "one", tmp_path / "two"
    list(stage(2, 0, single, False))
    killed = launch(SCRIPT, tmp_path, str(double), "6")
    assert killed.returncode != 0
    assert killed.stdout.split() == ["0", "2", "4", "6"]
    done = launch(SCRIPT, tmp_path, str(double), "-1")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["0", "4", "6", "8", "10", "12"]
    assert_same_run(double, single)
    alone = json.loads((single / "bytes.0.json").read_text())
    each = [json.loads((double / f"bytes.{index}.json").read_text()) for index in (0, 1)]
    for part in ("module", "optimiser"):
        # Rows that two do not divide go to the first.
        assert sum(held[part] for held in each) == alone[part]
        assert max(held[part] for held in each) < 0.6 * alone[part]


def test_one_process_goes_on_where_shards_have_stopped(tmp_path: Path) -> None:
    single, double = tmp_path / "one", tmp_path / "two"
    list(stage(2, 0, single, False))
    launch(SCRIPT, tmp_path, str(double), "6")
    list(stage(2, 0, double, True))
    assert_same_run(double, single)


def test_a_stage_that_cannot_shard_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "engine.training.loop.current", lambda: Processes(index=0, count=2, is_sharding=True)
    )
    with pytest.raises(InputRefusedError, match="cannot shard") as caught:
        list(run_stage(Uneven(), CONFIG, tmp_path, resume=False))
    assert "without FSDP" in str(caught.value.hint)
