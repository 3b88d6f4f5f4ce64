"""Cameras as rows: their names, secrets, rights, and what lies on their timelines."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ByteSize

from app.schemas.cameras import CameraFields
from app.services.access import find_camera
from app.services.camera_registry import (
    add_camera,
    change_camera,
    list_cameras,
    remove_camera,
    show_camera,
    try_address,
    try_camera,
)
from app.services.cameras import camera_address
from app.services.context import ServiceContext
from app.services.library import change_video
from app.services.scope import resolve_scope
from app.services.search import search
from app.services.timelines import gaps_in_scope
from app.services.wall_clock import ClockChange
from app.worker.foreground import ingest_now
from engine.errors import InputRefusedError, NotFoundError, UnreachableError
from engine.records import VideoId
from storage.camera_file import read_camera_files
from storage.files import HomeFolder
from storage.records import CameraId, VideoRow
from tests.app.services.conftest import DURATION_S
from tests.support.camera import PASSWORD, QUOTED_PASSWORD
from tests.support.rtsp_camera import open_rtsp_camera
from tests.support.synthetic import encoded_video
from tests.support.udp_camera import open_udp_camera

ADDRESS = "rtsp://viewer:s3cret@10.0.0.7/live"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Viewer:
    """Someone who may see one camera with its videos."""

    granted: frozenset[VideoId]
    camera: CameraId

    def may_see(self, video: VideoId) -> bool:
        return video in self.granted

    def may_see_camera(self, camera: CameraId) -> bool:
        return camera == self.camera


def test_camera_has_one_name_whatever_its_case(context: ServiceContext) -> None:
    gate = add_camera(context, "Gate", ADDRESS)
    with pytest.raises(InputRefusedError, match="there is a camera 'gate' already"):
        add_camera(context, "gate", ADDRESS)
    yard = add_camera(context, "Yard", ADDRESS)
    with pytest.raises(InputRefusedError, match="'GATE' already"):
        change_camera(context, yard, CameraFields(), name="GATE")
    assert find_camera(context, "GATE").id == gate.id
    assert find_camera(context, gate.id) == gate


def test_secret_of_a_camera_is_kept_apart_and_shown_nowhere(context: ServiceContext) -> None:
    gate = add_camera(context, "Gate", ADDRESS)
    shown = f"{show_camera(context, 'Gate')} {list_cameras(context)} {gate}"
    assert "s3cret" not in shown
    assert camera_address(context, gate) == ADDRESS
    home = context.settings.home
    holders = [path for path in home.rglob("*") if path.is_file() and b"s3cr" in path.read_bytes()]
    assert holders == [home / "secrets" / gate.id]
    change_camera(context, gate, CameraFields(), address="rtsp://10.0.0.8/live")
    assert camera_address(context, gate) == "rtsp://10.0.0.8/live"
    remove_camera(context, gate, with_footage=False)
    assert not holders[0].exists()
    assert not list_cameras(context).cameras


def test_what_is_left_out_stays_and_none_removes(context: ServiceContext) -> None:
    fields = CameraFields(
        timezone="Europe/Berlin", fps=2.0, recording_days=3, recording_bytes=ByteSize(10**9)
    )
    gate = add_camera(context, "Gate", ADDRESS, fields)
    gate = change_camera(context, gate, CameraFields(recording_days=None, still_days=30))
    assert (gate.timezone, gate.fps) == ("Europe/Berlin", 2.0)
    kept = gate.retention
    assert (kept.segment_days, kept.segment_bytes, kept.still_days) == (None, 10**9, 30)
    with pytest.raises(InputRefusedError, match="'Mars' is no time zone"):
        change_camera(context, gate, CameraFields(timezone="Mars"))
    with pytest.raises(NotFoundError):
        change_camera(context, gate, CameraFields(watch=["ghosts"]))
    with pytest.raises(InputRefusedError, match="no address of a camera"):
        change_camera(context, gate, CameraFields(), address="gate.mp4")


def test_camera_that_answers_is_described_and_one_that_does_not_is_named(
    context: ServiceContext, tmp_path: Path
) -> None:
    part = encoded_video(tmp_path / "part.ts", 50, gop_frames=25, noise=False).read_bytes()
    with open_rtsp_camera([part], "digest") as camera:
        document = try_address(context, camera.address())
        assert (document.video_codec, document.container) == ("h264", "rtsp")
        with pytest.raises(UnreachableError, match="refuses this name and password"):
            try_address(context, camera.address("viewer:wrong@"))
    for secret in (PASSWORD, QUOTED_PASSWORD):
        assert secret not in str(document)


def test_stream_that_is_sent_to_this_machine_is_described(
    context: ServiceContext, tmp_path: Path
) -> None:
    stream = encoded_video(tmp_path / "feed.ts", 500, gop_frames=5, noise=False).read_bytes()
    with open_udp_camera(stream, 20) as address:
        document = try_address(context, address)
    assert (document.address, document.container) == (address, "mpegts")
    assert (document.width_px, document.height_px) == (160, 96)


@pytest.fixture
def filmed(context: ServiceContext, clip: Path, tmp_path: Path) -> tuple[VideoRow, ...]:
    """Two files of a camera with five minutes between them, the later one added first."""
    add_camera(context, "Gate", ADDRESS, CameraFields(timezone="Europe/Berlin"))
    rows = []
    for name, start_at in (("late", NOON + timedelta(minutes=5)), ("early", NOON)):
        copy = tmp_path / f"{name}.mp4"
        copy.write_bytes(clip.read_bytes() + name.encode())
        (item,) = ingest_now(context, [str(copy)], start_at=start_at, name=name).videos
        row = context.catalog.videos.get(VideoId(item.video_id))
        rows.append(change_video(context, row, name=None, clock=ClockChange(), camera="gate"))
    return tuple(reversed(rows))


def test_files_of_a_camera_lie_on_one_timeline_with_its_gap(
    context: ServiceContext, filmed: tuple[VideoRow, ...]
) -> None:
    early, late = filmed
    (item,) = show_camera(context, "Gate").cameras
    assert [part.video_id for part in item.timeline] == [early.id, None, late.id]
    assert [part.is_gap for part in item.timeline] == [False, True, False]
    assert item.timeline[1].start_at == "2026-03-01T13:00:24.000+01:00"
    assert item.timeline[1].end_at == "2026-03-01T13:05:00.000+01:00"
    assert (item.parts, item.filmed_s) == (2, 2 * DURATION_S)


def test_question_to_a_camera_goes_across_its_files_and_names_the_gap(
    context: ServiceContext, filmed: tuple[VideoRow, ...]
) -> None:
    early, late = filmed
    scope = resolve_scope(context, cameras=["GATE"])
    assert [video for video, _ in scope] == [early.id, late.id]
    gaps = gaps_in_scope(context, scope)
    assert [(gap.start_at[11:19], (gap.end_at or "")[11:19]) for gap in gaps] == [
        ("13:00:24", "13:05:00"),
        ("13:05:24", ""),
    ]
    # By the wall clock, up to a moment at which nothing was filmed.
    before = NOON + timedelta(minutes=1)
    scope = resolve_scope(context, cameras=["Gate"], before=before)
    assert [video for video, _ in scope] == [early.id]
    (gap,) = gaps_in_scope(context, scope)
    assert (gap.end_at or "")[11:19] == "13:01:00"
    (gap, *_) = search(context, "a car", scope).gaps
    assert gap.camera == "Gate"
    # A file that is no part of a camera has no gaps.
    change_video(context, early, name=None, clock=ClockChange(), leaves_camera=True)
    assert not gaps_in_scope(context, resolve_scope(context, ["early"]))


def test_viewer_of_a_camera_learns_nothing_of_another(
    context: ServiceContext, filmed: tuple[VideoRow, ...]
) -> None:
    yard = add_camera(context, "Yard", ADDRESS)
    user = context.catalog.accounts.add_user("guard", "viewer")
    context.catalog.cameras.grant(user.id, yard.id)
    assert context.catalog.accounts.visible(user.id) == frozenset()
    viewer = Viewer(context.catalog.accounts.visible(user.id), yard.id)
    assert [item.name for item in list_cameras(context, viewer).cameras] == ["Yard"]
    assert list_cameras(context, viewer).cameras[0].address is None
    for unknown in ("Gate", "nowhere"):
        with pytest.raises(NotFoundError, match=f"no camera '{unknown}'") as caught:
            resolve_scope(context, cameras=[unknown], access=viewer)
        assert caught.value.hint == "there are Yard"
    # Whoever is granted the other one sees what it has filmed, and what it will film.
    gate = find_camera(context, "Gate")
    context.catalog.cameras.grant(user.id, gate.id)
    assert context.catalog.accounts.visible(user.id) == {row.id for row in filmed}
    context.catalog.cameras.revoke(user.id, gate.id)
    assert context.catalog.accounts.visible(user.id) == frozenset()


def test_camera_that_has_filmed_is_removed_only_with_its_footage(
    context: ServiceContext, filmed: tuple[VideoRow, ...]
) -> None:
    gate = find_camera(context, "Gate")
    with pytest.raises(InputRefusedError, match="would be deleted with it"):
        remove_camera(context, gate, with_footage=False)
    assert len(context.catalog.videos.list()) == 2
    remove_camera(context, gate, with_footage=True)
    assert not context.catalog.videos.list()
    assert Path(filmed[0].uri).exists(), "files that lie elsewhere stay"


def test_camera_is_connected_to_over_the_transport_that_was_chosen(
    context: ServiceContext, tmp_path: Path
) -> None:
    part = encoded_video(tmp_path / "part.ts", 60, gop_frames=1).read_bytes()
    with open_rtsp_camera([part] * 2, by_datagrams=True) as camera:
        gate = add_camera(context, "Gate", camera.address(), CameraFields(transport="tcp"))
        assert gate.transport == "tcp"
        with pytest.raises(UnreachableError, match="does not send over TCP"):
            try_camera(context, gate)
        for transport in ("udp", "auto"):
            gate = change_camera(context, gate, CameraFields(transport=transport))
            assert try_camera(context, gate).video_codec == "h264"
    assert show_camera(context, "Gate").cameras[0].transport == "auto"
    (kept,) = read_camera_files(HomeFolder(context.settings.home))
    assert kept.transport == "auto"
