"""What measuring commands tell: every signal and group is in the document and on the terminal."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from app.cli.render_measures import render
from app.config.settings import load_settings
from app.progress import ProgressUpdate
from app.schemas.evaluation import (
    CalibrationResponse,
    EvidenceResponse,
    EvidenceRow,
    ShareItem,
)
from app.services.context import ServiceContext
from app.services.evaluation import calibrate_model, compare_signals, describe_rates
from engine.evaluation.abstention import Rates
from engine.models.video_xl import model as video_xl

MEAN = ShareItem(value=0.913, low=0.9, high=0.925)
ROW = EvidenceRow(
    group="when",
    signals="both",
    n=7,
    hit_at_1=MEAN,
    hit_at_5=MEAN,
    iou=MEAN,
    covered=MEAN,
    median_ms=4.2,
)


def shown(document: object) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(render(document))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_row_shows_its_means_with_their_intervals() -> None:
    document = EvidenceResponse(
        model="nano", attention_weight=0.25, overall=[ROW], by_setting=[], by_kind=[]
    )
    text = shown(document)
    assert "0.91 (0.90-0.93)" in text
    assert "attention counts 0.25" in text


@pytest.mark.slow
def test_signals_are_compared_through_the_service(tmp_path: Path) -> None:
    video_xl.write_tiny(tmp_path / "tiny")
    service = ServiceContext(
        load_settings({"model": str(tmp_path / "tiny")}, home=tmp_path / "home")
    )
    steps: list[ProgressUpdate] = []
    try:
        document = compare_signals(service, lengths=(16,), n_frames=16, report=steps.append)
    finally:
        service.close()
    assert [row.signals for row in document.overall] == ["vectors", "attention", "both"]
    assert len({row.n for row in document.overall}) == 1
    assert {row.group for row in document.by_setting} == {
        "drawn, sparse, 16 frames",
        "drawn, dense, 16 frames",
    }
    assert len(steps) == 2


def test_both_errors_are_shown_with_their_counts() -> None:
    row = Rates(group="all", n_there=200, misses=2, n_absent=100, false_alarms=0)
    (item,) = describe_rates([row])
    assert item.miss_rate.value == 0.01
    document = CalibrationResponse(file="retrieval.json", signals="vectors", rates=[item])
    text = shown(document)
    assert "2: 0.010 (0.003-0.036)" in text
    assert "0: 0.000 (0.000-0.037)" in text


@pytest.mark.slow
def test_a_calibration_lies_by_the_weights_with_its_curve(tmp_path: Path) -> None:
    video_xl.write_tiny(tmp_path / "tiny")
    service = ServiceContext(
        load_settings({"model": str(tmp_path / "tiny")}, home=tmp_path / "home")
    )
    try:
        document = calibrate_model(service, plot=tmp_path / "curve.png")
    finally:
        service.close()
    assert (tmp_path / "tiny" / "retrieval.json").is_file()
    assert (tmp_path / "curve.png").stat().st_size > 0
    assert document.rates[-1].group == "all"
