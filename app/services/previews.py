"""Previews of a video: stills for scrubbing, and a copy that browsers play.

Made by the worker behind the ingest of the same video, never inside a request.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np

from app.config.engine_config import media_limits
from app.progress import JobControl
from app.sandbox.channel import SoundShape
from app.sandbox.reader import SandboxedReader, SandboxedSound
from app.services.context import ServiceContext
from app.services.stills import (
    Sprite,
    browser_plays,
    original_file,
    proxy_file,
    sprite_file,
    write_sprite,
)
from engine.errors import LongwatchError
from engine.media.address import is_live_uri
from engine.media.encode import SOUND_RATE_HZ, Sound, even, write_video
from engine.media.frame import Frame
from engine.media.sample import SamplingConfig
from engine.records import TimeSpan
from storage.records import JobRow, VideoRow

KIND: Final = "preview"
STILLS: Final = 100
COLUMNS: Final = 10
STILL_HEIGHT_PX: Final = 90
STILL_WIDTH_PX: Final = 160
COPY_FPS: Final = 30.0
COPY_SIDE_PX: Final = 1280
_LEAST_STEP_S: Final = 2.0

_log = logging.getLogger(__name__)


def enqueue_preview(context: ServiceContext, video: VideoRow) -> JobRow | None:
    """Queue the making of what a player lacks; `None` where it lacks nothing.

    A job that waits, runs or has failed already is returned: what failed once fails again.
    """
    if is_live_uri(video.uri) or not _missing(context, video):
        return None
    for job in context.catalog.jobs.list("queued", "running", "failed", video=video.id):
        if job.kind == KIND:
            return job
    return context.catalog.jobs.add(KIND, {}, video=video.id, stream=video.id)


def enqueue_missing_previews(context: ServiceContext) -> None:
    """Queue the previews of videos that were read without a server."""
    for video in context.catalog.videos.list("ready"):
        enqueue_preview(context, video)


def run_preview(context: ServiceContext, job: JobRow, control: JobControl) -> None:
    """Make the stills, then the copy where one is needed."""
    assert job.video is not None, "a preview belongs to a video"
    video = context.catalog.videos.get(job.video)
    if not sprite_file(context.settings.home, video.id).is_file():
        _make_sprite(context, video, control)
    if not control.should_stop() and _needs_copy(context, video):
        _make_copy(context, video, control)


def _missing(context: ServiceContext, video: VideoRow) -> bool:
    if video.media is not None and not video.media.has_picture:
        return False
    home = context.settings.home
    return not sprite_file(home, video.id).is_file() or _needs_copy(context, video)


def _needs_copy(context: ServiceContext, video: VideoRow) -> bool:
    has_copy = proxy_file(context.settings.home, video.id).is_file()
    return not has_copy and not browser_plays(video.media)


def _make_sprite(context: ServiceContext, video: VideoRow, control: JobControl) -> None:
    """Make one JPEG of stills at even distances, ten a row."""
    duration_s = video.duration_s or video.ingested_s or STILLS * _LEAST_STEP_S
    step_s = max(_LEAST_STEP_S, duration_s / STILLS)
    config = SamplingConfig(
        fps=1 / step_s, thin_static=False, group_frames=1, max_side_px=STILL_WIDTH_PX
    )
    rows = -(-STILLS // COLUMNS)
    sheet = np.zeros((rows * STILL_HEIGHT_PX, COLUMNS * STILL_WIDTH_PX, 3), dtype=np.uint8)
    count = 0
    with SandboxedReader(
        str(original_file(video)), config, limits=media_limits(context.settings)
    ) as reader:
        for index, frame in enumerate(reader):
            if index >= STILLS or control.should_stop():
                break
            _paste(sheet, frame.pixels, index)
            count = index + 1
            control.progress(count, STILLS, "stills")
    if not count or control.should_stop():
        return
    used = -(-count // COLUMNS) * STILL_HEIGHT_PX
    sprite = Sprite(step_s=step_s, count=count)
    write_sprite(context.settings.home, video.id, sheet[:used], sprite)


def _paste(sheet: np.ndarray, pixels: np.ndarray, index: int) -> None:
    """Draw a still in the middle of its cell."""
    pixels = pixels[:STILL_HEIGHT_PX, :STILL_WIDTH_PX]
    height, width = pixels.shape[:2]
    top = index // COLUMNS * STILL_HEIGHT_PX + (STILL_HEIGHT_PX - height) // 2
    left = index % COLUMNS * STILL_WIDTH_PX + (STILL_WIDTH_PX - width) // 2
    sheet[top : top + height, left : left + width] = pixels


def _make_copy(context: ServiceContext, video: VideoRow, control: JobControl) -> None:
    """Make a 720p H.264 copy with its sound, a keyframe every two seconds, on the same clock.

    Decoded in confined children like everything foreign, encoded here.
    """
    fps = min(COPY_FPS, (video.media and video.media.fps) or COPY_FPS)
    config = SamplingConfig(fps=fps, thin_static=False, group_frames=1, max_side_px=COPY_SIDE_PX)
    target = proxy_file(context.settings.home, video.id)
    target.parent.mkdir(parents=True, exist_ok=True)
    original, limits = str(original_file(video)), media_limits(context.settings)
    shape = SoundShape(rate_hz=SOUND_RATE_HZ, layout="stereo")
    with (
        SandboxedReader(original, config, limits=limits) as reader,
        SandboxedSound(original, limits=limits, shape=shape) as sound,
    ):
        track = Sound(
            read=_sound_reader(sound, video, control), end_s=reader.info.duration_s or 0.0
        )
        frames = _frames_until_stopped(reader, video, control)
        gop_frames = max(1, round(2 * fps))
        try:
            write_video(
                target,
                frames,
                fps,
                crf=26,
                gop_frames=gop_frames,
                sound=track if reader.info.has_audio else None,
            )
        except _StoppedError:
            return


class _StoppedError(Exception):
    """The end of a job that was cancelled, or whose worker stops: half a copy is no copy."""


def _frames_until_stopped(
    reader: Iterable[Frame], video: VideoRow, control: JobControl
) -> Iterator[Frame]:
    for frame in reader:
        if control.should_stop():
            raise _StoppedError
        control.progress(frame.pts_s, video.duration_s, "playable copy")
        yield even(frame)


def _sound_reader(
    sound: SandboxedSound, video: VideoRow, control: JobControl
) -> Callable[[TimeSpan], np.ndarray | None]:
    """Return a reader of the copy's sound; where it fails the copy goes on in silence."""

    def read(span: TimeSpan) -> np.ndarray | None:
        if control.should_stop():
            raise _StoppedError
        try:
            return sound.block(span)
        except LongwatchError as error:
            _log.warning("copy of %s: no sound from %.1f s on: %s", video.id, span.start_s, error)
            return None

    return read
