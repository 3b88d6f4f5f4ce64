"""Pictures of a video from its kept stills: single ones, and the sheet for scrubbing.

Nothing is decoded here but small JPEGs of our own; `app/services/stills.py` decodes the original
where no still is kept, or a sharper picture is wanted.
"""

import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from app.services.context import ServiceContext
from app.services.originals import has_original
from app.services.playback import is_recorded
from app.services.stills import check_width
from engine.cache.stills import Still, encode_still
from engine.errors import CorruptStillsError, NotFoundError
from engine.files import atomic_write, atomic_write_bytes
from engine.records import VideoId
from storage.files import HomeFolder
from storage.records import VideoRow

SPRITE_STILLS: Final = 100
SPRITE_COLUMNS: Final = 10
SPRITE_WIDTH_PX: Final = 160
SPRITE_HEIGHT_PX: Final = 90
_LEAST_STEP_S: Final = 2.0
# Addresses of pictures give tenths of a second: a frame at 12.34 s is asked for as 12.3.
_ROUNDING_S: Final = 0.05
_SPRITE_QUALITY: Final = 70

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sprite:
    """Stills in one picture, ten a row."""

    step_s: float
    count: int


def kept_still(
    context: ServiceContext, row: VideoRow, time_s: float, width_px: int
) -> bytes | None:
    """Return the still shown at a time as JPEG.

    Args:
        context: Of the library.
        row: A video, live ones too.
        time_s: Seconds from the start, to a tenth.
        width_px: Longest side of the picture.
    Returns:
        `None` where no still is kept, or the original holds more pixels than it and they are
        asked for.
    Raises:
        InputRefusedError: A width that no picture has.
    Cost: 0.3 ms as it is kept, 1 ms scaled down.
    """
    check_width(width_px)
    still = _still_at(context, row.id, time_s + _ROUNDING_S)
    if still is None or (
        still.longest_px < width_px and _has_more_pixels(context, row, still.longest_px)
    ):
        return None
    if still.longest_px <= width_px:
        return still.jpeg
    scaled = encode_still(still.pixels(width_px), still.pts_s, context.stills.config)
    return None if scaled is None else scaled.jpeg


def find_sprite(context: ServiceContext, row: VideoRow) -> Sprite | None:
    """Return how the sheet of a video's stills is read; `None` where there is none to be had."""
    if not context.stills.holds(row.id):
        # One that an earlier version decoded.
        return _read_sprite(context, row.id)
    duration_s = row.duration_s or 0.0
    covered_s = max(row.ingested_s, _LEAST_STEP_S)
    if not duration_s:
        # A live source grows: while the step doubles now and then, most sheets stay as they are.
        doublings = max(0, math.ceil(math.log2(covered_s / _LEAST_STEP_S / SPRITE_STILLS)))
        duration_s = _LEAST_STEP_S * SPRITE_STILLS * 2**doublings
    step_s = max(_LEAST_STEP_S, duration_s / SPRITE_STILLS)
    return Sprite(step_s=step_s, count=min(SPRITE_STILLS, math.ceil(covered_s / step_s)))


def sprite_sheet(context: ServiceContext, row: VideoRow) -> Path:
    """Return the picture that `find_sprite` describes; it is made when the video has grown.

    Raises:
        NotFoundError: No still of the video is kept.
    Cost: 0.2 s when it is made.
    """
    path, sprite = HomeFolder(context.settings.home).sprite(row.id), find_sprite(context, row)
    if sprite is None:
        raise NotFoundError(f"no stills of {row.name} are kept")
    if not path.is_file() or _read_sprite(context, row.id) != sprite:
        _make_sprite(context, row.id, sprite, path)
    return path


def _still_at(context: ServiceContext, video: VideoId, time_s: float) -> Still | None:
    try:
        return context.stills.at(video, time_s)
    except NotFoundError:
        return None
    except CorruptStillsError as error:
        _log.warning("a still is left out: %s", error)
        return None


def _has_more_pixels(context: ServiceContext, row: VideoRow, longest_px: int) -> bool:
    if row.media is None:
        return False
    if not is_recorded(context, row) and not has_original(context, row):
        return False
    return max(row.media.width_px, row.media.height_px) > longest_px


def _make_sprite(context: ServiceContext, video: VideoId, sprite: Sprite, path: Path) -> None:
    rows = -(-sprite.count // SPRITE_COLUMNS)
    size = (SPRITE_COLUMNS * SPRITE_WIDTH_PX, rows * SPRITE_HEIGHT_PX)
    sheet = Image.new("RGB", size)
    for index in range(sprite.count):
        still = _still_at(context, video, index * sprite.step_s)
        if still is None:
            continue
        picture = Image.fromarray(still.pixels(SPRITE_WIDTH_PX))
        picture.thumbnail((SPRITE_WIDTH_PX, SPRITE_HEIGHT_PX))
        left = index % SPRITE_COLUMNS * SPRITE_WIDTH_PX
        top = index // SPRITE_COLUMNS * SPRITE_HEIGHT_PX
        # In the middle of its cell.
        left += (SPRITE_WIDTH_PX - picture.width) // 2
        sheet.paste(picture, (left, top + (SPRITE_HEIGHT_PX - picture.height) // 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, durable=False) as temporary:
        sheet.save(temporary, "JPEG", quality=_SPRITE_QUALITY)
    facts = HomeFolder(context.settings.home).sprite_facts(video)
    atomic_write_bytes(facts, json.dumps(asdict(sprite)).encode(), durable=False)


def _read_sprite(context: ServiceContext, video: VideoId) -> Sprite | None:
    """Return what the sheet on disk holds; `None` where there is none."""
    try:
        facts = HomeFolder(context.settings.home).sprite_facts(video).read_text()
        return Sprite(**json.loads(facts))
    except (OSError, ValueError, TypeError):
        return None
