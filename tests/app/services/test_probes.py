"""Probe runs as jobs: what a killed start has measured is kept, what changed is measured anew."""

import json
import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest
from PIL import Image

from app.services.access import FULL_ACCESS
from app.services.context import ServiceContext
from app.services.probes import ProbeOrder, choose_needles, enqueue_probe, probe
from app.worker.handlers import open_worker
from engine.probe_records import ProbeCell
from storage.catalog import open_catalog
from storage.files import HomeFolder
from storage.records import ProbeRunRow
from tests.support.site import open_library

ORDER = ProbeOrder(
    haystack=None,
    lengths=(8, 16, 24),
    depths=(0.0, 0.25, 0.5, 0.75, 1.0),
    seeds=3,
    ratio=None,
    recall="top",
)
N_CELLS = 15


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A library over the tiny model, and a folder of needles below a root of it."""
    folder = tmp_path / "roots" / "signs"
    folder.mkdir(parents=True)
    write_needles(folder, "red")
    (tmp_path / "home").mkdir()
    open_library(tmp_path / "home").close()
    return tmp_path / "home"


def write_needles(folder: Path, answer: str) -> None:
    """One picture and a question about it."""
    Image.new("RGB", (640, 480), answer).save(folder / "sign.png")
    line = {"image": "sign.png", "question": "Which colour is the sign?", "answer": answer}
    (folder / "needles.jsonl").write_text(json.dumps(line))


def order_in(home: Path, order: ProbeOrder, **flags: object) -> None:
    """Ask for a run."""
    service = open_library(home, **flags)
    enqueue_probe(service, order, FULL_ACCESS)
    service.close()


def work(home: Path, **flags: object) -> None:
    """Do what is to do, as a worker that was just started."""
    service = open_library(home, **flags)
    open_worker(service).run(until_idle=True)
    service.close()


def runs(home: Path) -> tuple[ProbeRunRow, ...]:
    """What is written down."""
    with open_catalog(f"sqlite:///{home / 'longwatch.db'}") as catalog:
        return catalog.probes.list()


def killed_at(home: Path, n_cells: int) -> tuple[ProbeCell, ...]:
    """Work in a child that is killed once so many cells are written; the cells it left."""
    child = os.fork()
    if child == 0:
        try:
            work(home)
        finally:
            os._exit(0)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = runs(home)
        if found and len(found[0].result.cells) >= n_cells:
            break
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return runs(home)[0].result.cells


def test_killed_run_goes_on_where_it_stopped(home: Path) -> None:
    order_in(home, ORDER)
    left = killed_at(home, 3)
    assert 3 <= len(left) < N_CELLS, "it was done before it could be killed"
    (before,) = runs(home)
    # A mark that measuring again would wipe out.
    with sqlite3.connect(home / "longwatch.db") as database:
        database.execute("update probe_cells set trials = ? where ordinal = 0", ('[{"kept": 1}]',))
    database.close()
    work(home)
    (after,) = runs(home)
    assert after.id == before.id
    assert after.result.cells[: len(left)] == left
    assert after.result.wall_s > before.result.wall_s
    with open_catalog(f"sqlite:///{home / 'longwatch.db'}") as catalog:
        assert catalog.probes.trials(after.id, 0) == ({"kept": 1},)
        assert len(catalog.probes.trials(after.id, N_CELLS - 1)) == 3
    order_in(home, ORDER)
    work(home)
    undisturbed = runs(home)[0]
    assert undisturbed.id != after.id
    assert undisturbed.result.cells == after.result.cells


def test_own_needles_are_planted_and_their_pictures_kept(home: Path) -> None:
    folder = home.parent / "roots" / "signs"
    roots = {"paths.media_roots": [str(home.parent / "roots")]}
    order = ProbeOrder(
        haystack=None, lengths=(8,), depths=(0.5,), seeds=1, ratio=None, recall="top",
        needles=str(folder),
    )  # fmt: skip
    order_in(home, order, **roots)
    work(home, **roots)
    (run,) = runs(home)
    with open_catalog(f"sqlite:///{home / 'longwatch.db'}") as catalog:
        (trial,) = catalog.probes.trials(run.id, 0)
    assert trial["expected"] == "red"
    with Image.open(HomeFolder(home).probe_still(run.id, 0)) as still:
        assert still.size == (360, 270)


def test_run_begins_afresh_where_the_needles_have_changed(home: Path) -> None:
    folder = home.parent / "roots" / "signs"
    service = open_library(home, **{"paths.media_roots": [str(home.parent / "roots")]})
    order = ProbeOrder(
        haystack=None, lengths=(8, 16), depths=(0.5,), seeds=1, ratio=None, recall="top",
        needles=str(folder),
    )  # fmt: skip
    job = enqueue_probe(service, order, FULL_ACCESS)
    open_worker(service).run(until_idle=True)
    (first,) = service.catalog.probes.list(job=job.id)
    write_needles(folder, "blue")
    with sqlite3.connect(home / "longwatch.db") as database:
        database.execute("update jobs set state = 'queued', ended_at = null")
    database.close()
    open_worker(service).run(until_idle=True)
    (second,) = service.catalog.probes.list(job=job.id)
    assert second.id != first.id
    assert service.catalog.probes.trials(second.id, 1)[0]["expected"] == "blue"
    assert not HomeFolder(home).probe_stills(first.id).exists()
    service.close()


def test_probe_document_counts_every_needle(context: ServiceContext, tmp_path: Path) -> None:
    order = ProbeOrder(lengths=(16,), depths=(0.0, 1.0), seeds=2)
    needles = choose_needles(None, seeds=order.seeds)
    document = probe(context, order, needles, plot=tmp_path / "map.png")
    assert [cell.n for cell in document.cells] == [2, 2]
    assert (tmp_path / "map.png").stat().st_size > 0
