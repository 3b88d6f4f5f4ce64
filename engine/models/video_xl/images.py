"""Video-XL's still images: cut into tiles of the tower's size, which are compressed like frames.

The picture is brought to the size among the config's `image_grid_pinpoints` that keeps most of it,
black beside it, and cut row by row. Upstream makes a small copy of the whole, too, and throws it
away before the projector. Every tile gives the tokens of a frame, tile after tile.

Source: anyres tiling of LLaVA-NeXT, which VectorSpaceLab/Video-XL uses; rules read at 6e3dc89, no
released checkpoint was at hand.
"""

import itertools
import math
import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from engine.errors import WeightsError

_RANGE: Final = re.compile(r"\((\d+)x(\d+)\)")


def tile_sizes(config: dict[str, Any], side_px: int) -> tuple[tuple[int, int], ...]:
    """Read the widths and heights that pictures may be brought to; none where none are read.

    Args:
        config: A checkpoint's `config.json`.
        side_px: Of the tower.
    Raises:
        WeightsError: They are not whole tiles of the tower.
    """
    points = config.get("image_grid_pinpoints") or ()
    if config.get("image_aspect_ratio") != "anyres" or not points:
        return ()
    if isinstance(points, str):
        # "(1x1),...,(6x6)": all grids from the first to the last, in tiles.
        ends = [tuple(map(int, match)) for match in _RANGE.findall(points)]
        if not ends:
            raise WeightsError(f"image_grid_pinpoints {points!r} names no grid")
        (first, last), (columns, rows) = ends[0], ends[-1]
        grids = itertools.product(range(first, columns + 1), range(last, rows + 1))
        return tuple((column * side_px, row * side_px) for column, row in grids)
    sizes = tuple((int(width), int(height)) for width, height in points)
    if any(side % side_px or not side for size in sizes for side in size):
        raise WeightsError(f"image_grid_pinpoints must be multiples of {side_px}, not {points}")
    return sizes


def best_size(width: int, height: int, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the size that keeps most pixels of a picture, and of those the smallest."""

    def kept(size: tuple[int, int]) -> tuple[int, int]:
        scale = min(size[0] / width, size[1] / height)
        pixels = min(int(width * scale) * int(height * scale), width * height)
        return pixels, -(size[0] * size[1] - pixels)

    return max(sizes, key=kept)


def cut(
    pixels: UInt8[Tensor, "3 h w"], sizes: Sequence[tuple[int, int]], side_px: int
) -> tuple[UInt8[Tensor, "tile 3 size size"], tuple[int, int]]:
    """Cut a picture into tiles, row by row.

    Returns:
        The tiles, and how many rows and columns there are.
    """
    height, width = pixels.shape[1:]
    target = best_size(width, height, sizes)
    fitted = _padded(Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy()), target)
    columns, rows = target[0] // side_px, target[1] // side_px
    # (row y) (column x) 3 -> (row column) 3 y x
    grid = torch.from_numpy(fitted).view(rows, side_px, columns, side_px, 3).permute(0, 2, 4, 1, 3)
    return grid.reshape(rows * columns, 3, side_px, side_px).contiguous(), (rows, columns)


def _padded(image: Image.Image, target: tuple[int, int]) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Resize a picture into a size, its aspect kept, and centre it on black."""
    across, down = target[0] / image.width, target[1] / image.height
    if across < down:
        size = (target[0], min(math.ceil(image.height * across), target[1]))
    else:
        size = (min(math.ceil(image.width * down), target[0]), target[1])
    canvas = Image.new("RGB", target)
    resized = image.resize(size, Image.Resampling.BICUBIC)
    canvas.paste(resized, ((target[0] - size[0]) // 2, (target[1] - size[1]) // 2))
    return np.array(canvas)
