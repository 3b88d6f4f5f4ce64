"""One picture of what was asked, what was answered, and the moment that proves it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from engine.files import atomic_write

WIDTH_PX = 960
MARGIN_PX = 28
HEAD_PX = 50
WORDS_PX = 78
"""A question and its answer."""
STILL_PX = (272, 153)
CAPTION_PX = 52
BACKGROUND = (20, 23, 28)
INK = (236, 238, 241)
FAINT = (142, 150, 161)
ACCENT = (255, 179, 71)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionedPicture:
    """A frame and when it was shown."""

    pixels: UInt8[np.ndarray, "h w 3"]
    caption: str
    is_proof: bool
    """Proofs get a frame in the accent colour; context does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A question with its answer and the stills that go with it, at most three."""

    question: str
    answer: str
    stills: tuple[CaptionedPicture, ...]


def write_contact_sheet(path: Path, title: str, rows: Sequence[Row]) -> None:
    """Draw the rows below one another into a PNG, written beside and renamed."""
    tops_px = list(accumulate(map(_height_px, rows), initial=MARGIN_PX + HEAD_PX))
    sheet = Image.new("RGB", (WIDTH_PX, tops_px[-1]), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN_PX, MARGIN_PX), title, fill=FAINT, font=_font(18))
    for row, top_px in zip(rows, tops_px, strict=False):
        _draw_row(sheet, draw, row, top_px)
    with atomic_write(path) as temporary:
        sheet.save(temporary, format="PNG", optimize=True)


def _height_px(row: Row) -> int:
    """Return the height of a row; without stills it is two lines of text."""
    return WORDS_PX + (STILL_PX[1] + CAPTION_PX if row.stills else 0)


def _draw_row(sheet: Image.Image, draw: ImageDraw.ImageDraw, row: Row, top_px: int) -> None:
    draw.line(
        [(MARGIN_PX, top_px - 8), (WIDTH_PX - MARGIN_PX, top_px - 8)], fill=(46, 52, 61), width=1
    )
    draw.text((MARGIN_PX, top_px + 4), row.question, fill=FAINT, font=_font(18))
    draw.text((MARGIN_PX, top_px + 30), row.answer, fill=INK, font=_font(26))
    for column, still in enumerate(row.stills[:3]):
        left_px = MARGIN_PX + column * (STILL_PX[0] + 44)
        _draw_still(sheet, draw, still, left_px, top_px + WORDS_PX)


def _draw_still(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    still: CaptionedPicture,
    left_px: int,
    top_px: int,
) -> None:
    picture = Image.fromarray(still.pixels)
    picture.thumbnail(STILL_PX, Image.Resampling.LANCZOS)
    sheet.paste(picture, (left_px, top_px))
    if still.is_proof:
        box = (left_px - 3, top_px - 3, left_px + picture.width + 2, top_px + picture.height + 2)
        draw.rectangle(box, outline=ACCENT, width=3)
    ink = ACCENT if still.is_proof else FAINT
    draw.text((left_px, top_px + STILL_PX[1] + 8), still.caption, fill=ink, font=_font(16))


def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)
