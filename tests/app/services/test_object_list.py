"""A list of objects that was lost with the database, or is older than the store."""

from datetime import timedelta
from pathlib import Path

import pytest

from app.schemas.cameras import CameraFields
from app.services.access import find_video
from app.services.camera_files import save_camera
from app.services.camera_registry import add_camera, change_camera, remove_camera
from app.services.library import list_videos, remove_video, rename_video
from app.services.object_list import adopt
from app.services.objects import push, show_status, verify
from app.services.orphan_objects import clean
from app.services.repair import reindex
from app.worker.foreground import ingest_now
from engine.errors import InputRefusedError
from storage.object_records import ObjectRow
from tests.app.services.test_camera_evidence import NOON, feed, record
from tests.app.services.test_objects import Machine, answers, bucket, machine, s3, upload

__all__ = ["bucket", "feed", "machine", "s3"]
"""Fixtures of other files that this one uses."""
PASSWORD = "correct-horse-battery"


def fresh(tmp_path: Path) -> dict[str, str]:
    """Settings of a database without a row."""
    return {"database_url": f"sqlite:///{tmp_path / 'fresh.db'}"}


def test_a_library_whose_database_was_lost_comes_back_from_the_store(
    machine: Machine, clip: Path, tmp_path: Path
) -> None:
    a = machine("a")
    video = upload(a, clip)
    expected, objects = answers(a), show_status(a).trees
    b = machine("b", **fresh(tmp_path))
    assert verify(b).unlisted == sum(tree.objects for tree in objects)
    found = adopt(b)
    assert (found.adopted, found.lost_videos) == (verify(b).checked, [video.id])
    assert (found.n_damaged, found.foreign, found.deleted, found.ownerless) == (0, 0, 0, 0)
    assert show_status(b).trees == objects
    assert "front door is back in the library" in reindex(b).message
    assert answers(b) == expected
    assert verify(b, digests=True).n_damaged == 0
    assert verify(b).unlisted == 0
    # Once more there is nothing to be done, and what belongs to nobody is counted.
    again = adopt(b)
    assert (again.adopted, again.renewed, again.n_lost_videos, again.ownerless) == (0, 0, 0, 0)


def test_an_older_database_takes_up_what_came_since(
    machine: Machine, clip: Path, tmp_path: Path
) -> None:
    a = machine("a")
    ingest_now(a, [str(clip)])
    # As the database was before the video had another name, which its file beside the latents has.
    rename_video(a, find_video(a, "front door"), "gate")
    objects = a.objects
    assert objects is not None
    (key,) = objects.rows.named("latents", "video.json")
    old = objects.rows.find(key)
    assert old is not None
    rename_video(a, find_video(a, "gate"), "back door")
    objects.rows.keep([old])
    assert verify(a, digests=True).damaged == [key]
    found = adopt(a)
    assert (found.adopted, found.renewed) == (0, 1)
    assert verify(a, digests=True).n_damaged == 0


def test_what_was_deleted_is_damaged_or_is_not_of_the_library_is_left_alone(
    machine: Machine, clip: Path, tmp_path: Path, bucket: dict[str, object]
) -> None:
    a = machine("a")
    ingest_now(a, [str(clip)])
    objects = a.objects
    assert objects is not None
    kept = {key: objects.store.read(key, 0, size) for key, size in objects.store.list("stills")}
    remove_video(a, find_video(a, "front door"))
    # A bucket that was brought back to an earlier moment than the database.
    for key, content in kept.items():
        objects.store.put(key, content, "0" * 64, replaces=True)
    objects.store.put("stills/another/00000001.zip", b"x", "0" * 64, replaces=True)
    objects.store.put("notes.txt", b"x", "0" * 64, replaces=True)
    found = adopt(a)
    assert (found.deleted, found.foreign) == (len(kept), 1)
    has_digests = "objects__endpoint" in bucket
    assert found.damaged == (["stills/another/00000001.zip"] if has_digests else [])
    assert found.adopted == (0 if has_digests else 1)
    assert found.ownerless == len(kept) + 1
    assert list_videos(a).videos == []


def test_a_recording_whose_rows_were_lost_is_found_in_the_store(
    machine: Machine, feed: Path, tmp_path: Path
) -> None:
    a = machine("a")
    camera = record(a, "gate", feed, NOON)
    save_camera(a, camera)
    push(a)
    n_segments = len(a.catalog.segments.list(camera.id))
    b = machine("b", **fresh(tmp_path))
    assert adopt(b).adopted == 2 * n_segments + 1, "each with its layout, and the camera"
    assert f"gate: {n_segments} recorded files found again" in reindex(b).message
    assert adopt(b).ownerless == 0
    there = b.catalog.segments.list(camera.id)
    assert [(row.name, row.end_s) for row in there] == [
        (row.name, row.end_s) for row in a.catalog.segments.list(camera.id)
    ]


def test_what_belongs_to_nobody_is_listed_then_deleted_once_it_is_old(
    machine: Machine, clip: Path, feed: Path
) -> None:
    a, at_once = machine("a"), timedelta(0)
    upload(a, clip)
    camera = record(a, "gate", feed, NOON)
    save_camera(a, camera)
    push(a)
    expected, objects = answers(a), a.objects
    assert objects is not None
    owned = sorted(key for key, _ in objects.store.list())
    # Left by a writer that was killed, by one whose video was removed meanwhile, and by nobody.
    never_listed, listed = "stills/gone/00000000.zip", "vectors/e/gone/00000000.safetensors"
    for key in (never_listed, listed, "media/0123456789abcdef01234567.bin", "notes.txt"):
        objects.store.put(key, b"bytes", "0" * 64, replaces=True)
    objects.rows.keep([ObjectRow(key=listed, n_bytes=5, sha256="0" * 64, written_ns=1)])
    assert clean(a).deleted == 0, "a writer may be at work on them"
    assert clean(a).too_young == 3
    found = clean(a, grace=at_once, dry_run=True)
    assert (found.deleted, found.deleted_bytes, found.foreign) == (3, 15, 1)
    assert found.keys == ["media/0123456789abcdef01234567.bin", never_listed, listed]
    assert len(list(objects.store.list())) == len(owned) + 4, "only listed"
    assert clean(a, grace=at_once).keys == found.keys
    assert sorted(key for key, _ in objects.store.list()) == sorted([*owned, "notes.txt"])
    assert objects.rows.find(listed) is None
    assert clean(a, grace=at_once).deleted == 0
    assert verify(a, digests=True).n_missing == 0
    assert answers(machine("b")) == expected


def test_an_object_is_put_before_its_row_and_nothing_is_deleted_in_between(
    machine: Machine, clip: Path
) -> None:
    a = machine("a")
    ingest_now(a, [str(clip)])
    objects = a.objects
    assert objects is not None
    # A chunk that was put just now, of which the list does not know yet.
    key = next(row.key for row in objects.rows.kept() if row.key.startswith("stills/"))
    objects.rows.leave([key])
    objects.rows.have_left([key])
    assert clean(a, grace=timedelta(0)).deleted == 0
    assert objects.store.size(key) is not None


def test_nothing_is_deleted_by_a_database_that_does_not_know_the_library(
    machine: Machine, clip: Path, tmp_path: Path
) -> None:
    a = machine("a")
    upload(a, clip)
    camera = add_camera(a, "gate", "rtsp://10.0.0.7/live")
    b = machine("b", **fresh(tmp_path))
    for _ in ("never listed", "listed"):
        with pytest.raises(InputRefusedError, match="describes 1 video and 1 camera that"):
            clean(b, grace=timedelta(0), dry_run=True)
        adopt(b)
    reindex(b)
    assert [row.id for row in b.catalog.cameras.list()] == [camera.id]
    assert clean(b, grace=timedelta(0)).deleted == 0


def test_cameras_come_back_from_the_store_without_their_sign_in(
    machine: Machine, tmp_path: Path
) -> None:
    a = machine("a")
    fields = CameraFields(timezone="Europe/Berlin", fps=2.0)
    add_camera(a, "gate", f"rtsp://door:{PASSWORD}@10.0.0.7/live", fields)
    yard = add_camera(a, "yard", "rtsp://10.0.0.8/live")
    change_camera(a, yard, CameraFields(recording_days=3.0))
    gone = add_camera(a, "gone", "rtsp://10.0.0.9/live")
    remove_camera(a, gone, with_footage=True)
    objects = a.objects
    assert objects is not None
    stored = {key: objects.store.read(key, 0, size) for key, size in objects.store.list()}
    assert len(stored) == 2
    assert not any(PASSWORD.encode() in content for content in stored.values())
    for name in ("b", "c"):
        b = machine(name, database_url=f"sqlite:///{tmp_path / name}.db")
        assert (adopt(b).adopted, adopt(b).ownerless) == (2, 0)
        sentences = reindex(b).message
        assert "yard is back among the cameras" in sentences
        assert "gate is back among the cameras, switched off because its sign-in" in sentences
        found = {camera.name: camera for camera in b.catalog.cameras.list()}
        assert found.keys() == {"gate", "yard"}
        assert (found["gate"].timezone, found["gate"].fps) == ("Europe/Berlin", 2.0)
        assert (found["gate"].enabled, found["yard"].enabled) == (False, True)
        assert found["yard"].retention.segment_days == 3.0
        # A machine without the sign-in does not say that there is none: `c` finds the same.
        assert (push(b).pushed, verify(b, digests=True).n_damaged) == (0, 0)


def test_a_camera_that_was_removed_elsewhere_does_not_come_back(machine: Machine) -> None:
    a, b = machine("a"), machine("b")
    gate = add_camera(a, "gate", "rtsp://10.0.0.7/live")
    save_camera(b, gate)
    remove_camera(a, gate, with_footage=True)
    assert list((b.settings.home / "cameras").iterdir())
    # Another process, which has not looked at the list a moment ago.
    assert "gate" not in reindex(machine("b")).message
    assert b.catalog.cameras.list() == ()


def test_a_video_that_was_removed_behind_the_backup_of_its_rows_is_named(
    machine: Machine, clip: Path
) -> None:
    a = machine("a")
    ingest_now(a, [str(clip)])
    objects = a.objects
    assert objects is not None
    objects.store.delete([key for key, _ in objects.store.list()])
    b = machine("b")
    assert "damaged or missing" in reindex(b).message
    remove_video(b, find_video(b, "front door"))
    assert list_videos(b).videos == []
