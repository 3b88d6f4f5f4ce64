"""Ingest through the use cases: what goes in comes out where the contract says."""

from pathlib import Path

import pytest

from app.services.context import ServiceContext
from app.worker.foreground import ingest_now
from engine.errors import DiskFullError, LimitExceededError
from tests.app.services.conftest import DURATION_S, open_library


def test_ingest_document_is_the_contract(context: ServiceContext, clip: Path) -> None:
    video = ingest_now(context, [str(clip)]).model_dump()["videos"][0]
    assert set(video) == {
        "video_id",
        "name",
        "status",
        "duration_s",
        "chunks",
        "frames_encoded",
        "frames_skipped_static",
        "latent_bytes",
        "wall_s",
        "realtime_factor",
        "model",
        "fps",
        "compression_ratio",
        "warnings",
    }
    assert video["name"] == "front door"
    assert video["status"] == "ready"
    assert video["duration_s"] == pytest.approx(DURATION_S, abs=0.5)
    assert video["frames_encoded"] == DURATION_S


def test_same_file_again_is_the_same_video_and_is_not_read_twice(
    context: ServiceContext, clip: Path
) -> None:
    first = ingest_now(context, [str(clip)]).videos[0]
    again = ingest_now(context, [str(clip)]).videos[0]
    assert again == first


def test_one_bad_source_of_several_does_not_stop_the_others(
    context: ServiceContext, clip: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"\0" * 4096)
    document = ingest_now(context, [str(bad), str(clip)])
    assert [video.name for video in document.videos] == ["front door"]
    assert "bad.mp4" in document.failures[0].message


def test_full_disk_keeps_what_was_committed_and_goes_on_later(
    tmp_path: Path, checkpoint: Path, clip: Path
) -> None:
    small = open_library(tmp_path, checkpoint, cache__disk_bytes=8000)
    with pytest.raises((DiskFullError, LimitExceededError)):
        ingest_now(small, [str(clip)])
    (row,) = small.catalog.videos.list()
    assert row.status == "failed"
    assert 0 < row.n_chunks < DURATION_S // 4
    small.close()
    roomy = open_library(tmp_path, checkpoint)
    video = ingest_now(roomy, [str(clip)]).videos[0]
    roomy.close()
    assert video.status == "ready"
    assert video.chunks == DURATION_S // 4


def test_same_content_under_another_name_keeps_its_name(
    context: ServiceContext, clip: Path, tmp_path: Path
) -> None:
    ingest_now(context, [str(clip)])
    copy = tmp_path / "con.mp4"
    copy.write_bytes(clip.read_bytes())
    again = ingest_now(context, [str(copy)], name="con").videos[0]
    assert again.name == "front door"
    assert again.warnings == ["it is in the library as 'front door', not 'con'"]
    assert [row.name for row in context.catalog.videos.list()] == ["front door"]
