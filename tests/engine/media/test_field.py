"""Files of the kinds that people report are read as they should; skips where they are missing."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.media.clip import cut
from engine.media.frame import Frame
from engine.media.sample import FrameReader, SamplingConfig
from engine.media.source import MediaLimits
from engine.records import TimeSpan

FOLDER = Path(os.environ.get("LONGWATCH_TEST_DATA", "../shared/data")) / "field"


def _cases() -> list[dict[str, Any]]:
    path = FOLDER / "cases.json"
    cases: list[dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else []
    return cases


@pytest.mark.parametrize("case", _cases(), ids=lambda case: str(case["file"]))
def test_field_case_is_read_as_it_should(case: dict[str, Any], tmp_path: Path) -> None:
    path = FOLDER / case["file"]
    right = case.get("right", {})
    config = SamplingConfig(fps=1.0, thin_static=False)
    with FrameReader(str(path), config, limits=MediaLimits()) as reader:
        frames = list(reader)
        info, stats = reader.info, reader.stats
    if "duration_s" in right:
        at_most_s = right.get("tolerance_s", 0.15)
        assert info.duration_s == pytest.approx(right["duration_s"], abs=at_most_s)
    least, most = right.get("frames_between", [right.get("frames", 1), right.get("frames", 10**6)])
    assert least <= len(frames) <= most
    assert stats.gaps == right.get("gaps", stats.gaps)
    assert f"{info.width_px}x{info.height_px}" == right.get(
        "size", f"{info.width_px}x{info.height_px}"
    )
    assert frames[-1].pts_s == pytest.approx(right.get("last_s", frames[-1].pts_s), abs=0.15)
    assert not (right.get("no_warning") and info.warnings)
    assert frames[-1].pixels.mean() >= right.get("mean_at_least", 0)
    assert max(map(_combed, frames[1:-1]), default=0) <= right.get("combed_pixels_at_most", 10**9)
    if "cut" in right:
        start_s, end_s = map(float, right["cut"])
        clip = cut(str(path), TimeSpan(start_s=start_s, end_s=end_s), tmp_path / "clip.mp4")
        assert clip.span.start_s <= start_s + 0.05
        assert clip.span.end_s >= end_s - 0.11


def _combed(frame: Frame) -> int:
    grey = frame.pixels.astype(float).mean(axis=2)
    return int((np.abs(grey[1:-1] - (grey[:-2] + grey[2:]) / 2) > 60).sum())
