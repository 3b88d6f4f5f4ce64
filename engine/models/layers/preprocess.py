"""Image preprocessing for towers: resize, crop, normalise uint8 RGB frames.

Resizing is Pillow's bicubic on bytes, as in the towers' training; a tensor resize differs by whole
grey levels at edges.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, UInt8
from PIL import Image
from torch import Tensor

from engine.device import CPU, upload

Fit = Literal["crop", "squash", "letterbox"]
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
BICUBIC: Final = 3
MODES: Final = {1: "lanczos", 2: "bilinear", BICUBIC: "bicubic"}
"""Pillow's numbers of filters, and torch's names of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelConfig:
    """Steps that make frames a square input of a tower."""

    size_px: int
    fit: Fit = "crop"
    """Crop the centre of the resized frame, squash it, or pad it to a square with the mean."""
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    is_exact: bool = True
    """Resize as Pillow does, byte for byte; else with torch's antialiased bicubic, which for a
    squash takes a twelfth of the time and is one grey level off in 0.3 % of the values."""
    # Out of `repr`, and of hashes where it is bicubic: fingerprints are older than this field.
    filter: int = field(default=BICUBIC, repr=False)
    """Pillow's number of the resize's filter."""

    def __post_init__(self) -> None:
        require_filter(self.filter)

    def to_json(self) -> dict[str, Any]:
        """Return the fields of a `preprocessor_config.json` that `from_json` reads."""
        side = {"height": self.size_px, "width": self.size_px}
        return {
            "image_processor_type": "CLIPImageProcessor",
            "do_resize": True,
            "size": {"shortest_edge": self.size_px} if self.fit == "crop" else side,
            "do_center_crop": self.fit == "crop",
            "crop_size": side,
            "fit": self.fit,
            "is_exact": self.is_exact,
            "resample": self.filter,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> "PixelConfig":
        """Read a `preprocessor_config.json`.

        A `shortest_edge` with a centre crop crops, a height and width squash; our own field
        `fit` says letterbox, `is_exact` how to resize.

        Raises:
            ValueError: It asks for other steps, or for frames that are no square.
        """
        require_usual_steps(config)
        size = config.get("size", 224)
        has_edge = isinstance(size, Mapping) and "shortest_edge" in size
        crops = bool(config.get("do_center_crop", has_edge))
        edge = int(size["shortest_edge"]) if has_edge else _side(size)
        if has_edge and not crops and "fit" not in config:
            raise ValueError("do_center_crop must be true where size is a shortest_edge")
        if crops and _side(config.get("crop_size", edge)) != edge:
            raise ValueError(f"crop_size must be that of size, {edge}, not {config['crop_size']}")
        fit = config.get("fit", "crop" if crops else "squash")
        if fit not in get_args(Fit):
            raise ValueError(f"fit must be one of {', '.join(get_args(Fit))}, not {fit!r}")
        return cls(
            size_px=edge,
            fit=fit,
            filter=int(config.get("resample", BICUBIC)),
            mean=tuple(float(level) for level in config.get("image_mean", CLIP_MEAN)),
            std=tuple(float(level) for level in config.get("image_std", CLIP_STD)),
            is_exact=bool(config.get("is_exact", True)),
        )


def require_filter(number: int) -> None:
    """Refuse a filter that resizes here do not have."""
    if number not in MODES:
        raise ValueError(f"resample must be one of {', '.join(map(str, MODES))}, not {number}")


def require_usual_steps(config: Mapping[str, Any]) -> None:
    """Refuse a `preprocessor_config.json` that leaves out a step, or scales bytes otherwise."""
    for step in ("do_resize", "do_rescale", "do_normalize"):
        if config.get(step, True) not in (True, None):
            raise ValueError(f"{step} must be true, not {config[step]}")
    factor = config.get("rescale_factor")
    if factor is not None and abs(255 * factor - 1) > 1e-6:
        raise ValueError(f"rescale_factor must be 1/255, not {factor}")


def prepare(
    frames: UInt8[Tensor, "frame 3 h w"],
    config: PixelConfig,
    device: torch.device = CPU,
) -> Float32[Tensor, "frame 3 size size"]:
    """Resize and crop frames on the host, and normalise them where the tower is.

    Args:
        frames: On the host; of the tower's own size where `fit` has been at them.
        config: The steps.
        device: Bytes are a quarter of what they become, so they travel before that.
    """
    return normalise(fit(frames, config), config.mean, config.std, device)


def normalise(
    frames: UInt8[Tensor, "frame 3 h w"],
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device = CPU,
) -> Float32[Tensor, "frame 3 h w"]:
    """Bring bytes to a tower and normalise them there."""
    sized = upload(frames.contiguous(), device)
    shift, scale = (upload(torch.tensor(levels), device)[:, None, None] for levels in (mean, std))
    # Dividing rounds like upstream's product in float64; a float32 product would not.
    return (sized.float() / 255 - shift) / scale


def fit(
    frames: UInt8[Tensor, "frame 3 h w"], config: PixelConfig
) -> UInt8[Tensor, "frame 3 size size"]:
    """Resize and crop frames; those of the right size come back as they are.

    Cost: for a 640x360 frame to 64 pixels 1.2 ms of one CPU core with Pillow, 0.1 ms without.
    """
    side, height, width = config.size_px, frames.shape[2], frames.shape[3]
    if (height, width) == (side, side):
        return frames
    if config.fit == "squash" and not config.is_exact:
        return F.interpolate(frames, (side, side), mode=MODES[config.filter], antialias=True)
    planes = frames.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    sized = torch.from_numpy(np.stack([_fit(plane, config) for plane in planes]))
    return sized.permute(0, 3, 1, 2)


def _side(size: Any) -> int:
    """Return the side of a square, given as a number or as height and width."""
    if isinstance(size, int):
        return size
    if size["height"] != size["width"]:
        raise ValueError(f"frames must be square, not {size['width']} x {size['height']}")
    return int(size["height"])


def _fit(plane: "np.ndarray[Any, np.dtype[np.uint8]]", config: PixelConfig) -> Any:
    side, resample = config.size_px, Image.Resampling(config.filter)
    image = Image.fromarray(plane)
    if config.fit == "letterbox":
        image = _pad(image, config)
    if config.fit != "crop":
        return np.asarray(image.resize((side, side), resample))
    short, long = sorted(image.size)
    grown = int(side * long / short)
    size = (side, grown) if image.width <= image.height else (grown, side)
    image = image.resize(size, resample)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)))


def _pad(image: Image.Image, config: PixelConfig) -> Image.Image:
    side = max(image.size)
    red, green, blue = (int(255 * level) for level in config.mean)
    square = Image.new("RGB", (side, side), (red, green, blue))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def resize(
    frames: UInt8[Tensor, "frame 3 h w"], height_px: int, width_px: int
) -> UInt8[Tensor, "frame 3 height width"]:
    """Resize frames, as bytes again; frames of the right size come back unchanged."""
    if tuple(frames.shape[2:]) == (height_px, width_px):
        return frames
    planes = frames.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    sized = (
        np.asarray(Image.fromarray(plane).resize((width_px, height_px), Image.Resampling.BICUBIC))
        for plane in planes
    )
    return torch.from_numpy(np.stack(list(sized))).permute(0, 3, 1, 2)
