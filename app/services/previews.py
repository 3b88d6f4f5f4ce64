"""What a player needs beside the original: stills for scrubbing, and a copy that browsers play.

Made by the worker behind the ingest of the same video, never inside a request.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Final

import numpy as np

from app.api import media
from app.config.engine_config import media_limits
from app.sandbox.channel import SoundShape
from app.sandbox.reader import SandboxedReader, SandboxedSound
from app.services.context import Service
from app.worker.worker import Handler, JobContext
from engine.errors import LongwatchError
from engine.media.encode import even, write_video
from engine.media.frames import Frame
from engine.media.sample import SamplingConfig
from engine.media.sound_track import RATE_HZ, Sound
from engine.media.source import is_live_uri
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


def enqueue_preview(service: Service, video: VideoRow) -> JobRow | None:
    """Have what is missing made, once; `None` where nothing is."""
    if is_live_uri(video.uri) or not _missing(service, video):
        return None
    for job in service.catalog.jobs.listed("queued", "running", "failed", video=video.id):
        if job.kind == KIND:
            return job
    return service.catalog.jobs.add(KIND, {}, video=video.id, stream=video.id)


def enqueue_missing_previews(service: Service) -> None:
    """For videos that were read without a server."""
    for video in service.catalog.videos.listed("ready"):
        enqueue_preview(service, video)


def preview_handler(service: Service) -> Handler:
    """Makes the stills, then the copy where one is needed."""

    def handle(job: JobRow, context: JobContext) -> None:
        assert job.video is not None, "a preview belongs to a video"
        video = service.catalog.videos.get(job.video)
        if not media.sprite_file(service.settings.home, video.id).is_file():
            _make_sprite(service, video, context)
        if not context.should_stop() and _needs_copy(service, video):
            _make_copy(service, video, context)

    return handle


def _missing(service: Service, video: VideoRow) -> bool:
    if video.media is not None and not video.media.has_picture:
        return False
    home = service.settings.home
    return not media.sprite_file(home, video.id).is_file() or _needs_copy(service, video)


def _needs_copy(service: Service, video: VideoRow) -> bool:
    made = media.proxy_file(service.settings.home, video.id).is_file()
    return not made and not media.browser_plays(video.media)


def _make_sprite(service: Service, video: VideoRow, context: JobContext) -> None:
    """Stills at even distances, ten a row, in one JPEG; beside it how to read it."""
    duration_s = video.duration_s or video.ingested_s or STILLS * _LEAST_STEP_S
    step_s = max(_LEAST_STEP_S, duration_s / STILLS)
    config = SamplingConfig(
        fps=1 / step_s, thin_static=False, group_frames=1, max_side_px=STILL_WIDTH_PX
    )
    rows = -(-STILLS // COLUMNS)
    sheet = np.zeros((rows * STILL_HEIGHT_PX, COLUMNS * STILL_WIDTH_PX, 3), dtype=np.uint8)
    count = 0
    with SandboxedReader(
        str(media.original_file(video)), config, limits=media_limits(service.settings)
    ) as reader:
        for place, frame in enumerate(reader):
            if place >= STILLS or context.should_stop():
                break
            _paste(sheet, frame.pixels, place)
            count = place + 1
            context.progress(count, STILLS, "stills")
    if not count or context.should_stop():
        return
    target = media.sprite_file(service.settings.home, video.id)
    used = -(-count // COLUMNS) * STILL_HEIGHT_PX
    media.write_still(sheet[:used], target, quality=70)
    facts = media.Sprite(step_s=step_s, count=count)
    target.with_suffix(".json").write_text(json.dumps(asdict(facts)))


def _paste(sheet: np.ndarray, pixels: np.ndarray, place: int) -> None:
    """Put a still into its cell, in the middle."""
    pixels = pixels[:STILL_HEIGHT_PX, :STILL_WIDTH_PX]
    height, width = pixels.shape[:2]
    top = place // COLUMNS * STILL_HEIGHT_PX + (STILL_HEIGHT_PX - height) // 2
    left = place % COLUMNS * STILL_WIDTH_PX + (STILL_WIDTH_PX - width) // 2
    sheet[top : top + height, left : left + width] = pixels


def _make_copy(service: Service, video: VideoRow, context: JobContext) -> None:
    """A 720p H.264 copy with its sound, a keyframe every two seconds, on the original's clock.

    Decoded in confined children like everything foreign, encoded here.
    """
    fps = min(COPY_FPS, (video.media and video.media.fps) or COPY_FPS)
    config = SamplingConfig(fps=fps, thin_static=False, group_frames=1, max_side_px=COPY_SIDE_PX)
    target = media.proxy_file(service.settings.home, video.id)
    target.parent.mkdir(parents=True, exist_ok=True)
    original, limits = str(media.original_file(video)), media_limits(service.settings)
    shape = SoundShape(rate_hz=RATE_HZ, layout="stereo")
    with (
        SandboxedReader(original, config, limits=limits) as reader,
        SandboxedSound(original, limits=limits, shape=shape) as sound,
    ):
        heard = Sound(
            read=_sound_reader(sound, video, context), end_s=reader.info.duration_s or 0.0
        )
        frames = _frames_until_stopped(reader, video, context)
        gop_frames = max(1, round(2 * fps))
        try:
            write_video(
                target,
                frames,
                fps,
                crf=26,
                gop_frames=gop_frames,
                sound=heard if reader.info.has_audio else None,
            )
        except _StoppedError:
            return


class _StoppedError(Exception):
    """The job was cancelled, or its worker stops: half a copy is no copy."""


def _frames_until_stopped(
    reader: Iterable[Frame], video: VideoRow, context: JobContext
) -> Iterator[Frame]:
    for frame in reader:
        if context.should_stop():
            raise _StoppedError
        context.progress(frame.pts_s, video.duration_s, "playable copy")
        yield even(frame)


def _sound_reader(
    sound: SandboxedSound, video: VideoRow, context: JobContext
) -> Callable[[TimeSpan], np.ndarray | None]:
    """Sound for the copy; where it cannot be read any further the copy goes on without."""

    def read(span: TimeSpan) -> np.ndarray | None:
        if context.should_stop():
            raise _StoppedError
        try:
            return sound.block(span)
        except LongwatchError as error:
            _log.warning("copy of %s: no sound from %.1f s on: %s", video.id, span.start_s, error)
            return None

    return read
