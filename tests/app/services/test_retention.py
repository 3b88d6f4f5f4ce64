"""Deletion by age: what is past its days leaves, what is being read stays."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.services.context import ServiceContext
from app.services.library import list_videos
from app.services.previews import enqueue_preview
from app.services.retention import confirm_retention, delete_expired, delete_old_stills
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
    assert delete_expired(context, failed.created_at) == ()
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


def test_shorter_retention_from_a_file_waits_for_a_day_or_a_word(
    context: ServiceContext, checkpoint: Path, clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ingest_now(context, [str(clip)])
    added = context.catalog.videos.resolve("front door").created_at
    now, hour = added + timedelta(days=30), timedelta(hours=1)
    home = context.settings.home
    context.close()
    with closing(open_over(home, checkpoint, retention__days=60.0)) as longer:
        assert delete_expired(longer, now) == ()
    with closing(open_over(home, checkpoint, retention__days=20.0)) as shorter:
        assert delete_expired(shorter, now) == ()
        assert "deletes more than before: 1 of the videos" in caplog.text
        # A restart does not begin the day anew, and another number does.
        assert delete_expired(shorter, now + 20 * hour) == ()
    with closing(open_over(home, checkpoint, retention__days=10.0)) as again:
        assert delete_expired(again, now + 25 * hour) == ()
        assert delete_expired(again, now + 48 * hour) == ()
        assert delete_expired(again, now + 49 * hour) == ("front door",)


def test_confirmed_retention_deletes_at_once(
    context: ServiceContext, checkpoint: Path, clip: Path
) -> None:
    ingest_now(context, [str(clip)])
    now = context.catalog.videos.resolve("front door").created_at + timedelta(days=30)
    home = context.settings.home
    context.close()
    with closing(open_over(home, checkpoint, retention__days=20.0)) as shorter:
        assert delete_expired(shorter, now) == ()
        assert "20 days after" in confirm_retention(shorter).message
        assert delete_expired(shorter, now) == ("front door",)


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


def test_stills_leave_by_age_and_the_video_stays(
    tmp_path: Path, checkpoint: Path, clip: Path
) -> None:
    context = open_over(tmp_path, checkpoint, stills__days=2.0)
    ingest_now(context, [str(clip)])
    (row,) = context.catalog.videos.list()
    ordinals = context.stills.ordinals(row.id)
    now = datetime.now(UTC)
    for ordinal in ordinals[:2]:
        old = (now - timedelta(days=3)).timestamp()
        os.utime(context.stills.path(row.id, ordinal), (old, old))
    assert delete_old_stills(context, now) > 0
    assert context.stills.ordinals(row.id) == ordinals[2:]
    assert context.catalog.videos.get(row.id).n_chunks == len(ordinals)
    assert enqueue_preview(context, row) is None, "what retention deleted is not made again"
    context.close()


def test_the_oldest_stills_leave_beyond_their_bytes(
    tmp_path: Path, checkpoint: Path, clip: Path
) -> None:
    context = open_over(tmp_path, checkpoint, stills__disk_bytes=1)
    ingest_now(context, [str(clip)])
    (row,) = context.catalog.videos.list()
    paths = [context.stills.path(row.id, ordinal) for ordinal in context.stills.ordinals(row.id)]
    for place, path in enumerate(reversed(paths)):
        os.utime(path, (1000.0 + place, 1000.0 + place))
    most = sum(path.stat().st_size for path in paths[:2])
    context.stills.expire(before=None, limit_bytes=most)
    assert [path.exists() for path in paths] == [True, True] + [False] * (len(paths) - 2)
    assert context.stills.used_bytes() == most
    assert delete_old_stills(context, datetime.now(UTC)) == most
    context.close()
