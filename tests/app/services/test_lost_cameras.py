"""Cameras of a library whose database is lost: back from their files, or said to be lost."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.schemas.cameras import CameraFields
from app.services.camera_registry import add_camera, change_camera, remove_camera
from app.services.cameras import camera_address
from app.services.context import ServiceContext
from app.services.filming_jobs import filming_jobs
from app.services.library import change_video
from app.services.playback import play_recording
from app.services.repair import reindex
from app.services.timelines import parts_of
from app.services.wall_clock import ClockChange
from app.worker.foreground import ingest_now
from engine.records import VideoId
from storage.camera_records import CameraRow
from storage.catalog import utc_now
from storage.files import HomeFolder
from tests.app.services.conftest import open_library
from tests.app.services.test_filming import filmed_s, filming, wait_until
from tests.support.clock_camera import drawn_clock, open_clock_camera

ADDRESS = "rtsp://viewer:s3cret@10.0.0.7/live"


def lose_database(context: ServiceContext, checkpoint: Path, **settings: object) -> ServiceContext:
    home = context.settings.home
    context.close()
    for path in home.glob("longwatch.db*"):
        path.unlink()
    return open_library(home, checkpoint, **settings)


def what_was_set(row: CameraRow) -> CameraRow:
    return replace(row, state_since=row.created_at)


def test_camera_survives_the_loss_of_the_database_with_its_parts(
    tmp_path: Path, checkpoint: Path, clip: Path
) -> None:
    context = open_library(tmp_path, checkpoint)
    fields = CameraFields(timezone="Europe/Berlin", fps=2.0, watch=["motion"], recording_days=3)
    gate = add_camera(context, "Gate", ADDRESS, fields)
    gate = change_camera(context, gate, CameraFields(still_days=30), name="West gate")
    (item,) = ingest_now(context, [str(clip)], start_at=utc_now()).videos
    row = context.catalog.videos.get(VideoId(item.video_id))
    change_video(context, row, name=None, clock=ClockChange(), camera="West gate")

    context = lose_database(context, checkpoint)
    message = reindex(context).message
    assert "West gate is back among the cameras;" in message
    (back,) = context.catalog.cameras.list()
    assert what_was_set(back) == what_was_set(gate)
    assert camera_address(context, back) == ADDRESS
    assert [part.id for part in parts_of(context, back)] == [item.video_id]
    assert back.id in filming_jobs(context)
    assert "back among" not in reindex(context).message
    context.close()


def test_camera_whose_sign_in_is_lost_too_comes_back_switched_off_and_says_so(
    tmp_path: Path, checkpoint: Path
) -> None:
    context = open_library(tmp_path, checkpoint)
    gate = add_camera(context, "Gate", ADDRESS)
    open_gate = add_camera(context, "Open", "rtsp://10.0.0.8/live")
    files = HomeFolder(tmp_path)
    for camera in (gate, open_gate):
        files.remove_secret(camera.id)
    context = lose_database(context, checkpoint)
    message = reindex(context).message
    assert "Gate is back among the cameras, switched off because its sign-in is lost" in message
    assert "`longwatch cameras set Gate --address rtsp://NAME:PASSWORD@10.0.0.7/live" in message
    assert {row.name: row.enabled for row in context.catalog.cameras.list()} == {
        "Gate": False,
        "Open": True,
    }
    context.close()


def test_file_of_a_camera_holds_no_secret_and_goes_with_the_camera(
    context: ServiceContext,
) -> None:
    gate = add_camera(context, "Gate", ADDRESS)
    path = HomeFolder(context.settings.home).camera_file(gate.id)
    assert "s3cret" not in path.read_text()
    assert json.loads(path.read_text())["address"] == "rtsp://10.0.0.7/live"
    remove_camera(context, gate, with_footage=False)
    assert not path.exists()
    assert "back among" not in reindex(context).message


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 9}'])
def test_file_that_nobody_understands_is_passed_over(context: ServiceContext, content: str) -> None:
    path = HomeFolder(context.settings.home).camera_file(add_camera(context, "Gate", ADDRESS).id)
    path.with_name("other.json").write_text(content)
    assert "back among" not in reindex(context).message


def test_name_that_is_taken_since_gets_a_number(tmp_path: Path, checkpoint: Path) -> None:
    context = open_library(tmp_path, checkpoint)
    add_camera(context, "Gate", ADDRESS)
    context = lose_database(context, checkpoint)
    add_camera(context, "gate", "rtsp://10.0.0.9/live")
    assert "Gate (2) is back among the cameras" in reindex(context).message
    context.close()


def test_recording_is_found_again_where_it_was(tmp_path: Path, checkpoint: Path) -> None:
    network = {"allow_network": True, "sampling__thin_static": False}
    context = open_library(tmp_path / "home", checkpoint, **network)
    with open_clock_camera(drawn_clock(tmp_path)) as camera:
        gate = add_camera(context, "Gate", camera.address)
        with filming(context):
            wait_until(lambda: filmed_s(context, gate) >= 6)
        change_camera(context, gate, CameraFields(), enabled=False)
    rows = context.catalog.segments.list(gate.id)
    assert rows
    (part,) = parts_of(context, gate)
    played = play_recording(context, part)
    whole = b"".join(played.read(0, played.n_bytes))

    context = lose_database(context, checkpoint, **network)
    assert "Gate: 1 recorded file found again" in reindex(context).message
    found = context.catalog.segments.list(gate.id)
    assert [(row.name, row.video, row.n_bytes) for row in found] == [
        (row.name, row.video, row.n_bytes) for row in rows
    ]
    for row, known in zip(found, rows, strict=True):
        assert row.start_s == pytest.approx(known.start_s, abs=1e-3)
        assert row.end_s == pytest.approx(known.end_s, abs=0.1)
        assert abs((row.start_at - known.start_at).total_seconds()) < 2e-3
    again = play_recording(context, parts_of(context, gate)[0])
    assert len(b"".join(again.read(0, again.n_bytes))) == len(whole)
    context.close()
