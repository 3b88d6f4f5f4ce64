"""A training killed at any moment, even while it saves, resumes to the same bytes.

The command line runs in forked children, so that five lives do not load torch five times.
"""

import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from app.cli.main import main
from engine.training.checkpoint import FILE
from engine.training.curves import JSON, PICTURE
from engine.training.loop import LoopConfig, read_progress
from engine.training.recipes import nano_smoke
from tests.support.short_training import TINY_NANO

LOOP = LoopConfig(n_steps=12, learning_rate=1e-3, save_every=4, log_every=1)
STAGES = ("tower", "reader")


def train(home: Path, *, slow_disk: bool = False) -> int:
    """`longwatch train nano_smoke` of a shrunken plan in a child; its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        # The curriculum comes to recall as many chunks as 64 by the end.
        nano_smoke.PLAN = replace(
            TINY_NANO,
            clip=replace(TINY_NANO.clip, loop=LOOP),
            decoder=replace(TINY_NANO.decoder, loop=LOOP, n_chunks=64),
        )
        if slow_disk:
            os.fsync = lambda handle: time.sleep(0.5)
        with (home / "said").open("a", buffering=1) as sys.stderr:
            sys.stdout = sys.stderr
            try:
                status = main(["train", "nano_smoke", "--output", str(home), "--resume"])
            except BaseException:
                traceback.print_exc()
                raise
    finally:
        os._exit(status)


def kill(child: int, is_time: Callable[[], bool]) -> None:
    """Strike as soon as it is time; the child must still be running then."""
    while not is_time():
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)


def test_three_kills_change_no_bit(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    assert os.waitpid(train(whole), 0)[1] == 0, (whole / "said").read_text()

    run, moments = killed / "nano_smoke", random.Random(2026)
    lines = {stage: moments.randrange(1, LOOP.n_steps - 2) for stage in STAGES}
    part = run / "tower" / f".{FILE}.part"
    kill(train(killed), lambda: len(read_progress(run / "tower")) >= lines["tower"])
    kill(train(killed, slow_disk=True), part.is_file)
    assert part.is_file()
    kill(train(killed), lambda: len(read_progress(run / "reader")) >= lines["reader"])
    assert os.waitpid(train(killed), 0)[1] == 0, (killed / "said").read_text()

    expected, found = (home / "nano_smoke" for home in (whole, killed))
    for file in ("model/model.safetensors", "vocabulary.json"):
        assert (found / file).read_bytes() == (expected / file).read_bytes()
    for stage in STAGES:
        assert flat(found / stage) == flat(expected / stage)
        steps = [line.step for line in read_progress(found / stage)]
        assert steps == list(range(1, LOOP.n_steps + 1))
        ours, theirs = (json.loads((each / stage / JSON).read_text()) for each in (found, expected))
        assert ours["step"] == steps
        assert ours["loss"] == theirs["loss"]
        assert ours["scores"] == theirs["scores"]
        kept = {path.name for path in (found / stage).iterdir()}
        assert kept == {FILE, JSON, PICTURE, "progress.jsonl"}


def test_interrupted_training_says_what_is_kept_and_how_to_go_on(tmp_path: Path) -> None:
    run = tmp_path / "nano_smoke"
    child = train(tmp_path)
    while not (run / "tower" / FILE).is_file():
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        time.sleep(0.001)
    os.kill(child, signal.SIGINT)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130
    last = (tmp_path / "said").read_text().strip().splitlines()[-1]
    assert last.startswith(f"stopped; the last checkpoint below {run} is kept; ")
    assert f"`longwatch train nano_smoke --output {tmp_path} --resume`" in last


def flat(folder: Path) -> dict[str, list[float]]:
    """Weights, and all that the optimiser keeps of them."""
    state = torch.load(folder / FILE, weights_only=True)
    assert state["step"] == LOOP.n_steps
    held = {f"model {name}": value for name, value in state["model"].items()}
    for number, kept in state["optimiser"]["state"].items():
        held |= {f"optimiser {number} {name}": value for name, value in kept.items()}
    return {name: torch.as_tensor(value).flatten().tolist() for name, value in held.items()}
