"""Qwen3-VL's net: sizes, key map, and the strict loader of its checkpoint folders."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.models.frame_checkpoint import load_strictly
from engine.models.layers import decoder as decoders
from engine.models.layers.allocation import materialise
from engine.models.layers.decoder import Decoder
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.preprocessor_files import FILES, read_preprocessor
from engine.models.layers.text_image import find_published, open_joint
from engine.models.layers.towers import Tower
from engine.models.layers.weights import (
    moved,
    read_config,
    save,
    under,
    write_json,
)
from engine.models.qwen3_vl import vision
from engine.models.qwen3_vl.frames import FrameConfig
from engine.models.qwen3_vl.vision import VisionConfig, VisionTower

KEY_MAP = (
    *under("", moved(decoders.KEY_MAP, "model.", "model.language_model."), "decoder."),
    *under("model.visual.", vision.KEY_MAP, "tower."),
)
"""Released names; see `layers/weights`."""
JOINT_TOWER = "siglip2-base-patch16-224"
"""Folder of a tower with a text side, by which words are compared with frames: not a part of the
release, which has none."""
JOINT_DIM = 768
"""Size of that tower's vectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen3VlConfig:
    """Everything that shapes the family's computation."""

    decoder: DecoderConfig
    vision: VisionConfig
    frames: FrameConfig

    def __post_init__(self) -> None:
        if self.decoder.rope_sections is None or not self.decoder.has_qk_norm:
            raise ValueError("the decoder must be Qwen3's, with mrope_section")
        if self.vision.out_width != self.decoder.width:
            raise ValueError(
                f"out_hidden_size must be the decoder's {self.decoder.width}, "
                f"not {self.vision.out_width}"
            )
        if len(self.vision.deep_layers) > self.decoder.n_layers:
            raise ValueError(f"the decoder has but {self.decoder.n_layers} layers to add to")


class Qwen3VlNet(nn.Module):
    """The weights: decoder, tower, and the tower of the joint space where there is one."""

    def __init__(self, config: Qwen3VlConfig) -> None:
        super().__init__()
        self.config = config
        self.decoder = Decoder(config.decoder)
        self.tower = VisionTower(config.vision)
        self.joint: Tower | None = None


def build(config: Qwen3VlConfig, device: torch.device, dtype: torch.dtype) -> Qwen3VlNet:
    """Allocate a net without values; `load_net` fills it."""
    with torch.device("meta"):
        net = Qwen3VlNet(config)
    materialise(net, device, dtype)
    return net.eval()


def read(folder: Path) -> Qwen3VlConfig:
    """Read the family's config from the files of a checkpoint folder."""
    raw = read_config(folder)
    sizes = VisionConfig.from_json(raw["vision_config"])
    text = raw["text_config"]
    tied = raw.get("tie_word_embeddings", text.get("tie_word_embeddings", False))
    video = read_preprocessor(folder, "video")
    sizes.require_patches(video)
    return Qwen3VlConfig(
        decoder=DecoderConfig.from_json(text | {"tie_word_embeddings": tied}),
        vision=sizes,
        frames=FrameConfig.from_json(video, factor_px=sizes.factor_px),
    )


def load_net(
    folder: Path, device: torch.device, dtype: torch.dtype, *, tower: Path | None = None
) -> Qwen3VlNet:
    """Load the weights of a checkpoint folder, strictly.

    Args:
        folder: With config files and weights.
        device: Where the weights go.
        dtype: What they are cast to.
        tower: Folder of a tower with a text side, if it does not lie beside the weights.
    Raises:
        WeightsError: Keys missing, left over, or of another shape; or a config that no release has.
    """
    net = load_strictly(
        folder, read, lambda config: build(config, device, dtype), KEY_MAP, name="Qwen3-VL"
    )
    files = find_published(folder, JOINT_TOWER, tower)
    if files is not None:
        net.joint = open_joint(files, net.decoder.embed.weight)
    return net


def save_net(net: Qwen3VlNet, folder: Path, *, variant: str, n_shards: int = 1) -> None:
    """Write config and weights as a checkpoint folder that `load_net` reads; no tokenizer."""
    config = net.config
    save(net, folder, KEY_MAP, n_shards=n_shards)
    write_json(folder / "config.json", _to_json(config, variant))
    video = config.frames.to_json() | {
        "patch_size": config.vision.patch_px,
        "merge_size": config.vision.merge,
        "temporal_patch_size": config.vision.pair,
    }
    write_json(folder / FILES["video"], video)


def _to_json(config: Qwen3VlConfig, variant: str) -> Mapping[str, Any]:
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "model_type": "qwen3_vl",
        "variant": variant,
        "tie_word_embeddings": config.decoder.is_tied,
        "text_config": {"model_type": "qwen3_vl_text", **config.decoder.to_json()},
        "vision_config": config.vision.to_json(),
    }
