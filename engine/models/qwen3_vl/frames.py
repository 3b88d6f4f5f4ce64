"""The resize of Qwen3-VL's video processor: whole patches, the aspect kept, a budget of pixels.

Upstream divides one budget among all frames of a file. A stream has no end, so here every chunk
gets the share of one: as many pixels a frame as upstream gives those of a video of `SHARED_BY`
frames.

Source: transformers' `Qwen3VLVideoProcessor`; its sizes for a video of a chunk's length.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from engine.errors import InputRefusedError
from engine.models.layers.preprocess import BICUBIC, require_usual_steps

CHUNK_FRAMES: Final = 8
"""Frames of a chunk, our choice: four seconds at the released rate."""
SHARED_BY: Final = 384
"""Frames that share the released budget: with 25,165,824 pixels 65,536 each, some 340 x 192. Half
of the 768 frames that upstream takes at most."""
MOST_ASPECT: Final = 200
"""Largest ratio of the sides, fixed in upstream's code."""
HALF: Final = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameConfig:
    """Steps from a frame of any size to whole patches."""

    factor_px: int
    """Both sides are multiples of it: the side of a patch times the patches that are merged."""
    frame_pixels: int
    """Most pixels of a frame."""
    least_pixels: int
    """Fewest pixels of all frames of a chunk together."""
    mean: tuple[float, ...] = HALF
    std: tuple[float, ...] = HALF

    def __post_init__(self) -> None:
        if self.frame_pixels < self.factor_px**2 or self.tokens_per_pair % 2:
            raise ValueError(
                f"frame_pixels must hold an even number of squares of {self.factor_px} pixels, "
                f"not {self.frame_pixels}"
            )

    @property
    def tokens_per_pair(self) -> int:
        """Most visual tokens of two frames, which the tower joins."""
        return int(self.frame_pixels // self.factor_px**2)

    @classmethod
    def from_json(cls, config: Mapping[str, Any], *, factor_px: int) -> "FrameConfig":
        """Read a `video_preprocessor_config.json`; our own field `frame_pixels` comes first.

        Raises:
            ValueError: It resizes otherwise.
        """
        require_bicubic(config)
        size = config["size"]
        share = int(config.get("frame_pixels", size["longest_edge"] // SHARED_BY))
        return cls(
            factor_px=factor_px,
            frame_pixels=share,
            least_pixels=int(size["shortest_edge"]),
            mean=tuple(float(level) for level in config.get("image_mean", HALF)),
            std=tuple(float(level) for level in config.get("image_std", HALF)),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields of a `video_preprocessor_config.json` that `from_json` reads."""
        longest = self.frame_pixels * SHARED_BY
        return {
            "video_processor_type": "Qwen3VLVideoProcessor",
            "size": {"longest_edge": longest, "shortest_edge": self.least_pixels},
            "resample": 3,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }


def require_bicubic(config: Mapping[str, Any]) -> None:
    """Refuse the config of a preprocessor with other steps than those here."""
    require_usual_steps(config)
    if config.get("resample", BICUBIC) != BICUBIC:
        raise ValueError(f"resample must be {BICUBIC}, bicubic, not {config['resample']}")


def fit(
    frames: UInt8[Tensor, "frame 3 h w"], config: FrameConfig
) -> UInt8[Tensor, "frame 3 rows columns"]:
    """Bring frames to whole patches; those that fit come back as they are.

    Raises:
        InputRefusedError: Frames are too narrow for upstream's resize.
    """
    height, width = frames.shape[2:]
    is_whole = height % config.factor_px == 0 and width % config.factor_px == 0
    # Differs from upstream: whole patches within the budget stay, however few they are, because
    # frames that this function has been at must. With the released numbers that is upstream's rule.
    if is_whole and height * width <= config.frame_pixels:
        return frames
    size = fitted_size(height, width, config)
    return F.interpolate(frames, size, mode="bicubic", antialias=True)


def fitted_size(height: int, width: int, config: FrameConfig) -> tuple[int, int]:
    """Return height and width of frames after the resize."""
    factor, most = config.factor_px, config.frame_pixels * CHUNK_FRAMES
    # Upstream's products in its order: whole pixels depend on how they round.
    if height < factor or width < factor:
        scale = max(factor / height, factor / width)
        height, width = int(height * scale), int(width * scale)
    if max(height, width) / min(height, width) > MOST_ASPECT:
        raise InputRefusedError(
            f"frames of {width} x {height} pixels are narrower than 1 : {MOST_ASPECT}",
            hint="use another model for them",
        )
    rows, columns = round(height / factor) * factor, round(width / factor) * factor
    n = CHUNK_FRAMES
    if n * rows * columns > most:
        beta = math.sqrt(n * height * width / most)
        rows, columns = (max(factor, _down(side / beta, factor)) for side in (height, width))
    elif n * rows * columns < config.least_pixels:
        beta = math.sqrt(config.least_pixels / (n * height * width))
        rows, columns = (_up(side * beta, factor) for side in (height, width))
    return rows, columns


def _down(pixels: float, factor: int) -> int:
    return math.floor(pixels / factor) * factor


def _up(pixels: float, factor: int) -> int:
    return math.ceil(pixels / factor) * factor
