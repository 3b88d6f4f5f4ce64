"""A node of a cluster opens the library that was meant, or says in one sentence why it cannot."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.config.settings import load_settings
from app.services.context import ServiceContext
from app.services.ingest import add_source
from app.services.ingest_jobs import enqueue_ingest
from app.version import product_version
from app.worker.fleet import reading_settings
from app.worker.node_reader import NodeOrder, NodeReader
from app.worker.processes import this_machine
from engine.models.video_xl import model as video_xl
from storage.files import HomeFolder
from tests.support.synthetic import encoded_video

MARK = "ray-test"


@pytest.fixture
def library(tmp_path: Path) -> ServiceContext:
    folder = tmp_path / "tiny"
    video_xl.write_tiny(folder)
    context = ServiceContext(load_settings({"model": str(folder)}, home=tmp_path / "home"))
    HomeFolder(context.settings.home).create()
    HomeFolder(context.settings.home).write_mark(MARK)
    return context


@pytest.fixture
def order(library: ServiceContext) -> NodeOrder:
    return NodeOrder(
        home=str(library.settings.home),
        mark=MARK,
        machine=this_machine(),
        version=product_version(),
        store=None,
        settings=reading_settings(library.settings),
    )


def refusal(order: NodeOrder) -> str:
    report = NodeReader(order).open()
    assert report.failure is not None
    assert report.failure["hint"]
    return report.failure["message"] or ""


def test_reader_does_the_job_it_is_handed(
    library: ServiceContext, order: NodeOrder, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.mp4"
    encoded_video(clip, 60, fps=5)
    job = enqueue_ingest(library, add_source(library, str(clip)))
    other = enqueue_ingest(library, library.catalog.videos.add(name="other", uri="other.mp4"))
    reader = NodeReader(order)
    report = reader.open()
    assert report.failure is None
    assert report.fingerprint == library.engine.fingerprint
    assert reader.run(job.id, job.created_at.isoformat()) is None
    assert library.catalog.jobs.get(job.id).state == "done"
    assert library.catalog.jobs.get(other.id).state == "queued", "nothing but what it was handed"
    # One of another library that has the same number is not taken for it.
    mistaken = reader.run(other.id, "2026-01-01T00:00:00+00:00")
    assert mistaken is not None
    assert "is not that of this library" in (mistaken["message"] or "")
    assert library.catalog.jobs.get(other.id).state == "queued"


def test_library_in_a_file_is_for_one_machine(order: NodeOrder) -> None:
    assert "one machine alone" in refusal(replace(order, machine="another"))


def test_home_folder_must_be_the_same_disk(
    order: NodeOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGWATCH_HOME", str(tmp_path / "elsewhere"))
    assert "is another folder" in refusal(replace(order, mark="ray-unknown"))
    assert not (tmp_path / "elsewhere").exists(), "nothing is made there"


def test_object_store_must_be_the_same(order: NodeOrder) -> None:
    assert "object store" in refusal(replace(order, store="s3://bucket/library"))


def test_versions_must_agree(order: NodeOrder) -> None:
    assert "0.0.1 here" in refusal(replace(order, version="0.0.1"))
