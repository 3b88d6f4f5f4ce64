"""Probe runs: a grid that grows cell by cell equals one written down whole."""

from dataclasses import replace

import pytest

from engine.errors import NotFoundError
from engine.probe_records import ProbeCell, ProbeResult
from storage.catalog import Catalog


def cell(length_frames: int, depth: float) -> ProbeCell:
    return ProbeCell(
        length_frames=length_frames,
        length_s=float(length_frames),
        depth=depth,
        n=8,
        answers_right=7,
        evidence_hit_at_1=8,
        evidence_hit_at_5=8,
    )


EMPTY = ProbeResult(haystack="lobby", model="video_xl/nano", compression_ratio=8, recall="top")
CELLS = (cell(256, 0.5), cell(64, 0.0), cell(64, 1.0))


def test_growing_grid_equals_one_written_whole(catalog: Catalog) -> None:
    growing = catalog.probes.add(EMPTY, settings={"lengths": [64, 256]})
    for number, added in enumerate(CELLS, start=1):
        catalog.probes.add_cell(growing.id, added, wall_s=float(number), trials=[{"answer": "B4"}])
    whole = replace(EMPTY, cells=CELLS, wall_s=3.0)
    assert catalog.probes.get(growing.id).result == whole
    assert catalog.probes.get(catalog.probes.add(whole).id).result == whole
    assert catalog.probes.trials(growing.id, 2) == ({"answer": "B4"},)


def test_run_outlives_its_job(catalog: Catalog) -> None:
    video = catalog.videos.add(name="lobby", uri="x").id
    job = catalog.jobs.add("probe", {}, video=video)
    run = catalog.probes.add(EMPTY, holder=job)
    assert run.job == job.id
    catalog.videos.remove(video)
    assert catalog.probes.get(run.id).job is None


def test_runs_are_listed_newest_first_and_can_be_removed(catalog: Catalog) -> None:
    first, second = catalog.probes.add(EMPTY), catalog.probes.add(EMPTY)
    assert catalog.probes.list() == (second, first)
    catalog.probes.remove(second.id)
    assert catalog.probes.list() == (first,)
    with pytest.raises(NotFoundError):
        catalog.probes.add_cell(second.id, CELLS[0], wall_s=1.0)
    with pytest.raises(NotFoundError):
        catalog.probes.trials(first.id, 0)
