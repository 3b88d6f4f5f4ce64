import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from engine.training.curves import JSON, PICTURE, Curves, Series, write_curves

CURVES = Curves(
    stage="reader",
    n_steps=400,
    step=(100, 200, 300),
    loss=(3.0, 0.5, 0.2),
    learning_rate=(1e-3, 8e-4, 3e-4),
    wall_s=(10.0, 21.0, 33.0),
    scores={
        "what@1": Series(step=(200,), value=(0.75,)),
        "loss": Series(step=(200,), value=(2.5,)),
    },
)


def test_the_file_holds_every_series(tmp_path: Path) -> None:
    write_curves(CURVES, tmp_path)
    document = json.loads((tmp_path / JSON).read_text())
    assert document["step"] == [100, 200, 300]
    assert document["loss"] == [3.0, 0.5, 0.2]
    assert document["learning_rate"] == [1e-3, 8e-4, 3e-4]
    assert document["wall_s"] == [10.0, 21.0, 33.0]
    assert document["scores"]["what@1"] == {"step": [200], "value": [0.75]}


@pytest.mark.parametrize("n_scores", [0, 1, 30])
def test_the_picture_is_a_thousand_pixels_wide_and_taller_with_scores(
    tmp_path: Path, n_scores: int
) -> None:
    scores = {f"kind{number}@1": CURVES.scores["what@1"] for number in range(n_scores)}
    write_curves(replace(CURVES, scores=scores), tmp_path)
    with Image.open(tmp_path / PICTURE) as picture:
        assert picture.width == 1000
        assert picture.height == (780 if n_scores else 440)
        colours = picture.convert("RGB").getcolors(1 << 20)
    assert colours is not None
    blue = sum(n for n, (red, green, blue) in colours if blue > 150 and red < 60 and green < 140)
    assert blue > 300


def test_a_long_run_is_smoothed_and_one_line_is_enough(tmp_path: Path) -> None:
    long = tuple(range(1, 101))
    many = tuple(float(step) for step in long)
    for run in (
        replace(CURVES, step=long, loss=many, learning_rate=many, wall_s=many),
        replace(CURVES, step=(1,), loss=(0.0,), learning_rate=(0.1,), wall_s=(1.0,), scores={}),
    ):
        write_curves(run, tmp_path)
    assert json.loads((tmp_path / JSON).read_text())["loss"] == [0.0]
    assert sorted(path.name for path in tmp_path.iterdir()) == [JSON, PICTURE]


def test_matplotlib_is_not_imported_before_something_is_drawn() -> None:
    script = "import sys, engine.training.loop; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
