"""The parts of a video that its player lacks: stills of older videos, a copy that browsers play.

Made by the worker behind the ingest of the same video, never inside a request.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from app.config.engine_config import media_limits
from app.progress import JobControl
from app.sandbox.channel import SoundShape
from app.sandbox.reader import SandboxedReader, SandboxedSound
from app.services.context import ServiceContext
from app.services.originals import has_original, held_original
from app.services.stills import has_copy, proxy_file, shows_original
from engine.cache.stills import Still, encode_still
from engine.errors import CorruptLatentsError, LongwatchError
from engine.media.address import is_live_uri
from engine.media.encode import SOUND_RATE_HZ, Sound, even, write_video
from engine.media.frame import Frame
from engine.media.sample import SamplingConfig
from engine.pipeline.engine import Engine
from engine.records import ChunkCommitted, TimeSpan
from storage.records import JobRow, VideoRow

KIND: Final = "preview"
COPY_FPS: Final = 30.0
COPY_SIDE_PX: Final = 1280

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
    """Make the stills that are missing, then the copy where one is needed."""
    assert job.video is not None, "a preview belongs to a video"
    video = context.catalog.videos.get(job.video)
    if lacks_stills(context, video):
        fill_stills(context, video, control, holder=job)
    if not control.should_stop() and _needs_copy(context, video):
        _make_copy(context, video, control)


def lacks_stills(context: ServiceContext, video: VideoRow) -> bool:
    """Tell whether chunks of a video lack stills that can be made from its original.

    Where stills are deleted by age or size, those that are missing are taken for deleted.
    """
    keeping = context.settings.stills
    if keeping.days is not None or keeping.disk_bytes is not None:
        return False
    has_picture = video.media is None or video.media.has_picture
    if not has_picture or not has_original(context, video):
        return False
    return bool(_without_stills(context, video))


def fill_stills(
    context: ServiceContext,
    video: VideoRow,
    control: JobControl,
    *,
    holder: JobRow | None = None,
) -> None:
    """Make the stills that are missing, by reading the original once more.

    They are those that ingest would have kept, byte for byte. A video that another model has read
    is left alone: nothing here can read which frames it sampled.

    Args:
        holder: The job that makes them: a worker that has lost it to another changes nothing.
    Raises:
        LeaseLostError: Another worker makes them by now.
    """
    engine = context.engine
    missing = _without_stills(context, video)
    if not missing or engine.cache.pipeline_of(video.id) != video.fingerprint:
        return
    wanted = {ordinal: _times(engine, video, ordinal) for ordinal in missing}
    config = replace(
        engine.sampling, fps=video.sample_fps or engine.sampling.fps, thin_static=False
    )
    gathered: dict[int, list[Still]] = {ordinal: [] for ordinal in missing}
    by_time = {time_s: ordinal for ordinal, times_s in wanted.items() for time_s in times_s}
    first_s = min(by_time, default=0.0)
    with (
        held_original(context, video) as original,
        SandboxedReader(
            str(original),
            config,
            limits=media_limits(context.settings, video.video_track),
            # What lies before is not decoded.
            after_s=math.nextafter(first_s, 0.0) if first_s > 0 else None,
        ) as reader,
    ):
        for frame in reader:
            if control.should_stop() or not by_time:
                return
            ordinal = by_time.pop(frame.pts_s, None)
            if ordinal is None:
                continue
            still = encode_still(frame.pixels, frame.pts_s, context.stills.config)
            if still is not None:
                gathered[ordinal].append(still)
            if len(gathered[ordinal]) == len(wanted[ordinal]):
                # A file has no transaction: the last moment before it is the best there is.
                context.catalog.jobs.check_held(holder)
                context.stills.put(
                    video.id,
                    ordinal,
                    gathered.pop(ordinal),
                    end_s=missing[ordinal].ref.span.end_s,
                    reading=missing[ordinal].fingerprint,
                )
                control.progress(frame.pts_s, video.duration_s, "stills")


def _without_stills(context: ServiceContext, video: VideoRow) -> dict[int, ChunkCommitted]:
    """Return the chunks of a video that have no stills, by ordinal."""
    if video.fingerprint is None:
        return {}
    kept = set(context.stills.ordinals(video.id))
    if len(kept) == video.n_chunks:
        return {}
    chunks = context.catalog.chunks.list(video.id, video.fingerprint)
    return {chunk.ref.ordinal: chunk for chunk in chunks if chunk.ref.ordinal not in kept}


def _times(engine: Engine, video: VideoRow, ordinal: int) -> tuple[float, ...]:
    """Return the times of a chunk's frames; none of a damaged one."""
    try:
        _, _, pts_s = engine.cache.frame_vectors(video.id, ordinal)
    except CorruptLatentsError:
        return ()
    return tuple(pts_s.tolist())


def _missing(context: ServiceContext, video: VideoRow) -> bool:
    if video.media is not None and not video.media.has_picture:
        return False
    return lacks_stills(context, video) or _needs_copy(context, video)


def _needs_copy(context: ServiceContext, video: VideoRow) -> bool:
    return not has_copy(context, video.id) and not shows_original(video)


def _make_copy(context: ServiceContext, video: VideoRow, control: JobControl) -> None:
    """Make a 720p H.264 copy with its sound, a keyframe every two seconds, on the same clock.

    Decoded in confined children like everything foreign, encoded here.
    """
    fps = min(COPY_FPS, (video.media and video.media.fps) or COPY_FPS)
    config = SamplingConfig(fps=fps, thin_static=False, group_frames=1, max_side_px=COPY_SIDE_PX)
    target = proxy_file(context.settings.home, video.id)
    target.parent.mkdir(parents=True, exist_ok=True)
    limits = media_limits(context.settings, video.video_track)
    shape = SoundShape(rate_hz=SOUND_RATE_HZ, layout="stereo")
    with (
        held_original(context, video) as original,
        SandboxedReader(str(original), config, limits=limits) as reader,
        SandboxedSound(str(original), limits=limits, shape=shape) as sound,
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
    context.far.publish(target, replaces=True)


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
