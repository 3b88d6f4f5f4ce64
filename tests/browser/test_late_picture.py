"""A file whose sound begins before its picture: player, stills and clips show one moment."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from app.config.settings import load_settings
from app.services.benchmarks.web import RunningServer
from app.services.context import ServiceContext
from app.worker.foreground import ingest_now
from engine.media.clip import cut
from engine.media.sample import FrameReader, SamplingConfig, frame_at
from engine.media.source import MediaLimits
from engine.records import TimeSpan
from tests.browser.stage import enter_by_link, open_page, open_stage
from tests.support.synthetic import read_index, spelled

LATE_S, FPS, N = 4, 10, 120
DRAWN = """
    async () => {
        const video = document.querySelector("video");
        const frame = new Promise((resolve) => video.requestVideoFrameCallback(resolve));
        video.pause();
        await Promise.race([frame, new Promise((resolve) => setTimeout(resolve, 1500))]);
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
        const brush = canvas.getContext("2d");
        brush.drawImage(video, 0, 0);
        const { data } = brush.getImageData(0, 0, canvas.width, canvas.height);
        const grey = [...data].filter((_, index) => index % 4 === 0);
        return { width: canvas.width, height: canvas.height, grey };
    }
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Silence from 0 s, and frames that spell their numbers from 4 s on."""
    path = tmp_path_factory.mktemp("clips") / "late.mp4"
    with av.open(path, "w") as out:
        picture = out.add_stream("libx264", rate=FPS, options={"g": "10", "bf": "0"})
        picture.width, picture.height, picture.pix_fmt = 160, 90, "yuv420p"
        sound = out.add_stream("aac", rate=48_000)
        for start in range(0, (LATE_S + N // FPS) * 48_000, 1024):
            block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            block.pts, block.sample_rate, block.time_base = start, 48_000, Fraction(1, 48_000)
            out.mux(sound.encode(block))
        for index in range(N):
            frame = av.VideoFrame.from_ndarray(spelled(index), format="rgb24")
            frame.pts, frame.time_base = LATE_S * FPS + index, Fraction(1, FPS)
            out.mux(picture.encode(frame))
        out.mux(sound.encode(None))
        out.mux(picture.encode(None))
    return path


@pytest.fixture(scope="module")
def server(
    browser: Any, clip: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("late") / "home"
    context = ServiceContext(load_settings(home=home))
    ingest_now(context, [str(clip)])
    context.close()
    with open_stage(home) as opened:
        yield opened


def test_player_still_and_clip_show_the_moment_that_was_read(
    browser: Any, server: RunningServer, clip: Path, tmp_path: Path
) -> None:
    limits = MediaLimits()
    with FrameReader(
        str(clip), SamplingConfig(fps=float(FPS), thin_static=False), limits=limits
    ) as reader:
        assert reader.info.first_frame_s == pytest.approx(LATE_S, abs=0.03)
        (read,) = (frame for frame in reader if abs(frame.pts_s - 6.0) < 0.01)
    assert read_index(read.pixels) == 60
    assert read_index(frame_at(str(clip), 6.05, limits=limits).pixels) == 60
    copied = cut(str(clip), TimeSpan(start_s=6.0, end_s=8.0), tmp_path / "cut.mp4", limits=limits)
    with FrameReader(
        str(tmp_path / "cut.mp4"), SamplingConfig(fps=float(FPS), thin_static=False), limits=limits
    ) as reader:
        assert read_index(next(iter(reader)).pixels) == round(copied.span.start_s * FPS)

    with open_page(browser, server) as page:
        enter_by_link(page, server)
        (video,) = page.evaluate("fetch('/api/v1/videos').then((list) => list.json())")["videos"]
        page.goto(f"/ui/watch?v={video['video_id']}&t=6.05")
        page.wait_for_function("document.querySelector('video')?.readyState >= 2")
        page.wait_for_function("document.querySelector('video')?.currentTime > 9")
        drawn = page.evaluate(DRAWN)
    pixels = np.array(drawn["grey"], np.uint8).reshape(drawn["height"], drawn["width"], 1)
    assert read_index(pixels.repeat(3, axis=2)) == 60
