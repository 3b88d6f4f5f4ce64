"""Settings files, sources with weights, and what is drawn."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import InputRefusedError
from engine.training.data.samples import Sample, Source
from engine.training.finetune.trainer import (
    Pool,
    TuningConfig,
    read_settings,
    read_usable,
    shares_of,
)


def written(folder: Path, **said: Any) -> Path:
    path = folder / "recipe.json"
    path.write_text(json.dumps({"model": "base", "data": "d.jsonl", "media": "m"} | said))
    return path


def test_one_file_or_several_with_weights_are_read(tmp_path: Path) -> None:
    config = read_settings(written(tmp_path), TuningConfig)
    assert config.data == (Source(file=tmp_path / "d.jsonl", media=tmp_path / "m"),)
    several = [
        {"file": "a.json", "media": "n", "weight": 2},
        {"file": "/elsewhere/b.json"},
    ]
    config = read_settings(written(tmp_path, data=several, held_out="h.json"), TuningConfig)
    assert config.data == (
        Source(file=tmp_path / "a.json", media=tmp_path / "n", weight=2.0),
        Source(file=Path("/elsewhere/b.json"), media=tmp_path / "m"),
    )
    assert config.held_out == (Source(file=tmp_path / "h.json", media=tmp_path / "m"),)


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"step": 3}, "no setting 'step'; did you mean 'steps'"),
        ({"steps": 0}, "steps must be"),
        ({"samples_per_step": 0}, "samples_per_step must be"),
        ({"learning_rate": -1.0}, "learning_rate must be"),
        ({"data": [{"file": "a", "weigth": 2}]}, "a source must be"),
        ({"data": [{"file": "a", "weight": 0}]}, "above 0"),
        ({"data": [{"file": "a", "weight": "much"}]}, "must be a number"),
        ({"data": [{"file": "a"}], "media": None}, "media folder of a is missing"),
    ],
)
def test_a_setting_that_cannot_be_is_named(
    tmp_path: Path, said: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputRefusedError, match=named):
        read_settings(written(tmp_path, **said), TuningConfig)


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text('{"model": "base"}')
    with pytest.raises(InputRefusedError, match="'data' is missing"):
        read_settings(tmp_path / "recipe.json", TuningConfig)


def test_samples_of_all_sources_are_read_and_none_at_all_is_refused(tmp_path: Path) -> None:
    said = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(json.dumps({"conversations": said}) + "\n{")
    sources = [
        Source(file=tmp_path / "a.jsonl", media=tmp_path),
        Source(file=tmp_path / "b.jsonl", media=tmp_path, weight=3.0),
    ]
    read = read_usable(sources)
    assert [sample.weight for sample in read.samples] == [1.0, 3.0]
    assert [bad.place for bad in read.bad] == ["a.jsonl, line 2", "b.jsonl, line 2"]
    (tmp_path / "a.jsonl").write_text("{")
    with pytest.raises(InputRefusedError, match=r"no usable sample: a\.jsonl, line 1: not JSON"):
        read_usable(sources[:1])


def test_samples_are_drawn_as_often_as_their_weights_say() -> None:
    rare = [Sample(place="rare", media=(), turns=()) for _ in range(3)]
    often = [Sample(place="often", media=(), turns=(), weight=3.0) for _ in range(3)]
    random, pool = np.random.default_rng(0), Pool([*rare, *often])
    drawn = Counter(pool.draw(random).place for _ in range(2000))
    assert drawn["often"] == pytest.approx(1500, abs=60)
    assert shares_of({"text": rare, "video": often}) == {"text": 0.25, "video": 0.75}
