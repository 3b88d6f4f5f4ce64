"""Originals and playable files of a video, and frames that are decoded from them on request.

Most pictures are stills that ingest has kept (`app/services/pictures.py`).
"""

from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from app.config.engine_config import media_limits
from app.sandbox.channel import SandboxLimits
from app.sandbox.reader import frame_at_foreign
from app.services.context import ServiceContext
from app.services.originals import (
    has_original,
    held_file,
    held_original,
    is_stored,
    original_path,
)
from app.services.playback import recording_at, recording_shift_s
from engine.errors import InputRefusedError
from engine.files import atomic_write
from engine.media.address import is_live_uri
from engine.records import MediaInfo, VideoId
from storage.files import HomeFolder
from storage.records import VideoRow

STILL_WIDTHS: Final = (160, 320, 640, 1280)
GRID_FPS: Final = 5.0
"""Stills are kept at fifths of a second: neighbours share a file."""
_STILL_LIMITS = SandboxLimits(cpu_s=60, stall_s=15.0)
_WEBM_CODECS = frozenset({"vp8", "vp9", "av1"})
_TYPES = {
    "mp4": "video/mp4",
    "mov": "video/mp4",
    "matroska": "video/x-matroska",
    "avi": "video/x-msvideo",
    "mpegts": "video/mp2t",
    "ogg": "video/ogg",
}
_SOUND_TYPES = {
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "mp4": "audio/mp4",
    "mov": "audio/mp4",
    "webm": "audio/webm",
}
"""Of files without a moving picture, of which no copy is made: browsers play all of these."""


def media_type(media: MediaInfo | None) -> str:
    """Return the MIME type of an original, by its container as probed, never by its name."""
    names = [] if media is None else media.container.split(",")
    types = _TYPES if media is None or media.has_picture else _SOUND_TYPES
    # One demuxer reads both; browsers take Matroska under the name of the subset.
    if media is not None and "webm" in names and media.video_codec in _WEBM_CODECS:
        return "video/webm"
    return next((types[name] for name in names if name in types), "application/octet-stream")


def browser_plays(media: MediaInfo | None) -> bool:
    """Tell whether today's browsers play the original; when in doubt a copy is made."""
    if media is None or media.is_live:
        return False
    if not media.has_picture:
        return media_type(media).startswith("audio/")
    codecs = {"video/mp4": {"h264", "av1"}, "video/webm": _WEBM_CODECS}
    return media.video_codec in codecs.get(media_type(media), set())


def shows_original(row: VideoRow) -> bool:
    """Tell whether a browser shows of the original what was read of it: of several tracks too."""
    return row.video_track is None and browser_plays(row.media)


def proxy_file(home: Path, video: VideoId) -> Path:
    """Return the path of the playback copy."""
    return HomeFolder(home).proxy(video)


def has_copy(context: ServiceContext, video: VideoId) -> bool:
    """Tell whether there is a playback copy, here or in the object store."""
    proxy = proxy_file(context.settings.home, video)
    return proxy.is_file() or is_stored(context, proxy)


def find_playable(context: ServiceContext, row: VideoRow) -> Path | None:
    """Return what a browser can play: the copy, else the original if it will do.

    It may lie in the object store alone.
    """
    if has_copy(context, row.id):
        return proxy_file(context.settings.home, row.id)
    return (
        original_path(context, row) if shows_original(row) and has_original(context, row) else None
    )


def play_offset_s(context: ServiceContext, row: VideoRow) -> float:
    """Return when the first frame is shown by the player's clock; a copy begins with it."""
    if row.camera is not None and is_live_uri(row.uri):
        return recording_shift_s(context, row)
    if row.media is None or has_copy(context, row.id):
        return 0.0
    return row.media.first_frame_s


def check_width(width_px: int) -> None:
    """Refuse a width that no picture has.

    Raises:
        InputRefusedError: It is none of `STILL_WIDTHS`.
    """
    if width_px not in STILL_WIDTHS:
        widths = ", ".join(map(str, STILL_WIDTHS))
        raise InputRefusedError(f"stills are {widths} pixels wide, not {width_px}")


def still_file(home: Path, video: VideoId, time_s: float, width_px: int) -> Path:
    """Return the path of a still, whether it is made yet or not.

    Raises:
        InputRefusedError: A width that no still has.
    """
    check_width(width_px)
    return HomeFolder(home).still(video, round(time_s * GRID_FPS), width_px)


def make_still(context: ServiceContext, row: VideoRow, time_s: float, width_px: int) -> Path:
    """Decode one frame in a child process and keep it; behind the end it is the last one."""
    home = context.settings.home
    target = still_file(home, row.id, time_s, width_px)
    is_copy = has_copy(context, row.id)
    moment_s = round(time_s * GRID_FPS) / GRID_FPS
    recorded = recording_at(context, row, moment_s)
    if recorded is not None:
        held, moment_s = held_file(context, recorded.path), moment_s - recorded.start_s
    elif is_copy:
        held = held_file(context, proxy_file(home, row.id))
    else:
        held = held_original(context, row)
    with held as source:
        frame = frame_at_foreign(
            str(source),
            moment_s,
            limits=media_limits(context.settings, None if is_copy else row.video_track),
            max_side_px=width_px,
            sandbox=_STILL_LIMITS,
        )
    _write_still(frame.pixels, target)
    return target


def _write_still(pixels: UInt8[np.ndarray, "h w 3"], target: Path) -> None:
    """Write a picture as JPEG beside its name, then rename it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Two requests may ask for the same still at once; each writes a file of its own.
    with atomic_write(target) as temporary:
        Image.fromarray(pixels).save(temporary, "JPEG", quality=80, optimize=True)
