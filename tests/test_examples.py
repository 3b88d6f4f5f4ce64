"""The examples run as they stand, find what the drawn clip shows, and implement the protocols."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.protocols import VectorIndex, VideoModel

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SAYS = {
    "ingest_and_ask": [
        "A dog runs to the right.",
        "What code is on the red star card? 12.\n  28.5",
    ],
    "your_own_family": ["Something red.\n  28.5"],
    "your_own_index": ["Is there a dog? Yes.\n  1.5"],
}
"""Of each example, sentences that it prints about the clip: seed 3, a dog at 1.7 s, a red star
card with the code 12 at 28.6 s."""


def test_every_example_is_run_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SAYS)


@pytest.mark.parametrize("name", SAYS)
def test_example_has_under_fifty_lines(name: str) -> None:
    lines = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()
    assert sum(bool(line.strip()) for line in lines) < 50


@pytest.mark.parametrize("name", SAYS)
def test_example_prints_what_the_clip_shows(name: str) -> None:
    ran = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    for sentence in SAYS[name]:
        assert sentence in ran.stdout


def test_examples_implement_the_protocols(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    family = importlib.import_module("your_own_family")
    index = importlib.import_module("your_own_index")
    assert isinstance(family.Redness(), VideoModel)
    assert isinstance(index.FrameList(), VectorIndex)
