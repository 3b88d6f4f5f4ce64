"""Deletion by age: what is past its days leaves, what is being read stays."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.services.context import ServiceContext
from app.services.library import list_videos
from app.services.retention import delete_expired
from app.worker.foreground import ingest_now
from engine.records import MediaInfo
from tests.app.services.conftest import open_library as open_over
from tests.support.site import Site, open_library

MEDIA = MediaInfo(
    uri="x",
    container="mp4",
    video_codec="h264",
    fps=25.0,
    height_px=90,
    width_px=160,
    duration_s=9.0,
)


def test_old_video_that_is_being_read_or_waits_for_it_stays(tmp_path: Path) -> None:
    context = open_library(tmp_path, **{"retention.days": 1.0})
    videos = context.catalog.videos
    waiting = videos.add(name="waiting", uri="a", identity="a", media=MEDIA)
    reading = videos.add(name="reading", uri="b", identity="b", media=MEDIA)
    videos.begin_ingest(
        reading.id, fingerprint="f", model="tiny", sample_fps=1.0, compression_ratio=2
    )
    failed = videos.add(name="failed", uri="c", identity="c", media=MEDIA)
    videos.set_status(failed.id, "failed")
    assert delete_expired(context, failed.created_at + timedelta(days=2)) == ("failed",)
    states = {row.name: row.status for row in videos.list()}
    assert states == {"waiting": "queued", "reading": "ingesting"}
    assert waiting.status == "queued"
    context.close()


def test_video_past_its_days_leaves_and_a_younger_one_stays(
    tmp_path: Path, checkpoint: Path, clip: Path
) -> None:
    context = open_over(tmp_path, checkpoint, retention__days=2.0)
    ingest_now(context, [str(clip)])
    added = context.catalog.videos.resolve("front door").created_at
    assert delete_expired(context, added + timedelta(days=1)) == ()
    assert delete_expired(context, added + timedelta(days=3)) == ("front door",)
    assert list_videos(context).videos == []
    context.close()


def test_everything_stays_unless_a_setting_says_otherwise(
    context: ServiceContext, clip: Path
) -> None:
    ingest_now(context, [str(clip)])
    assert delete_expired(context, datetime.now(UTC) + timedelta(days=10_000)) == ()


def test_retention_says_how_many_videos_leave_and_asks(site: Site) -> None:
    path, body = "/api/v1/settings/values", {"changes": {"retention.days": 1}}
    assert site.admin.patch(path, json=body).status_code == 200
    site.admin.patch(path, json={"changes": {"retention.days": None}})
    with sqlite3.connect(site.services.settings.home / "longwatch.db") as database:
        database.execute("UPDATE videos SET created_at = '2026-01-01 00:00:00' WHERE name = 'yard'")
    refused = site.admin.patch(path, json=body)
    assert refused.status_code == 409
    assert "1 of 2 videos" in refused.json()["error"]["message"]
    assert "yard" in refused.json()["error"]["message"]
    assert site.services.settings.retention.days is None
    assert site.admin.patch(path, json={**body, "confirm": True}).status_code == 200
    assert site.services.settings.retention.days == 1
