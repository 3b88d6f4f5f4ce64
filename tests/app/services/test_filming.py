"""Cameras that are filmed: what they show, when, what is recorded, and what becomes of faults.

The camera shows a clock in real time, so that frames, recordings and the wall clock can be held
against each other to a picture.
"""

import errno
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from pydantic import ByteSize

from app.schemas.alerts import AlertCondition
from app.schemas.cameras import CameraFields, CameraItem
from app.services.access import find_camera
from app.services.alerts import list_alerts
from app.services.camera_registry import add_camera, change_camera, list_cameras, show_camera
from app.services.camera_retention import keep_within_limits
from app.services.context import ServiceContext
from app.services.library import export_clip, remove_video
from app.services.playback import export_camera_clip, play_recording
from app.services.stills import make_still
from app.services.timelines import parts_of
from app.worker.alerts import alerts_running
from app.worker.handlers import open_worker
from storage.camera_records import CameraRow
from storage.catalog import utc_now
from storage.files import HomeFolder
from storage.records import VideoRow
from tests.app.services.conftest import open_library
from tests.support.clock_camera import FPS, ClockCamera, drawn_clock, open_clock_camera
from tests.support.mjpeg_camera import open_mjpeg_camera
from tests.support.rtsp_camera import open_rtsp_camera
from tests.support.synthetic import encoded_video, read_index
from tests.support.waiting import wait_until
from tests.support.watched import add_rules

A_PICTURE_S = 1 / FPS


@pytest.fixture(scope="module")
def clocks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return drawn_clock(tmp_path_factory.mktemp("clock"))


@pytest.fixture
def camera(clocks: tuple[Path, Path]) -> Iterator[ClockCamera]:
    with open_clock_camera(clocks) as opened:
        yield opened


@pytest.fixture
def library(tmp_path: Path, checkpoint: Path) -> Iterator[ServiceContext]:
    opened = open_library(
        tmp_path / "home", checkpoint, allow_network=True, sampling__thin_static=False
    )
    yield opened
    opened.close()


@contextmanager
def filming(context: ServiceContext) -> Iterator[None]:
    worker = open_worker(context)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()


def shown(context: ServiceContext) -> CameraItem:
    return show_camera(context, "Gate").cameras[0]


def filmed_s(context: ServiceContext, gate: CameraRow, part: int = 0) -> float:
    parts = parts_of(context, gate)
    return parts[part].ingested_s if len(parts) > part else 0.0


def check_clock(context: ServiceContext, row: VideoRow, camera: ClockCamera) -> None:
    """Hold the stills of a part, and the files of its recording, against the clock they show."""
    assert row.start_at is not None
    times_s = context.stills.times(row.id)
    assert times_s
    for time_s in times_s:
        index = read_index(context.stills.at(row.id, time_s).pixels())
        said = row.start_at.timestamp() + time_s
        assert said == pytest.approx(camera.shown_at(index), abs=A_PICTURE_S)
    segments = context.catalog.segments.of_video(row.id)
    assert segments
    home = HomeFolder(context.settings.home)
    for segment in segments:
        with av.open(home.recording(segment.camera, segment.name)) as file:
            frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in file.decode()]
        indices = [read_index(pixels) for _, pixels in frames]
        assert indices == [*range(indices[0], indices[0] + len(indices))], "no picture is missing"
        for (time_s, _), index in zip(frames, indices, strict=True):
            assert time_s is not None
            said = row.start_at.timestamp() + segment.start_s + time_s
            assert said == pytest.approx(camera.shown_at(index), abs=A_PICTURE_S)
            assert segment.start_at.timestamp() + time_s == pytest.approx(said, abs=1e-3)
        # Of a picture that a still was kept of, the recording holds the same at the same time.
        recorded = {
            round(segment.start_s + (time_s or 0.0), 3): i
            for (time_s, _), i in zip(frames, indices, strict=True)
        }
        for time_s in times_s:
            if round(time_s, 3) in recorded:
                still = context.stills.at(row.id, time_s).pixels()
                assert read_index(still) == recorded[round(time_s, 3)]


def test_camera_that_comes_and_goes_is_one_timeline_with_its_gaps(
    library: ServiceContext, camera: ClockCamera
) -> None:
    gate = add_camera(library, "Gate", camera.address)
    with filming(library):
        wait_until(lambda: shown(library).state == "live")
        wait_until(lambda: filmed_s(library, gate) >= 8)
        camera.is_down = True
        camera.hang_up()
        time.sleep(4)
        camera.is_down = False
        wait_until(lambda: filmed_s(library, gate, 1) >= 4)
        camera.is_down = True
        camera.hang_up()
        wait_until(lambda: shown(library).state == "unreachable")
        since = shown(library).since
        assert "an error of its own" in shown(library).note
        # Tried again, and still since then.
        before = camera.n_connections
        time.sleep(4)
        assert (shown(library).state, shown(library).since) == ("unreachable", since)
        camera.is_down = False
        wait_until(lambda: filmed_s(library, gate, 2) >= 4)
        assert camera.n_connections > before
        item = shown(library)
        assert (item.state, item.reconnects) == ("live", 2)
        camera.is_silent = True
        wait_until(lambda: shown(library).state == "stalled")
        stopped_at = time.monotonic()
    # Nobody waited for a camera that says nothing.
    assert time.monotonic() - stopped_at < 5
    item = shown(library)
    assert item.state == "off"
    assert [stretch.is_gap for stretch in item.timeline] == [False, True, False, True, False]
    for row in parts_of(library, gate):
        assert row.status == "ready"
        check_clock(library, row, camera)


def test_camera_that_is_switched_off_and_on_again(
    library: ServiceContext, camera: ClockCamera
) -> None:
    gate = add_camera(library, "Gate", camera.address, CameraFields(records=False))
    with filming(library):
        wait_until(lambda: filmed_s(library, gate) >= 4)
        change_camera(library, gate, CameraFields(), enabled=False)
        wait_until(lambda: shown(library).note == "it is switched off")
        wait_until(lambda: parts_of(library, gate)[0].status == "ready")
        change_camera(library, gate, CameraFields(fps=5.0), enabled=True)
        wait_until(lambda: filmed_s(library, gate, 1) >= 2)
    assert not library.catalog.segments.list(gate.id)
    first, second = parts_of(library, gate)
    assert np.diff(library.stills.times(first.id)) == pytest.approx(1.0)
    assert np.diff(library.stills.times(second.id)) == pytest.approx(0.2)


def test_clock_that_steps_and_a_picture_that_grows(
    library: ServiceContext, camera: ClockCamera
) -> None:
    gate = add_camera(library, "Gate", camera.address)
    with filming(library):
        wait_until(lambda: filmed_s(library, gate) >= 6)
        camera.step_s = 3600.0
        wait_until(lambda: filmed_s(library, gate) >= 12)
        camera.is_large = True
        wait_until(lambda: filmed_s(library, gate, 1) >= 4)
    before, behind = parts_of(library, gate)
    assert before.ingested_s < 60, "an hour of the camera's clock is no hour"
    for row in (before, behind):
        check_clock(library, row, camera)
    assert before.media is not None
    assert behind.media is not None
    assert (before.media.width_px, behind.media.width_px) == (160, 256)


def test_what_is_recorded_plays_at_once_and_as_a_clip(
    library: ServiceContext, camera: ClockCamera, tmp_path: Path
) -> None:
    gate = add_camera(library, "Gate", camera.address)
    with filming(library):
        wait_until(lambda: filmed_s(library, gate) >= 14)
        # While the file is still being written.
        (row,) = parts_of(library, gate)
        joined = play_recording(library, row)
        whole = tmp_path / "now.mp4"
        whole.write_bytes(b"".join(joined.read(0, joined.n_bytes)))
        assert joined.n_bytes == whole.stat().st_size
        with av.open(whole) as file:
            seen = [
                (frame.time, read_index(frame.to_ndarray(format="rgb24")))
                for frame in file.decode(video=0)
            ]
        clip = tmp_path / "clip.mp4"
        export_clip(library, row, (4.0, 8.0), clip)
    (row,) = parts_of(library, gate)
    assert row.start_at is not None
    assert len(seen) > 40
    for time_s, index in seen:
        assert row.start_at.timestamp() + (time_s or 0) == pytest.approx(
            camera.shown_at(index), abs=A_PICTURE_S
        )
    first = {round(time_s or 0, 2): index for time_s, index in seen}
    with av.open(clip) as file:
        indices = [read_index(frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]
    assert indices[0] == first[4.0]
    assert indices[-1] == first[7.8]
    by_clock = tmp_path / "by_clock.mp4"
    start_at = row.at(5.0)
    assert start_at is not None
    export_camera_clip(library, gate, start_at, start_at + timedelta(seconds=3), by_clock)
    with av.open(by_clock) as file:
        indices = [read_index(frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]
    assert first[5.0] in indices[: FPS + 1]
    jpeg = make_still(library, row, 6.0, 160)
    assert read_index(np.asarray(Image.open(jpeg))) == first[6.0]
    # A user who deletes the part deletes its recording; age and size leave that to its own limits.
    assert library.catalog.segments.list(gate.id)
    remove_video(library, row)
    assert not library.catalog.segments.list(gate.id)
    assert not list(HomeFolder(library.settings.home).recordings.rglob("*.mp4"))


def test_limits_of_a_camera_are_kept_while_it_films(
    library: ServiceContext, camera: ClockCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.filming.SEGMENT_S", 2.0)
    limits = CameraFields(recording_bytes=ByteSize(12_000), still_bytes=ByteSize(30_000))
    gate = add_camera(library, "Gate", camera.address, limits)
    # Another one beside it has a budget of its own.
    limits = CameraFields(recording_bytes=ByteSize(24_000))
    yard = add_camera(library, "Yard", camera.address, limits)
    with filming(library):
        wait_until(lambda: min(filmed_s(library, gate), filmed_s(library, yard)) >= 24)
        # The oldest goes as soon as another file is complete.
        wait_until(lambda: kept_bytes(library, gate) <= 12_000)
        wait_until(lambda: kept_bytes(library, yard) <= 24_000)
        for each in (gate, yard):
            assert library.catalog.segments.list(each.id)[0].start_s > 2, "the oldest went"
        (row,) = parts_of(library, gate)
        assert min(library.stills.times(row.id)) > 0
    home = HomeFolder(library.settings.home)
    for each in (gate, yard):
        names = {segment.name for segment in library.catalog.segments.list(each.id)}
        assert {path.name for path in (home.recordings / each.id).glob("*.mp4")} == names
    names = {segment.name for segment in library.catalog.segments.list(gate.id)}
    # Latents outlive the recording, unless a limit of their own ends them.
    assert row.n_chunks
    change_camera(library, gate, CameraFields(latent_bytes=ByteSize(1)))
    keep_within_limits(library, gate, utc_now())
    assert not parts_of(library, gate)
    kept = library.catalog.segments.list(gate.id)
    assert {segment.name for segment in kept} == names
    assert all(segment.video is None for segment in kept)
    change_camera(library, gate, CameraFields(recording_days=1.0))
    keep_within_limits(library, gate, utc_now() + timedelta(days=2))
    assert not library.catalog.segments.list(gate.id)


def kept_bytes(context: ServiceContext, camera: CameraRow) -> int:
    """The size of a recording but for the file that is being written."""
    rows = context.catalog.segments.list(camera.id)
    return sum(row.n_bytes for row in rows if not row.is_open)


def test_full_disk_stops_the_recording_and_nothing_else(
    library: ServiceContext, camera: ClockCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.filming.SEGMENT_S", 2.0)
    gate = add_camera(library, "Gate", camera.address)
    is_full = threading.Event()

    class FullDisk(io.FileIO):
        def write(self, data: object) -> int:
            if is_full.is_set():
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)  # type: ignore[arg-type]

    monkeypatch.setattr("app.services.recorder.open_file", lambda path: FullDisk(path, "xb"))
    add_rules(library, disk=AlertCondition(kind="no_recording", too_long_s=10, cooldown_s=0))
    with alerts_running(library), filming(library):
        wait_until(lambda: filmed_s(library, gate) >= 4)
        is_full.set()
        wait_until(lambda: shown(library).note == "nothing is recorded: the disk is full")
        assert shown(library).state == "live"
        before_s = filmed_s(library, gate)
        wait_until(lambda: filmed_s(library, gate) >= before_s + 4)
        wait_until(lambda: list_alerts(library).alerts)
        (alert,) = list_alerts(library).alerts
        assert (alert.camera, alert.reason) == ("Gate", "nothing was recorded for 10 s")
        assert alert.start_s >= 4
        is_full.clear()
        wait_until(lambda: not shown(library).note)
        n_segments = len(library.catalog.segments.list(gate.id))
        wait_until(lambda: len(library.catalog.segments.list(gate.id)) > n_segments)
    assert len(list_alerts(library).alerts) == 1
    (row,) = parts_of(library, gate)
    check_clock(library, row, camera)


def test_camera_that_lets_nobody_in_is_refused_since_then(
    library: ServiceContext, tmp_path: Path
) -> None:
    part = encoded_video(tmp_path / "part.ts", 50, gop_frames=25, noise=False).read_bytes()
    with open_rtsp_camera([part] * 50, "digest") as camera:
        add_camera(library, "Gate", camera.address("viewer:wrong@"))
        with filming(library):
            wait_until(lambda: shown(library).state == "refused")
            item = shown(library)
            assert "the camera refuses this name and password" in item.note
            assert "wrong" not in item.note
            # The right password is tried at once, not after the pause.
            gate = find_camera(library, "Gate")
            change_camera(library, gate, CameraFields(), address=camera.address())
            wait_until(lambda: shown(library).parts)
    assert shown(library).reconnects >= 0


def test_killed_in_mid_segment_what_was_written_plays(
    tmp_path: Path, checkpoint: Path, camera: ClockCamera
) -> None:
    home = tmp_path / "home"
    flags = {"allow_network": True, "sampling__thin_static": False}
    library = open_library(home, checkpoint, **flags)
    gate = add_camera(library, "Gate", camera.address)
    environment = os.environ | {
        "LONGWATCH_MODEL": str(checkpoint),
        "LONGWATCH_ALLOW_NETWORK": "true",
        "LONGWATCH_SAMPLING__THIN_STATIC": "false",
    }
    command = [sys.executable, "-m", "app", "worker", "--home", str(home)]
    worker = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: filmed_s(library, gate) >= 8)
    finally:
        worker.kill()
        worker.wait()
    killed_at = time.time()
    (segment,) = library.catalog.segments.list(gate.id)
    assert segment.is_open
    with filming(library):
        # Another process goes on with the camera, and finishes what was left.
        wait_until(lambda: filmed_s(library, gate, 1) >= 4)
    for row in parts_of(library, gate):
        assert row.status == "ready"
        check_clock(library, row, camera)
    first = library.catalog.segments.list(gate.id)[0]
    assert not first.is_open
    # Pictures wait for those behind them, and a fragment has a second.
    assert killed_at - first.end_at.timestamp() < 1 + 5 * A_PICTURE_S
    library.close()


def test_pictures_that_come_one_by_one_are_timed_by_arrival(library: ServiceContext) -> None:
    with open_mjpeg_camera([0.3, 0.5, 1.1]) as (address, sent_at):
        gate = add_camera(library, "Gate", address, CameraFields(fps=5.0))
        with filming(library):
            wait_until(lambda: filmed_s(library, gate) >= 8)
        known = [*sent_at]
    (row,) = parts_of(library, gate)
    assert row.start_at is not None
    # What waited while the reader started came at once, and nothing says when it was sent.
    times_s = [time_s for time_s in library.stills.times(row.id) if time_s > 2]
    assert len(times_s) > 5
    for time_s in times_s:
        index = read_index(library.stills.at(row.id, time_s).pixels())
        said = row.start_at.timestamp() + time_s
        # FFmpeg counts such streams in twenty-fifths of a second; the rest is this machine's load.
        assert said == pytest.approx(known[index], abs=0.3)
    (segment,) = library.catalog.segments.of_video(row.id)
    assert segment.end_s == pytest.approx(row.ingested_s, abs=3)
    home = HomeFolder(library.settings.home)
    with av.open(home.recording(gate.id, segment.name)) as file:
        indices = [read_index(frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]
    assert indices == [*range(indices[0], indices[0] + len(indices))]


def test_camera_beyond_the_limit_says_that_it_waits(
    tmp_path: Path, checkpoint: Path, camera: ClockCamera
) -> None:
    library = open_library(tmp_path / "home", checkpoint, allow_network=True, limits__cameras=1)
    add_camera(library, "Gate", camera.address)
    add_camera(library, "Yard", camera.address)
    with filming(library):
        wait_until(lambda: "live" in {item.state for item in list_cameras(library).cameras})
        (waiting,) = (item for item in list_cameras(library).cameras if item.state != "live")
        assert "it waits: 1 camera filmed" in waiting.note
    library.close()
