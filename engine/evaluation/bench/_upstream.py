"""The published code of Video-XL beside the engine, where someone has a copy of it.

Nothing of it is part of this package. It is run in a process of another interpreter, on a folder
that is written in the released layout, with the tower's features handed in.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from jaxtyping import Float32
from torch import Tensor

from engine.errors import InputRefusedError, MissingCapabilityError
from engine.models.video_xl.net import VideoXlNet, save_net

PACKAGE: Final = "videoxl"
DRIVER: Final = Path(__file__).parent / "_upstream_driver.py"
LONGEST_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A copy of the published code, and what runs it."""

    code: Path
    """The folder with the package `videoxl`."""
    python: Path
    """An interpreter with torch, transformers as old as the code, and what else it imports."""


def find_upstream(folder: Path, python: Path | None) -> Upstream:
    """Return the published code below a folder.

    Args:
        folder: A clone of the published repository, or any folder of it above the package.
        python: The interpreter; this one when `None`.
    Raises:
        InputRefusedError: No such folder, package or interpreter.
    """
    chosen = Path(sys.executable) if python is None else python
    if not chosen.is_file():
        raise InputRefusedError(f"{chosen} is no Python interpreter")
    inits = sorted(folder.rglob(f"{PACKAGE}/model/language_model/llava_qwen.py"))
    if not inits:
        raise InputRefusedError(
            f"no package {PACKAGE} below {folder}",
            hint="name a clone of the repository that the Video-XL paper links",
        )
    return Upstream(code=inits[0].parents[3].resolve(), python=chosen.absolute())


def run_upstream(
    upstream: Upstream,
    net: VideoXlNet,
    visual: Float32[Tensor, "tokens width"],
    *,
    prefix: Sequence[int],
    question: Sequence[int],
    n_first: int,
    attention: Literal["sdpa", "eager"],
    threads: int,
) -> dict[str, Any]:
    """Have the published code read features and a question, with the weights of a net.

    Args:
        visual: Features of all frames, projected and pooled.
        prefix: Ids before the features.
        question: Ids behind them.
        n_first: Features that it reads once before it is measured.
    Returns:
        `cpu_s`, `peak_bytes` above what it holds before, and `logits` of the last position.
    Raises:
        MissingCapabilityError: It does not run there; the error holds its last line.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_net(net, folder, variant="bench")
        np.save(folder / "features.npy", visual.numpy())
        order = {
            "code": str(upstream.code),
            "checkpoint": name,
            "features": str(folder / "features.npy"),
            "answer": str(folder / "answer.json"),
            "prefix": [*prefix],
            "question": [*question],
            "n_first": n_first,
            "attention": attention,
            "threads": threads,
        }
        order_file = folder / "order.json"
        order_file.write_text(json.dumps(order), encoding="utf-8")
        done = subprocess.run(
            [upstream.python, DRIVER, order_file],
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise MissingCapabilityError(
                f"the code in {upstream.code} does not run: {lines[-1][:300]}",
                hint="run it with an interpreter that has the versions it was written for",
            )
        answer: dict[str, Any] = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
        return answer
