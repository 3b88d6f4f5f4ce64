"""A camera of somebody else's making, with a password, that is killed and comes back."""

import time
from pathlib import Path

import av
import numpy as np
import pytest

from app.services.camera_registry import add_camera
from app.services.context import ServiceContext
from app.services.playback import play_recording
from app.services.timelines import parts_of
from tests.app.services.conftest import open_library
from tests.app.services.test_filming import filming, shown, wait_until
from tests.support.clock_camera import FPS, drawn_clock
from tests.support.gstreamer_camera import open_gstreamer_camera, why_not
from tests.support.synthetic import read_index

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
