"""Pictures and playable files of a video: where they lie, and how one is made and kept."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from app.config.engine_config import media_limits
from app.sandbox.channel import SandboxLimits
from app.sandbox.reader import frame_at_foreign
from app.services.context import ServiceContext
from engine.errors import InputRefusedError, NotFoundError, UnreachableError
from engine.files import atomic_write, atomic_write_bytes
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sprite:
    """Stills in one picture, ten a row."""

    step_s: float
    count: int


def original_file(row: VideoRow) -> Path:
    """Return the path of the original.

    Raises:
        NotFoundError: A live source, which keeps none.
        UnreachableError: The file was moved.
    """
    if is_live_uri(row.uri):
        raise NotFoundError(f"{row.name} is a live source: its past pictures are not kept")
    path = Path(row.uri)
    if not path.is_file():
        raise UnreachableError(
            f"the file of {row.name} is gone", hint="answers and search work without it"
        )
    return path


def media_type(media: MediaInfo | None) -> str:
    """Return the MIME type of an original, by its container as probed, never by its name."""
    names = [] if media is None else media.container.split(",")
    # One demuxer reads both; browsers take Matroska under the name of the subset.
    if media is not None and "webm" in names and media.video_codec in _WEBM_CODECS:
        return "video/webm"
    return next((_TYPES[name] for name in names if name in _TYPES), "application/octet-stream")


def browser_plays(media: MediaInfo | None) -> bool:
    """Tell whether today's browsers play the original; when in doubt a copy is made."""
    if media is None or media.is_live:
        return False
    codecs = {"video/mp4": {"h264", "av1"}, "video/webm": _WEBM_CODECS}
    return media.video_codec in codecs.get(media_type(media), set())


def sprite_file(home: Path, video: VideoId) -> Path:
    """Return the path of the picture of many stills."""
    return HomeFolder(home).sprite(video)


def proxy_file(home: Path, video: VideoId) -> Path:
    """Return the path of the playback copy."""
    return HomeFolder(home).proxy(video)


def read_sprite(home: Path, video: VideoId) -> Sprite | None:
    """Return what the picture of many stills holds; `None` until the worker has made it."""
    try:
        return Sprite(**json.loads(HomeFolder(home).sprite_facts(video).read_text()))
    except OSError:
        return None


def write_sprite(
    home: Path, video: VideoId, sheet: UInt8[np.ndarray, "h w 3"], sprite: Sprite
) -> None:
    """Keep a picture of many stills, and beside it how to read it."""
    write_still(sheet, sprite_file(home, video), quality=70)
    facts = json.dumps(asdict(sprite)).encode()
    atomic_write_bytes(HomeFolder(home).sprite_facts(video), facts)


def find_playable(home: Path, row: VideoRow) -> Path | None:
    """Return what a browser can play: the copy, else the original if it will do."""
    proxy = proxy_file(home, row.id)
    if proxy.is_file():
        return proxy
    return Path(row.uri) if browser_plays(row.media) and Path(row.uri).is_file() else None


def still_file(home: Path, video: VideoId, time_s: float, width_px: int) -> Path:
    """Return the path of a still, whether it is made yet or not.

    Raises:
        InputRefusedError: A width that no still has.
    """
    if width_px not in STILL_WIDTHS:
        widths = ", ".join(map(str, STILL_WIDTHS))
        raise InputRefusedError(f"stills are {widths} pixels wide, not {width_px}")
    return HomeFolder(home).still(video, round(time_s * GRID_FPS), width_px)


def make_still(context: ServiceContext, row: VideoRow, time_s: float, width_px: int) -> Path:
    """Decode one frame in a child process and keep it; behind the end it is the last one."""
    home = context.settings.home
    target = still_file(home, row.id, time_s, width_px)
    copy = proxy_file(home, row.id)
    frame = frame_at_foreign(
        str(copy if copy.is_file() else original_file(row)),
        round(time_s * GRID_FPS) / GRID_FPS,
        limits=media_limits(context.settings),
        max_side_px=width_px,
        sandbox=_STILL_LIMITS,
    )
    write_still(frame.pixels, target)
    return target


def write_still(pixels: UInt8[np.ndarray, "h w 3"], target: Path, *, quality: int = 80) -> None:
    """Write a picture as JPEG beside its name, then rename it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Two requests may ask for the same still at once; each writes a file of its own.
    with atomic_write(target) as temporary:
        Image.fromarray(pixels).save(temporary, "JPEG", quality=quality, optimize=True)
