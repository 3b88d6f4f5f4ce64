from pathlib import Path

import pytest
from PIL import Image

from engine.evaluation.plots import Panel, draw_side_by_side

CELLS = [(length, depth) for length in (64, 128) for depth in (0.0, 0.5, 1.0)]


def panel(title: str, share: float) -> Panel:
    return Panel(title=title, note="0.5 a second", shares=dict.fromkeys(CELLS, share))


def test_panels_share_one_scale(tmp_path: Path) -> None:
    path = tmp_path / "maps.png"
    draw_side_by_side([panel("dark", 0.0), panel("light", 1.0)], path, heading="two")
    picture = Image.open(path)
    assert picture.width == 1800
    colours = picture.convert("RGB").getcolors(1 << 20)
    assert colours is not None
    common = {colour for n, colour in colours if n > 10_000}
    assert {(0, 34, 77), (253, 231, 55)} <= common, "both ends of cividis"


def test_panels_of_other_cells_are_refused(tmp_path: Path) -> None:
    other = Panel(title="b", note="", shares={(64, 0.0): 1.0})
    with pytest.raises(ValueError, match="same lengths"):
        draw_side_by_side([panel("a", 0.5), other], tmp_path / "maps.png", heading="two")
