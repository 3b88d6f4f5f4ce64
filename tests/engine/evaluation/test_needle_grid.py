"""A grid of needles: every cell is run, drawn and written down."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from engine.evaluation.needle import Finding
from engine.evaluation.needle_grid import (
    GridConfig,
    draw_heat_map,
    drawn_haystack,
    run_grid,
    summarise,
    write_table,
)
from engine.pipeline.engine import Engine
from engine.pipeline.ingest import ingest
from engine.probe_records import ProbeResult
from engine.records import Recall
from tests.engine.evaluation.test_needle import RED
from tests.engine.pipeline.conftest import CAMERA
from tests.support.fakes import story


def probed(engine: Engine, recall: Recall = "top", ratio: int | None = None) -> ProbeResult:
    config = GridConfig(
        lengths=(16, 40), depths=(0.0, 0.5, 1.0), recall=recall, compression_ratio=ratio
    )
    *cells, result = run_grid(
        engine, list(story("grey*30")), [RED, RED], config, haystack="grey wall"
    )
    assert isinstance(result, ProbeResult)
    assert tuple(cells) == result.cells
    return result


@pytest.mark.parametrize("recall", ["top", "all"])
def test_every_cell_is_run_with_every_needle(build: Callable[..., Engine], recall: Recall) -> None:
    result = probed(build(), recall)
    assert [(cell.length_frames, cell.depth) for cell in result.cells] == [
        (length, depth) for length in (16, 40) for depth in (0.0, 0.5, 1.0)
    ]
    assert {cell.n for cell in result.cells} == {2}
    assert result.recall == recall
    assert result.evidence_hit_at_1 == 1.0
    assert result.answer_accuracy == 1.0


def test_a_probe_leaves_the_library_alone(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*8")))
    before = engine.index.refs()
    probed(engine)
    assert engine.index.refs() == before
    assert len(list(engine.config.latents_folder.rglob("*.safetensors"))) == 2


def test_a_probe_may_compress_harder_than_the_library(build: Callable[..., Engine]) -> None:
    assert probed(build(), ratio=4).compression_ratio == 4


@pytest.mark.parametrize(
    ("rank", "at_1", "at_5"), [(1, 1, 1), (2, 0, 1), (5, 0, 1), (6, 0, 0), (None, 0, 0)]
)
def test_a_hit_at_5_is_evidence_of_rank_5_at_most(rank: int | None, at_1: int, at_5: int) -> None:
    finding = Finding(reply="", is_right=False, evidence_rank=rank, planted_s=1.0, shown=())
    cell = summarise([finding], 16, 16.0, 0.5)
    assert (cell.evidence_hit_at_1, cell.evidence_hit_at_5, cell.n) == (at_1, at_5, 1)


def test_the_table_holds_a_line_per_cell(build: Callable[..., Engine], tmp_path: Path) -> None:
    write_table(probed(build()), tmp_path / "probe.csv")
    with (tmp_path / "probe.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert rows[4]["length_frames"] == "40"
    assert rows[4]["answers_right"] == "2"


def test_the_heat_map_is_a_picture(build: Callable[..., Engine], tmp_path: Path) -> None:
    draw_heat_map(probed(build()), tmp_path / "probe.png")
    with Image.open(tmp_path / "probe.png") as picture:
        assert min(picture.size) > 300


def test_a_drawn_haystack_keeps_the_clock_and_shows_no_card() -> None:
    frames = list(drawn_haystack(5, fps=2.0))
    assert [frame.pts_s for frame in frames] == [0.0, 0.5, 1.0, 1.5, 2.0]


def test_cells_that_were_measured_are_not_measured_again(build: Callable[..., Engine]) -> None:
    whole = probed(build())
    heard: list[Finding] = []
    config = GridConfig(lengths=(16, 40), depths=(0.0, 0.5, 1.0))
    *cells, result = run_grid(
        build(),
        list(story("grey*30")),
        [RED, RED],
        config,
        haystack="grey wall",
        on_finding=heard.append,
        measured=whole.cells[:4],
    )
    assert isinstance(result, ProbeResult)
    assert result.cells == whole.cells
    assert tuple(cells) == whole.cells[4:]
    assert len(heard) == 4


@pytest.mark.parametrize("wrong", [{"lengths": ()}, {"lengths": (0,)}, {"depths": (1.5,)}])
def test_a_grid_that_cannot_be_is_refused(wrong: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match="must"):
        GridConfig(**wrong)  # type: ignore[arg-type]
