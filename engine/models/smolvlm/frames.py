"""The resize of SmolVLM2's video processor: the long side first, then a square.

Source: transformers' `SmolVLMVideoProcessor`, whose frames these are bit for bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from engine.models.layers.preprocess import (
    MODES,
    PixelConfig,
    require_filter,
    require_usual_steps,
)

MOST_PX: Final = 4096
"""Longest side that the first resize makes, fixed in upstream's code."""
HALF: Final = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameConfig:
    """Steps from a frame of any size to the tower's square."""

    size_px: int
    long_side_px: int
    """Of the first resize, which keeps the aspect."""
    filter: int = 1
    """Pillow's number: Lanczos, as released."""
    mean: tuple[float, ...] = HALF
    std: tuple[float, ...] = HALF

    def __post_init__(self) -> None:
        require_filter(self.filter)

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> "FrameConfig":
        """Read a `preprocessor_config.json`, or a `video_preprocessor_config.json`.

        Raises:
            ValueError: It asks for other steps.
        """
        require_usual_steps(config)
        # As transformers 5.24 reads the releases: `size`, where it stands, counts for video too.
        long_side = config.get("size") or config["video_sampling"]["video_size"]
        return cls(
            size_px=int(config["max_image_size"]["longest_edge"]),
            long_side_px=int(long_side["longest_edge"]),
            filter=int(config.get("resample", 1)),
            mean=tuple(float(level) for level in config.get("image_mean", HALF)),
            std=tuple(float(level) for level in config.get("image_std", HALF)),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields of a `preprocessor_config.json` that `from_json` reads."""
        return {
            "image_processor_type": "SmolVLMImageProcessor",
            "processor_class": "SmolVLMProcessor",
            "do_convert_rgb": True,
            "do_image_splitting": True,
            "do_normalize": True,
            "do_pad": True,
            "do_rescale": True,
            "do_resize": True,
            "resample": self.filter,
            "rescale_factor": 1 / 255,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
            "size": {"longest_edge": self.long_side_px},
            "max_image_size": {"longest_edge": self.size_px},
            "video_sampling": {
                "fps": 1,
                "max_frames": 64,
                "video_size": {"longest_edge": self.size_px},
            },
        }

    @property
    def pixels(self) -> PixelConfig:
        """Normalisation of frames that have the tower's size."""
        return PixelConfig(size_px=self.size_px, fit="squash", mean=self.mean, std=self.std)


def fit(
    frames: UInt8[Tensor, "frame 3 h w"], config: FrameConfig
) -> UInt8[Tensor, "frame 3 size size"]:
    """Bring frames to the tower's square; those of its size come back as they are."""
    side, mode = config.size_px, MODES[config.filter]
    # Differs from upstream: a frame of the tower's size is not enlarged and brought back, because
    # frames that this function has been at must stay as they are.
    if tuple(frames.shape[2:]) == (side, side):
        return frames
    for size in (long_side_size(frames.shape[2:], config.long_side_px), (side, side)):
        if tuple(frames.shape[2:]) != size:
            frames = F.interpolate(frames, size, mode=mode, antialias=True)
    return frames


def long_side_size(size: tuple[int, ...], long_side_px: int) -> tuple[int, int]:
    """Return height and width of the first resize; an odd short side is made even."""
    height, width = size
    long = min(MOST_PX, long_side_px)
    # Upstream's products in its order: whole pixels depend on how they round.
    aspect = width / height
    if width >= height:
        short = int(long / aspect)
        return max(short + short % 2, 1), long
    short = int(long * aspect)
    return long, max(short + short % 2, 1)
