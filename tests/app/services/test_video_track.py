"""The picture that is read of a file with several: the main one, or the one that was chosen."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from app.cli.main import main
from app.services.context import ServiceContext
from app.services.ingest import add_source
from app.services.stills import find_playable, make_still
from app.worker.foreground import ingest_now
from engine.errors import InputRefusedError, MediaRefusedError
from tests.app.services.conftest import open_library
from tests.support.noise import write_clip

SIZES = ((48, 32), (96, 64))


@pytest.fixture(scope="module")
def two_tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small picture that is grey, then a large one that is black."""
    path = tmp_path_factory.mktemp("tracks") / "both.mp4"
    with av.open(str(path), "w") as out:
        streams = []
        for width, height in SIZES:
            stream = out.add_stream("libx264", rate=4)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            streams.append(stream)
        for _ in range(16):
            for stream, grey in zip(streams, (128, 0), strict=True):
                pixels = np.full((stream.height, stream.width, 3), grey, np.uint8)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode())
    return path


def test_main_picture_is_read_unless_one_is_chosen(
    context: ServiceContext, two_tracks: Path
) -> None:
    row = add_source(context, str(two_tracks))
    assert row.media is not None
    assert (row.media.width_px, row.video_track) == (96, None)


def test_chosen_picture_is_read_shown_and_kept(
    tmp_path: Path, checkpoint: Path, two_tracks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    words = ["--home", str(home), "--model", str(checkpoint), "--json"]
    assert main(["ingest", str(two_tracks), "--track", "0", *words]) == 0
    (video,) = json.loads(capsys.readouterr().out)["videos"]
    assert "stream 0 (48x32) is read, not stream 1 (96x64)" in video["warnings"][0]
    context = open_library(home, checkpoint)
    row = context.catalog.videos.resolve("both")
    assert row.video_track == 0
    assert row.media is not None
    assert row.media.width_px == 48
    with Image.open(make_still(context, row, 1.0, 160)) as still:
        assert np.asarray(still).mean() == pytest.approx(128, abs=4)
    # A browser would play the other picture of the original.
    assert find_playable(context, row) is None
    with pytest.raises(InputRefusedError, match="read from another stream"):
        ingest_now(context, [str(two_tracks)], video_track=1)
    context.close()


def test_stream_that_is_no_picture_is_refused_by_name(
    context: ServiceContext, two_tracks: Path
) -> None:
    with pytest.raises(MediaRefusedError, match="stream 2 is no picture of it") as caught:
        add_source(context, str(two_tracks), video_track=2)
    assert "stream 0 (48x32) or stream 1 (96x64)" in str(caught.value.hint)
    assert context.catalog.videos.list() == ()


def test_stream_of_the_settings_is_for_files_that_hold_it(
    tmp_path: Path, checkpoint: Path, two_tracks: Path
) -> None:
    context = open_library(tmp_path / "home", checkpoint, media__video_track=1)
    other = write_clip(tmp_path / "plain.mp4", seconds=4)
    tracks = [add_source(context, str(path)).video_track for path in (two_tracks, other)]
    assert tracks == [1, None]
    context.close()
