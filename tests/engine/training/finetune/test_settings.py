"""Settings files, and the samples of their sources."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InputRefusedError
from engine.training.data.samples import SampleSource
from engine.training.finetune.settings import TuningConfig, read_settings, read_usable


def written(folder: Path, **values: Any) -> Path:
    path = folder / "recipe.json"
    path.write_text(json.dumps({"model": "base", "data": "d.jsonl", "media": "m"} | values))
    return path


def test_one_file_or_several_with_weights_are_read(tmp_path: Path) -> None:
    config = read_settings(written(tmp_path), TuningConfig)
    assert config.data == (SampleSource(file=tmp_path / "d.jsonl", media=tmp_path / "m"),)
    several = [
        {"file": "a.json", "media": "n", "weight": 2},
        {"file": "/elsewhere/b.json"},
    ]
    config = read_settings(written(tmp_path, data=several, held_out="h.json"), TuningConfig)
    assert config.data == (
        SampleSource(file=tmp_path / "a.json", media=tmp_path / "n", weight=2.0),
        SampleSource(file=Path("/elsewhere/b.json"), media=tmp_path / "m"),
    )
    assert config.held_out == (SampleSource(file=tmp_path / "h.json", media=tmp_path / "m"),)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"step": 3}, "no setting 'step'; did you mean 'steps'"),
        ({"steps": 0}, "steps must be"),
        ({"samples_per_step": 0}, "samples_per_step must be"),
        ({"learning_rate": -1.0}, "learning_rate must be"),
        ({"bf16": "no"}, "bf16"),
        ({"gradient_checkpointing": "yes"}, "gradient_checkpointing"),
        ({"data": [{"file": "a", "weigth": 2}]}, "a source must be"),
        ({"data": [{"file": "a", "weight": 0}]}, "above 0"),
        ({"data": [{"file": "a", "weight": "much"}]}, "must be a number"),
        ({"data": [{"file": "a"}], "media": None}, "media folder of a is missing"),
    ],
)
def test_a_setting_that_cannot_be_is_named(
    tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputRefusedError, match=message):
        read_settings(written(tmp_path, **values), TuningConfig)


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text('{"model": "base"}')
    with pytest.raises(InputRefusedError, match="'data' is missing"):
        read_settings(tmp_path / "recipe.json", TuningConfig)


def test_samples_of_all_sources_are_read_and_none_at_all_is_refused(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(json.dumps({"conversations": turns}) + "\n{")
    sources = [
        SampleSource(file=tmp_path / "a.jsonl", media=tmp_path),
        SampleSource(file=tmp_path / "b.jsonl", media=tmp_path, weight=3.0),
    ]
    read = read_usable(sources)
    assert [sample.weight for sample in read.samples] == [1.0, 3.0]
    assert [bad.location for bad in read.bad] == ["a.jsonl, line 2", "b.jsonl, line 2"]
    (tmp_path / "a.jsonl").write_text("{")
    with pytest.raises(InputRefusedError, match=r"no usable sample: a\.jsonl, line 1: not JSON"):
        read_usable(sources[:1])
