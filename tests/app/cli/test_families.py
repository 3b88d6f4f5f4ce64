"""Checkpoints of every family in the released layout, as people use them: by commands alone."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.cli.main import main
from engine.media.encode import write_video
from engine.models.registry import families, load_family
from tests.support.oracle_mixtral import save_random

KINDS = {"smolvlm": ("tokens", "keys_values"), "qwen3_vl": ("tokens", "keys_values")}
"""What families keep of a chunk, where they leave the choice."""
CASES = [(name, kind) for name in families() for kind in KINDS.get(name, (None,))]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(filter(None, case)))
def library(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A home folder whose settings name a tiny checkpoint, and a clip."""
    name, kind = request.param
    home = tmp_path_factory.mktemp("home")
    checkpoint, clip = home / "checkpoint", home / "yard.mp4"
    load_family(name).write_tiny(checkpoint)
    rng = np.random.default_rng(3)
    write_video(clip, (rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(20)), 1.0)
    lines = [f"model = {json.dumps(str(checkpoint))}", "[limits]", "answer_tokens = 4"]
    if kind is not None:
        lines += ["[stream]", f"latent_kind = {json.dumps(kind)}", "compression_ratio = 2"]
        lines += ['latent_format = "int8"']
    (home / "longwatch.toml").write_text("\n".join(lines))
    return home, clip


def run(home: Path, words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> Any:
    assert main([*words, "--json", "--home", str(home)]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_a_clip_is_read_asked_searched_and_probed(
    library: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    home, clip = library
    assert (
        "loads strictly"
        in run(home, ["models", "check", str(home / "checkpoint")], capsys)["message"]
    )
    video = run(home, ["ingest", str(clip)], capsys)["videos"][0]
    assert (video["status"], video["frames_encoded"]) == ("ready", 20)
    asked = run(home, ["ask", "What happens in the whole video?"], capsys)
    assert asked["answered_by"] == "model"
    assert asked["recalled_chunks"] == video["chunks"]
    found = run(home, ["search", "a dog"], capsys)
    assert all(0 <= hit["start_s"] < hit["end_s"] <= 20 for hit in found["hits"])
    probe = ["probe", str(clip), "--lengths", "9", "--depths", "0.5", "--seeds", "1"]
    cells = run(home, probe, capsys)["cells"]
    assert [(cell["length_frames"], cell["n"]) for cell in cells] == [(9, 1)]


def test_a_mixture_answers_with_its_experts_on_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, clip = tmp_path / "checkpoint", tmp_path / "yard.mp4"
    save_random(checkpoint, 3)
    rng = np.random.default_rng(3)
    write_video(clip, (rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(6)), 1.0)
    lines = [f"model = {json.dumps(str(checkpoint))}", "[limits]", "answer_tokens = 4"]
    lines += ["[weights]", "expert_device_bytes = 0"]
    (tmp_path / "longwatch.toml").write_text("\n".join(lines))
    assert run(tmp_path, ["ingest", str(clip)], capsys)["videos"][0]["status"] == "ready"
    asked = run(tmp_path, ["ask", "What happens in the whole video?"], capsys)
    assert asked["answered_by"] == "model"
