"""What `longwatch train` says while it runs, and of what it leaves."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.cli.main import main
from app.cli.render_measures import render
from app.progress import ProgressUpdate
from app.schemas.training import MemoryPlanResponse
from app.services.training import train_recipe
from engine.models.video_xl.model import write_tiny
from engine.training.checkpoint import FILE
from engine.training.loop import Progress, run_stage
from engine.training.recipes import nano_smoke
from tests.engine.training.test_loop import CONFIG, Line
from tests.support.short_training import settings


def lesson(output: Path, resume: bool) -> Iterator[Progress]:
    """A recipe in small: two bad samples, a stage, a model."""
    for number in (3, 8):
        note = f"mine.jsonl, line {number}: not JSON; skipped"
        yield Progress(stage="data", step=0, n_steps=0, note=note, skipped=1)
    yield from run_stage(Line(), replace(CONFIG, n_steps=4), output / "line", resume=resume)
    (output / "model").mkdir(exist_ok=True)
    yield Progress(stage="export", step=1, n_steps=1, note="written")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nano_smoke, "run", lesson)


def test_the_document_names_scores_skipped_samples_model_and_curves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "nano_smoke", "--output", str(tmp_path), "--json"]) == 0
    heard = capsys.readouterr()
    document, folder = json.loads(heard.out), tmp_path / "nano_smoke"
    assert document["steps"] == 4
    assert document["skipped"] == 2
    assert document["measured"].keys() == {"bias"}
    assert document["model"] == str(folder / "model")
    assert document["curves"] == [str(folder / "line" / "curves.png")]
    assert "nano_smoke: mine.jsonl, line 8: not JSON; skipped" in heard.err
    assert main(["train", "nano_smoke", "--output", str(tmp_path), "--resume"]) == 0
    said = capsys.readouterr().out
    assert "2 samples skipped" in said
    assert "bias" in said


def test_progress_tells_loss_rate_speed_and_the_time_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(output: Path, resume: bool) -> Iterator[Progress]:
        yield Progress(
            stage="line", step=150, n_steps=300, loss=1.25, learning_rate=3e-4, wall_s=100.0
        )

    monkeypatch.setattr(nano_smoke, "run", half)
    steps: list[ProgressUpdate] = []
    train_recipe("nano_smoke", tmp_path, resume=False, report=steps.append, say=print)
    (step,) = steps
    assert (step.what, step.done, step.total) == ("nano_smoke: line", 150, 300)
    assert step.note == "step 150, loss 1.250, rate 3.0e-04, 1.5 steps/s, 1.7 minutes left"


def test_a_damaged_checkpoint_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "nano_smoke", "--output", str(tmp_path)]) == 0
    path = tmp_path / "nano_smoke" / "line" / FILE
    path.write_bytes(path.read_bytes()[:1000])
    capsys.readouterr()
    assert main(["train", "nano_smoke", "--output", str(tmp_path), "--resume"]) == 5
    heard = capsys.readouterr().err
    assert f"{path} is damaged" in heard
    assert "Traceback" not in heard


def test_several_processes_without_accelerate_are_told_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert main(["train", "nano_smoke", "--output", str(tmp_path)]) == 4
    assert "pip install 'longwatch[train]'" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_plan_says_what_a_run_will_hold_and_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny(tmp_path / "base")
    settings(tmp_path / "finetune", "finetune.json", max_frames=2)
    words = ["train", "finetune", "--plan", "--output", str(tmp_path)]
    assert main([*words, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    parts = ("weights_bytes", "gradients_bytes", "optimiser_bytes", "working_bytes")
    assert plan["total_bytes"] == sum(plan[part] for part in parts)
    assert plan["fits"]
    assert plan["card_bytes"] == 80 * 10**9
    assert [path.name for path in (tmp_path / "finetune").iterdir()] == ["finetune.json"]
    table = render(MemoryPlanResponse(**plan | {"fits": False}))
    assert "does not fit 80 GB" in str(list(table.columns[2].cells))
