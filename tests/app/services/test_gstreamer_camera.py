"""A camera of somebody else's making, with a password, that is killed and comes back."""

import time
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import av
import numpy as np
import pytest

from app.config.settings import load_settings
from app.schemas.cameras import CameraFields
from app.services.ask import ask
from app.services.camera_registry import add_camera
from app.services.context import ServiceContext
from app.services.observe import is_observed
from app.services.playback import play_recording
from app.services.scope import resolve_scope
from app.services.timelines import parts_of
from tests.app.services.conftest import open_library
from tests.app.services.test_filming import filming, shown, wait_until
from tests.support.clock_camera import FPS, drawn_clock
from tests.support.gstreamer_camera import open_gstreamer_camera, why_not
from tests.support.synthetic import read_index
from tests.support.visits import read_clock, write_watched_room

PORT = {"basic": 18554, "digest": 18555}


@pytest.fixture(scope="module", autouse=True)
def gstreamer() -> None:
    """A machine without GStreamer's server skips these, and says what would bring it."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def library(tmp_path: Path, checkpoint: Path) -> ServiceContext:
    return open_library(tmp_path / "home", checkpoint, sampling__thin_static=False)


@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_rtsp_server_that_is_killed_three_times_is_one_timeline(
    library: ServiceContext, tmp_path: Path, scheme: str
) -> None:
    clock, _ = drawn_clock(tmp_path / "clock")
    port = PORT[scheme]
    address = f"rtsp://viewer:s3cr%2Ft%40%23%3F@127.0.0.1:{port}/live"
    gate = add_camera(library, "Gate", address)

    def has_filmed(n: int) -> bool:
        parts = parts_of(library, gate)
        return len(parts) == n and parts[-1].ingested_s >= 4

    with filming(library):
        for n in range(1, 5):
            with open_gstreamer_camera(port, clock, scheme):
                wait_until(lambda n=n: has_filmed(n))
                assert shown(library).state == "live"
            time.sleep(3)
    item = shown(library)
    assert item.reconnects == 3
    assert [stretch.is_gap for stretch in item.timeline] == [False, True] * 3 + [False]
    parts = parts_of(library, gate)
    for part in parts:
        # Such a server plays from the beginning to each who connects.
        times_s = library.stills.times(part.id)
        indices = [read_index(library.stills.at(part.id, at).pixels()) for at in times_s]
        assert np.array(indices) / FPS == pytest.approx(np.array(times_s), abs=1 / FPS)
        assert library.catalog.segments.of_video(part.id)
    assert "s3cr" not in f"{item} {parts}"
    library.close()


@pytest.mark.slow
def test_person_is_found_at_the_second_that_the_clock_on_the_picture_shows(
    tmp_path: Path,
) -> None:
    """A password, three restarts of the server, a visit between the first and the second."""
    visit_s, up_s = (55.0, 66.0), [(0.0, 28.0), (34.0, 74.0), (80.0, 100.0), (106.0, 124.0)]
    clock = write_watched_room(tmp_path / "room.mkv", [visit_s], length_s=180)
    # The model that is packaged, which answers from what observers state.
    library = ServiceContext(
        load_settings({"sight.observers": ["objects"]}, home=tmp_path / "home")
    )
    address = "rtsp://viewer:s3cr%2Ft%40%23%3F@127.0.0.1:18557/live"
    zone = ZoneInfo("Asia/Kathmandu")
    gate = add_camera(library, "Gate", address, CameraFields(timezone=str(zone)))
    with filming(library):
        began_at = time.time()
        for start_s, end_s in up_s:
            time.sleep(max(0.0, began_at + start_s - time.time()))
            with open_gstreamer_camera(18557, clock, "digest", began_at=began_at):
                time.sleep(max(0.0, began_at + end_s - time.time()))
        parts = parts_of(library, gate)
        wait_until(lambda: is_observed(library, parts_of(library, gate)[1]))
    item = shown(library)
    assert (len(parts), item.reconnects) == (4, 3)
    assert [stretch.is_gap for stretch in item.timeline] == [False, True] * 3 + [False]
    for (_, end_s), (start_s, _), gap in zip(up_s, up_s[1:], item.timeline[1::2], strict=False):
        assert datetime.fromisoformat(gap.start_at).timestamp() - began_at == pytest.approx(
            end_s, abs=2
        )
        # A server takes its time to start, and a camera that was away is asked again every few s.
        back_s = datetime.fromisoformat(gap.end_at).timestamp() - began_at
        assert start_s <= back_s <= start_s + 10
    answer = ask(library, "When did the person come in?", resolve_scope(library, cameras=["Gate"]))
    assert answer.answered_by == "observations"
    # The last is that the server is gone.
    assert [gap.end_at is None for gap in answer.gaps] == [False] * 3 + [True]
    evidence = answer.evidence[0]
    assert evidence.video_id == parts[1].id
    assert evidence.start_at is not None
    came_at = datetime.fromisoformat(evidence.start_at)
    assert came_at.utcoffset() == timedelta(hours=5, minutes=45)
    assert came_at.timestamp() - began_at == pytest.approx(visit_s[0], abs=1)
    assert f"({came_at:%H:%M:%S})" in answer.answer
    for part in parts:
        assert part.start_at is not None
        for time_s in library.stills.times(part.id):
            index = read_clock(library.stills.at(part.id, time_s).pixels())
            said = part.start_at.timestamp() + time_s - began_at
            assert said == pytest.approx(index / FPS, abs=1)
    cited = library.stills.at(parts[1].id, evidence.start_s)
    assert read_clock(cited.pixels()) / FPS == pytest.approx(visit_s[0], abs=1)
    library.close()


def test_rtsp_server_that_speaks_udp_alone_is_filmed_with_its_sound(
    library: ServiceContext, tmp_path: Path
) -> None:
    clock, _ = drawn_clock(tmp_path / "clock")
    port = 18556
    gate = add_camera(library, "Gate", f"rtsp://viewer:s3cr%2Ft%40%23%3F@127.0.0.1:{port}/live")
    with (
        open_gstreamer_camera(port, clock, "digest", transport="udp"),
        filming(library),
    ):
        wait_until(lambda: parts_of(library, gate) and parts_of(library, gate)[-1].ingested_s >= 6)
        assert shown(library).state == "live"
    (part,) = parts_of(library, gate)
    times_s = library.stills.times(part.id)
    indices = [read_index(library.stills.at(part.id, at).pixels()) for at in times_s]
    # Datagrams that come before anybody listens are lost, and so may be the first second.
    first_s = indices[0] / FPS
    assert first_s <= 1
    assert np.array(indices) / FPS - first_s == pytest.approx(np.array(times_s), abs=1 / FPS)
    joined = play_recording(library, part)
    played = tmp_path / "played.mp4"
    played.write_bytes(b"".join(joined.read(0, joined.n_bytes)))
    with av.open(played) as file:
        picture, sound = file.streams
        assert (picture.codec_context.name, sound.codec_context.name) == ("h264", "aac")
        heard = [
            frame.to_ndarray() for frame in file.decode(sound) if isinstance(frame, av.AudioFrame)
        ]
    samples = np.concatenate(heard, axis=1)[0]
    assert samples.size / 8000 >= 4
    # Behind where the encoder begins, the tone does not stop.
    loudness = [np.abs(block).max() for block in np.array_split(samples[4000:-4000], 20)]
    assert min(loudness) > 0.3
