"""The library: removed, rebuilt, cut."""

from pathlib import Path

import pytest

from app.services.access import find_video
from app.services.context import ServiceContext
from app.services.library import export_clip, list_videos, remove_video, show_video
from app.services.repair import reindex
from app.worker.foreground import ingest_now
from engine.errors import InputRefusedError


def test_removed_video_is_gone_everywhere(context: ServiceContext, clip: Path) -> None:
    ingest_now(context, [str(clip)])
    remove_video(context, find_video(context, "front door"))
    assert list_videos(context).videos == []
    assert not list((context.settings.home / "latents").rglob("*.safetensors"))
    assert not list((context.settings.home / "stills").iterdir())
    assert clip.exists()


def test_reindex_rebuilds_rows_and_index_from_files(context: ServiceContext, clip: Path) -> None:
    before = ingest_now(context, [str(clip)]).videos[0]
    row = context.catalog.videos.resolve("front door")
    assert row.fingerprint is not None
    context.catalog.chunks.replace(row.id, row.fingerprint, ())
    assert show_video(context, "front door").videos[0].chunks == 0
    reindex(context)
    assert show_video(context, "front door").videos[0].chunks == before.chunks


def test_exported_clip_holds_the_span(context: ServiceContext, clip: Path, tmp_path: Path) -> None:
    ingest_now(context, [str(clip)])
    note = export_clip(context, find_video(context, "front door"), (4.0, 8.0), tmp_path / "cut.mp4")
    assert (tmp_path / "cut.mp4").stat().st_size > 0
    assert "front door" in note.message


def test_clip_that_ends_before_it_starts_is_refused(context: ServiceContext, clip: Path) -> None:
    ingest_now(context, [str(clip)])
    with pytest.raises(InputRefusedError, match="before it starts"):
        export_clip(
            context, find_video(context, "front door"), (8.0, 4.0), clip.parent / "never.mp4"
        )


@pytest.mark.parametrize("span_s", [(1200.0, 1210.0), (24.0, 30.0), (-5.0, 3.0)])
def test_clip_outside_the_video_is_refused(
    context: ServiceContext, clip: Path, tmp_path: Path, span_s: tuple[float, float]
) -> None:
    ingest_now(context, [str(clip)])
    with pytest.raises(InputRefusedError, match="the clip starts at"):
        export_clip(context, find_video(context, "front door"), span_s, tmp_path / "never.mp4")
    assert not (tmp_path / "never.mp4").exists()


def test_file_that_is_there_is_overwritten_only_if_asked(
    context: ServiceContext, clip: Path, tmp_path: Path
) -> None:
    ingest_now(context, [str(clip)])
    path, row = tmp_path / "cut.mp4", find_video(context, "front door")
    path.write_text("mine")
    with pytest.raises(InputRefusedError, match="there already"):
        export_clip(context, row, (4.0, 8.0), path)
    assert path.read_text() == "mine"
    export_clip(context, row, (4.0, 8.0), path, may_replace=True)
    assert path.stat().st_size > 100
