"""A picture of what the model got wrong: the moment asked for, the question, wanted and said."""

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from tests.bench.nano_report.world import Asked

COLUMNS = 3
STILL_PX = (300, 169)
TEXT_PX = 86
GAP_PX = 14
BACKGROUND, INK, FAINT, WRONG = (20, 23, 28), (236, 238, 241), (142, 150, 161), (255, 140, 110)
_MOST_STILLS = 2
"""Of one question: order is about two moments."""


def write_failures(path: Path, asked: Sequence[Asked], *, most: int = 12) -> int:
    """Draw wrong answers side by side, kinds taking turns, into a PNG.

    Returns:
        How many; nothing is written where there is none.
    """
    chosen = choose([each for each in asked if not each.is_right], most)
    if not chosen:
        return 0
    cell_px = (STILL_PX[0] + GAP_PX, STILL_PX[1] + TEXT_PX + GAP_PX)
    n_rows = math.ceil(len(chosen) / COLUMNS)
    n_columns = min(COLUMNS, len(chosen))
    size = (n_columns * cell_px[0] + GAP_PX, n_rows * cell_px[1] + GAP_PX)
    sheet = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for place, each in enumerate(chosen):
        row, column = divmod(place, COLUMNS)
        left_px, top_px = GAP_PX + column * cell_px[0], GAP_PX + row * cell_px[1]
        _draw_moments(sheet, each, left_px, top_px)
        _draw_words(draw, each, left_px, top_px + STILL_PX[1] + 6)
    sheet.quantize(128).save(path, format="PNG", optimize=True)
    return len(chosen)


def choose(wrong: Sequence[Asked], most: int) -> list[Asked]:
    """Up to so many, one of each kind in turn, no moment and no question twice."""
    kinds: dict[str, list[Asked]] = {}
    for each in wrong:
        kinds.setdefault(each.question.kind, []).append(each)
    turns = itertools.zip_longest(*kinds.values())
    chosen: dict[object, Asked] = {}
    for each in (each for turn in turns for each in turn if each is not None):
        chosen.setdefault(each.question.spans or each.question.text, each)
    return list(chosen.values())[:most]


def moments_s(asked: Asked) -> list[float]:
    """When to look: the sampled frames nearest the middle of what proves the answer.

    Where nothing proves it, what was shown as evidence; else the beginning.
    """
    spans = asked.question.spans[:_MOST_STILLS]
    if not spans:
        return [0.0 if asked.shown_s is None else asked.shown_s]
    return [float(round((span.start_s + span.end_s) / 2)) for span in spans]


def _draw_moments(sheet: Image.Image, asked: Asked, left_px: int, top_px: int) -> None:
    times_s = moments_s(asked)
    width_px = (STILL_PX[0] - 4 * (len(times_s) - 1)) // len(times_s)
    height_px = min(STILL_PX[1], width_px * STILL_PX[1] // STILL_PX[0])
    down_px = top_px + (STILL_PX[1] - height_px) // 2
    for place, at_s in enumerate(times_s):
        picture = Image.fromarray(asked.story.frame(at_s)).resize((width_px, height_px))
        sheet.paste(picture, (left_px + place * (width_px + 4), down_px))


def _draw_words(draw: ImageDraw.ImageDraw, asked: Asked, left_px: int, top_px: int) -> None:
    font = ImageFont.load_default(13)
    question = list(_wrapped(draw, asked.question.text, font))[:2]
    said = list(_wrapped(draw, f"said: {asked.said}", font))[:2]
    lines = [(line, FAINT) for line in question]
    lines += [(f"wanted: {asked.question.answer}", INK), *((line, WRONG) for line in said)]
    for place, (line, ink) in enumerate(lines):
        draw.text((left_px, top_px + 16 * place), line, fill=ink, font=font)


def _wrapped(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> Iterator[str]:
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and draw.textlength(longer, font=font) > STILL_PX[0]:
            yield line
            longer = word
        line = longer
    yield line
