"""A camera that speaks HLS: filmed on this machine's clock, lost and found again."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.services.camera_registry import add_camera, try_address
from app.services.context import ServiceContext
from app.services.ingest import add_source
from app.services.timelines import parts_of
from tests.app.services.conftest import open_library
from tests.app.services.test_filming import filmed_s, filming, shown, wait_until
from tests.support.clock_camera import FPS, drawn_clock
from tests.support.hls_server import LiveWindow, open_hls_server, playlist, segments
from tests.support.synthetic import read_index

SEGMENT_S = 2.0
LOOK_S = 0.25
"""How often a segment that is due is looked for."""


@pytest.fixture
def library(tmp_path: Path, checkpoint: Path) -> Iterator[ServiceContext]:
    opened = open_library(
        tmp_path / "home", checkpoint, allow_network=True, sampling__thin_static=False
    )
    yield opened
    opened.close()


@pytest.fixture
def window(tmp_path: Path) -> LiveWindow:
    pieces, _ = segments(drawn_clock(tmp_path / "clock")[0], tmp_path / "cut", length_s=SEGMENT_S)
    return LiveWindow(pieces, began_at=time.time() - 4 * SEGMENT_S)


def test_hls_camera_is_one_timeline_with_its_gap(
    library: ServiceContext, window: LiveWindow
) -> None:
    with open_hls_server(window.files(), "digest") as server:
        gate = add_camera(library, "Gate", server.signed_in)
        with filming(library):
            wait_until(lambda: filmed_s(library, gate) >= 8)
            assert shown(library).state == "live", "and not stalled between two segments"
            server.is_down = True
            wait_until(lambda: shown(library).state == "unreachable")
            server.is_down = False
            wait_until(lambda: filmed_s(library, gate, 1) >= 4)
    item = shown(library)
    assert [stretch.is_gap for stretch in item.timeline] == [False, True, False]
    for part in parts_of(library, gate):
        assert part.start_at is not None
        for time_s in library.stills.times(part.id):
            index = read_index(library.stills.at(part.id, time_s).pixels())
            late_s = part.start_at.timestamp() + time_s - (window.began_at + index / FPS)
            # A segment is seen at its end at the earliest, and its last picture tells the time.
            assert -1 / FPS <= late_s <= LOOK_S + 2 / FPS
        assert library.catalog.segments.of_video(part.id)
    assert "s3cr" not in f"{item}"


def test_playlist_that_has_ended_is_a_video_and_no_camera(
    library: ServiceContext, window: LiveWindow
) -> None:
    kept = window.pieces[:5]
    files = {f"{n}.ts": piece.data for n, piece in enumerate(kept)}
    listed = playlist({f"{n}.ts": piece.length_s for n, piece in enumerate(kept)})
    with open_hls_server({"live.m3u8": listed, **files}) as server:
        assert try_address(library, server.address()).video_codec == "h264"
        video = add_source(library, server.address())
        assert video.media is not None
        assert not video.media.is_live
        gate = add_camera(library, "Gate", server.address())
        with filming(library):
            wait_until(lambda: shown(library).state == "unreachable")
            assert "its playlist has ended" in shown(library).note
    assert not parts_of(library, gate)
