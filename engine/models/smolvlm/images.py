"""SmolVLM2's still images: cut into tiles of the tower's size, then the whole once more.

Source: transformers' `SmolVLMImageProcessor`, whose tiles these are, and the text that its
processor writes around them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from engine.errors import WeightsError
from engine.models.layers.config_fit import config_fits
from engine.models.layers.preprocess import MODES
from engine.models.layers.preprocessor_files import find_preprocessor
from engine.models.smolvlm.frames import FrameConfig, long_side_size
from engine.models.smolvlm.prompts import BORDER, WHOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """Steps from a picture of any size to tiles."""

    frames: FrameConfig
    """Sizes, filter and normalisation, which have the same fields."""
    has_tiles: bool = True
    """Whether a picture is cut at all."""


def read_image_config(folder: Path, frames: FrameConfig) -> ImageConfig:
    """Read how a checkpoint shows pictures; as frames, where it does not say so.

    Raises:
        WeightsError: It makes tiles that the tower does not take.
    """
    raw = find_preprocessor(folder, "image")
    if raw is None:
        return ImageConfig(frames=frames, has_tiles=False)
    with config_fits(folder, "SmolVLM"):
        own = FrameConfig.from_json(raw)
    if own.size_px != frames.size_px:
        raise WeightsError(
            f"the preprocessor of {folder} makes tiles of {own.size_px} pixels, and the tower "
            f"takes {frames.size_px}"
        )
    return ImageConfig(frames=own, has_tiles=bool(raw.get("do_image_splitting", True)))


def cut(
    pixels: UInt8[Tensor, "3 h w"], config: ImageConfig
) -> tuple[UInt8[Tensor, "tile 3 size size"], tuple[int, int]]:
    """Cut a picture into tiles, row by row, and add the whole of it behind them.

    Returns:
        The tiles, and how many rows and columns there are; (0, 0) where it is shown whole only.
    """
    side = config.frames.size_px
    image = _resized(pixels[None], long_side_size(pixels.shape[1:], config.frames.long_side_px),
                     config)  # fmt: skip
    if not config.has_tiles:
        return _resized(image, (side, side), config), (0, 0)
    image = _resized(image, tiled_size(image.shape[2:], side), config)
    rows, columns = image.shape[2] // side, image.shape[3] // side
    if rows == columns == 1:
        return image, (0, 0)
    # 1 3 (row y) (column x) -> (row column) 3 y x
    grid = image.view(3, rows, side, columns, side).permute(1, 3, 0, 2, 4)
    tiles = grid.reshape(rows * columns, 3, side, side)
    return torch.cat((tiles, _resized(image, (side, side), config))), (rows, columns)


def tiled_size(size: Sequence[int], side_px: int) -> tuple[int, int]:
    """Return height and width in whole tiles: the longer side first, then the shorter by aspect."""
    height, width = size
    # Upstream's products in its order: whole tiles depend on how they round.
    aspect = width / height
    if width >= height:
        width = math.ceil(width / side_px) * side_px
        height = math.ceil(int(width / aspect) / side_px) * side_px
    else:
        height = math.ceil(height / side_px) * side_px
        width = math.ceil(int(height * aspect) / side_px) * side_px
    return height, width


def picture_labels(tiles: tuple[int, int]) -> list[str]:
    """Write the text before each tile of a picture; a border follows the last one."""
    rows, columns = tiles
    if not rows:
        return [BORDER + WHOLE]
    labels = [
        ("\n" if row and not column else "") + f"{BORDER}<row_{row + 1}_col_{column + 1}>"
        for row in range(rows)
        for column in range(columns)
    ]
    return [*labels, f"\n\n{BORDER}{WHOLE}"]


def _resized(
    image: UInt8[Tensor, "1 3 h w"], size: tuple[int, int], config: ImageConfig
) -> UInt8[Tensor, "1 3 height width"]:
    if tuple(image.shape[2:]) == size:
        return image
    return F.interpolate(image, size, mode=MODES[config.frames.filter], antialias=True)
