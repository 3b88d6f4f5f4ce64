"""Qwen3-VL's still images: one picture in its own aspect, within a budget of pixels of its own.

Source: transformers' `Qwen2VLImageProcessor`, which the release uses; its sizes exactly.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from engine.errors import InputRefusedError, WeightsError
from engine.models.layers.weights import read_config
from engine.models.qwen3_vl.frames import MOST_ASPECT

CONFIG = "preprocessor_config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """The bounds of a picture after its resize."""

    factor_px: int
    """Both sides are multiples of it."""
    least_pixels: int = 65_536
    most_pixels: int = 16_777_216
    """As released: 16,384 tokens, of a picture of 4,096 pixels a side."""


def read_image_config(folder: Path, *, factor_px: int) -> ImageConfig:
    """Read the bounds of a checkpoint; those of the release where it names none.

    Raises:
        WeightsError: It resizes otherwise.
    """
    if not (folder / CONFIG).is_file():
        return ImageConfig(factor_px=factor_px)
    raw = read_config(folder, CONFIG)
    if raw.get("resample", 3) != 3:
        raise WeightsError(f"{folder / CONFIG}: resample must be 3, bicubic, not {raw['resample']}")
    return ImageConfig(
        factor_px=factor_px,
        least_pixels=int(raw["size"]["shortest_edge"]),
        most_pixels=int(raw["size"]["longest_edge"]),
    )


def fit_image(
    pixels: UInt8[Tensor, "3 h w"], config: ImageConfig
) -> UInt8[Tensor, "1 3 height width"]:
    """Bring a picture to whole patches.

    Raises:
        InputRefusedError: It is narrower than upstream allows.
    """
    height, width = pixels.shape[1:]
    if max(height, width) / min(height, width) > MOST_ASPECT:
        raise InputRefusedError(
            f"a picture of {width} x {height} pixels is narrower than 1 : {MOST_ASPECT}",
            hint="cut it",
        )
    size = image_size(height, width, config)
    if size == (height, width):
        return pixels[None]
    return F.interpolate(pixels[None], size, mode="bicubic", antialias=True)


def image_size(height: int, width: int, config: ImageConfig) -> tuple[int, int]:
    """Return height and width of a picture after its resize."""
    factor = config.factor_px
    # Upstream's products in its order: whole pixels depend on how they round.
    rows, columns = round(height / factor) * factor, round(width / factor) * factor
    if rows * columns > config.most_pixels:
        beta = math.sqrt(height * width / config.most_pixels)
        rows, columns = (
            max(factor, math.floor(side / beta / factor) * factor) for side in (height, width)
        )
    elif rows * columns < config.least_pixels:
        beta = math.sqrt(config.least_pixels / (height * width))
        rows, columns = (math.ceil(side * beta / factor) * factor for side in (height, width))
    return rows, columns
