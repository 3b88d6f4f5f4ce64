"""Qwen3-VL's still images: one picture in its own aspect, within a budget of pixels of its own.

Source: transformers' `Qwen2VLImageProcessor`, which the release uses; its sizes exactly.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from engine.errors import InputRefusedError
from engine.models.layers.config_fit import config_fits
from engine.models.layers.preprocess import CLIP_MEAN, CLIP_STD
from engine.models.layers.preprocessor_files import find_preprocessor
from engine.models.qwen3_vl.frames import HALF, MOST_ASPECT, require_bicubic
from engine.models.qwen3_vl.vision import VisionConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """The bounds of a picture after its resize."""

    factor_px: int
    """Both sides are multiples of it."""
    least_pixels: int = 65_536
    most_pixels: int = 16_777_216
    """As released: 16,384 tokens, of a picture of 4,096 pixels a side."""
    mean: tuple[float, ...] = HALF
    std: tuple[float, ...] = HALF


def read_image_config(folder: Path, vision: VisionConfig) -> ImageConfig:
    """Read how a checkpoint shows pictures; as the release, where it does not say so.

    Raises:
        WeightsError: It resizes otherwise.
    """
    raw = find_preprocessor(folder, "image")
    if raw is None:
        return ImageConfig(factor_px=vision.factor_px)
    with config_fits(folder, "Qwen3-VL"):
        require_bicubic(raw)
        vision.require_patches(raw)
        # Transformers, too, takes older names of the bounds first, and else CLIP's levels.
        return ImageConfig(
            factor_px=vision.factor_px,
            least_pixels=int(raw.get("min_pixels") or raw["size"]["shortest_edge"]),
            most_pixels=int(raw.get("max_pixels") or raw["size"]["longest_edge"]),
            mean=tuple(float(level) for level in raw.get("image_mean") or CLIP_MEAN),
            std=tuple(float(level) for level in raw.get("image_std") or CLIP_STD),
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
