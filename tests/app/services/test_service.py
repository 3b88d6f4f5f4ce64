"""The use cases over a tiny checkpoint: what goes in comes out where the contract says."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from app.cli.main import main
from app.config.settings import load_settings
from app.services.access import find_video
from app.services.ask import ask, search
from app.services.context import ServiceContext
from app.services.library import export_clip, list_videos, reindex, remove_video, show_video
from app.services.probes import ProbeOrder, choose_needles, probe
from app.services.retention import delete_expired
from app.services.scope import resolve_scope
from app.worker.foreground import ingest_now
from engine.errors import DiskFullError, InputRefusedError, LimitExceededError, NotFoundError
from engine.media.encode import write_video
from engine.models.video_xl import model as video_xl

DURATION_S = 24


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    video_xl.write_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "front door.mp4"
    rng = np.random.default_rng(3)
    write_video(path, (rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(96)), 4.0)
    return path


def open_library(home: Path, checkpoint: Path, **flags: object) -> ServiceContext:
    dotted = {name.replace("__", "."): value for name, value in flags.items()}
    return ServiceContext(load_settings({"model": str(checkpoint), **dotted}, home=home))


@pytest.fixture
def service(tmp_path: Path, checkpoint: Path) -> Iterator[ServiceContext]:
    opened = open_library(tmp_path / "home", checkpoint)
    yield opened
    opened.close()


def test_ingest_document_is_the_contract(service: ServiceContext, clip: Path) -> None:
    video = ingest_now(service, [str(clip)]).model_dump()["videos"][0]
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
    service: ServiceContext, clip: Path
) -> None:
    first = ingest_now(service, [str(clip)]).videos[0]
    again = ingest_now(service, [str(clip)]).videos[0]
    assert again == first


def test_ask_and_search_documents_are_the_contract(
    tmp_path: Path, checkpoint: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--home", str(tmp_path), "--model", str(checkpoint), "--json"]
    start_at = ["--start-at", "2026-03-01T22:00:00+00:00"]
    assert main(["ingest", str(clip), *start_at, *common]) == 0
    capsys.readouterr()
    assert main(["ask", "What happens?", *common]) == 0
    asked = json.loads(capsys.readouterr().out)
    assert {"question", "answer", "evidence", "searched_s", "recalled_chunks"} <= set(asked)
    assert set(asked["timing"]) == {"retrieve_ms", "first_token_ms", "total_ms"}
    assert asked["searched_s"] == pytest.approx(DURATION_S, abs=0.5)
    assert main(["search", "a door", "--top", "2", *common]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"query", "hits", "searched_s", "timing"}
    assert len(found["hits"]) == 2
    hit = found["hits"][0]
    assert {"rank", "video_id", "video", "start_s", "end_s", "start", "end"} <= set(hit)
    assert hit["start_s"] <= hit["peak_s"] < hit["end_s"]
    assert hit["start_at"].startswith("2026-03-01T22:00:")


def test_filters_by_offset_and_by_wall_clock_agree(service: ServiceContext, clip: Path) -> None:
    started = datetime(2026, 3, 1, 22, tzinfo=UTC)
    ingest_now(service, [str(clip)], start_at=started)
    by_offset = resolve_scope(service, after=5.0, before=15.0)
    by_clock = resolve_scope(
        service,
        after=datetime(2026, 3, 1, 22, 0, 5, tzinfo=UTC),
        before=datetime(2026, 3, 1, 22, 0, 15, tzinfo=UTC),
    )
    assert by_offset == by_clock
    hits = search(service, "anything", by_offset).hits
    assert hits
    assert all(hit.end_s > 5.0 and hit.start_s < 15.0 for hit in hits)


def test_bounds_that_no_video_reaches_are_said(service: ServiceContext, clip: Path) -> None:
    ingest_now(service, [str(clip)])
    with pytest.raises(NotFoundError, match="bounds"):
        resolve_scope(service, after=3600.0)


def test_other_frame_rate_does_not_hide_what_was_read(
    tmp_path: Path, checkpoint: Path, clip: Path
) -> None:
    dense = open_library(tmp_path, checkpoint, sampling__fps=2.0)
    ingest_now(dense, [str(clip)])
    dense.close()
    plain = open_library(tmp_path, checkpoint)
    found = search(plain, "anything", resolve_scope(plain))
    plain.close()
    assert found.hits
    assert found.searched_s == pytest.approx(DURATION_S, abs=0.5)


def test_one_bad_source_of_several_does_not_stop_the_others(
    service: ServiceContext, clip: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"\0" * 4096)
    document = ingest_now(service, [str(bad), str(clip)])
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


def test_removed_video_is_gone_everywhere(service: ServiceContext, clip: Path) -> None:
    ingest_now(service, [str(clip)])
    remove_video(service, find_video(service, "front door"))
    assert list_videos(service).videos == []
    assert not list((service.settings.home / "latents").rglob("*.safetensors"))
    assert clip.exists()


def test_video_past_its_days_leaves_and_a_younger_one_stays(
    tmp_path: Path, checkpoint: Path, clip: Path
) -> None:
    service = open_library(tmp_path, checkpoint, retention__days=2.0)
    ingest_now(service, [str(clip)])
    added = service.catalog.videos.resolve("front door").created_at
    assert delete_expired(service, added + timedelta(days=1)) == ()
    assert delete_expired(service, added + timedelta(days=3)) == ("front door",)
    assert list_videos(service).videos == []
    service.close()


def test_everything_stays_unless_a_setting_says_otherwise(
    service: ServiceContext, clip: Path
) -> None:
    ingest_now(service, [str(clip)])
    assert delete_expired(service, datetime.now(UTC) + timedelta(days=10_000)) == ()


def test_reindex_rebuilds_rows_and_index_from_files(service: ServiceContext, clip: Path) -> None:
    before = ingest_now(service, [str(clip)]).videos[0]
    row = service.catalog.videos.resolve("front door")
    assert row.fingerprint is not None
    service.catalog.chunks.replace(row.id, row.fingerprint, ())
    assert show_video(service, "front door").videos[0].chunks == 0
    reindex(service)
    assert show_video(service, "front door").videos[0].chunks == before.chunks


def test_exported_clip_holds_the_span(service: ServiceContext, clip: Path, tmp_path: Path) -> None:
    ingest_now(service, [str(clip)])
    note = export_clip(service, find_video(service, "front door"), (4.0, 8.0), tmp_path / "cut.mp4")
    assert (tmp_path / "cut.mp4").stat().st_size > 0
    assert "front door" in note.message


def test_clip_that_ends_before_it_starts_is_refused(service: ServiceContext, clip: Path) -> None:
    ingest_now(service, [str(clip)])
    with pytest.raises(InputRefusedError, match="before it starts"):
        export_clip(
            service, find_video(service, "front door"), (8.0, 4.0), clip.parent / "never.mp4"
        )


def test_question_over_the_limit_names_the_setting(service: ServiceContext, clip: Path) -> None:
    ingest_now(service, [str(clip)])
    with pytest.raises(LimitExceededError, match="4000 characters"):
        ask(service, "x" * 4001, resolve_scope(service))


def test_probe_document_counts_every_needle(service: ServiceContext, tmp_path: Path) -> None:
    order = ProbeOrder(lengths=(16,), depths=(0.0, 1.0), seeds=2)
    needles = choose_needles(None, seeds=order.seeds)
    document = probe(service, order, needles, plot=tmp_path / "map.png")
    assert [cell.n for cell in document.cells] == [2, 2]
    assert (tmp_path / "map.png").stat().st_size > 0
