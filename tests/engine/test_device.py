"""Device matters that stand-ins can show: recording of steps, choice of kernels, plain copies."""

import builtins
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from engine import device as devices
from engine.device import CPU, Replay


class _Graph:
    """Records a step as a card does: nothing runs until it is replayed."""

    def __init__(self, *, fails: bool = False) -> None:
        self.n_recorded = self.n_replayed = 0
        self._fails = fails

    def __call__(self, step: Callable[[], None]) -> Callable[[], object]:
        self.n_recorded += 1
        if self._fails:
            raise RuntimeError("operation not permitted when stream is capturing")

        def replay() -> None:
            self.n_replayed += 1
            step()

        return replay


def _counting() -> tuple[Tensor, Callable[[], None]]:
    total = torch.zeros(1)

    def step() -> None:
        total.add_(1)

    return total, step


def test_steps_run_as_they_are_first_and_recorded_then() -> None:
    total, step = _counting()
    graph = _Graph()
    replay = Replay(step, graph)
    for _ in range(5):
        replay()
    assert (graph.n_recorded, graph.n_replayed) == (1, 3)
    assert replay.is_recorded
    assert float(total) == 5


def test_a_step_that_cannot_be_recorded_runs_as_it_is() -> None:
    total, step = _counting()
    graph = _Graph(fails=True)
    replay = Replay(step, graph)
    for _ in range(5):
        replay()
    assert (graph.n_recorded, graph.n_replayed) == (1, 0)
    assert not replay.is_recorded
    assert float(total) == 5


def test_without_a_recorder_nothing_is_recorded() -> None:
    total, step = _counting()
    replay = Replay(step, devices.recorder(CPU))
    for _ in range(4):
        replay()
    assert not replay.is_recorded
    assert float(total) == 4


@pytest.mark.parametrize(
    ("offset", "seconds", "is_taken"),
    [(0.0, 0.5, True), (0.0, 1.0, False), (0.001, 0.5, True), (0.1, 0.1, False)],
)
def test_a_kernel_is_taken_if_it_agrees_and_is_faster(
    offset: float, seconds: float, is_taken: bool
) -> None:
    own = torch.linspace(-1, 1, 32)

    def champion() -> tuple[Tensor, ...]:
        return (own,)

    def challenger() -> tuple[Tensor, ...]:
        return (own + offset,)

    def timed(work: Callable[[], object]) -> float:
        return seconds if work is challenger else 1.0

    assert devices.is_better(challenger, champion, timed, tolerance=0.02) is is_taken


def test_a_kernel_that_cannot_run_is_not_taken() -> None:
    def broken() -> tuple[Tensor, ...]:
        raise RuntimeError("no kernel image is available for execution on the device")

    own = torch.ones(2)
    assert not devices.is_better(broken, lambda: (own,), lambda work: 0.0, tolerance=1.0)


def test_flash_attention_that_is_not_installed_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "flash_attn":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert devices.installed_flash_attention() is None


def test_on_the_cpu_copies_and_lanes_are_plain() -> None:
    values = torch.arange(3)
    assert devices.upload(values, CPU) is values
    got = devices.download(values).wait()
    values += 1
    assert got.tolist() == [0, 1, 2]
    with devices.lane(CPU, "answer"):
        devices.hold(values)
        devices.finish(CPU)
