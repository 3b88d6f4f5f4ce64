"""SmolVLM2's net: sizes, key map, pixel shuffle, and the strict loader of its checkpoints."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from engine.errors import WeightsError
from engine.models.frame_checkpoint import load_strictly
from engine.models.layers import decoder as decoders
from engine.models.layers.allocation import materialise
from engine.models.layers.decoder import Decoder
from engine.models.layers.decoder_config import LLAMA_7B, DecoderConfig
from engine.models.layers.encoder import SIGLIP_VISION
from engine.models.layers.preprocessor_files import read_preprocessor
from engine.models.layers.products import Linear
from engine.models.layers.text_image import find_published, load_joint, mean_vectors
from engine.models.layers.towers import Tower, TowerConfig, TowerFiles
from engine.models.layers.weights import (
    moved,
    read_config,
    save,
    under,
    write_json,
)
from engine.models.smolvlm.frames import FrameConfig

KEY_MAP = (
    *under("", moved(decoders.KEY_MAP, "model.", "model.text_model."), "decoder."),
    ("model.connector.modality_projection.proj.weight", "connector.weight"),
    ("model.vision_model.embeddings.position_ids", ""),
    ("model.vision_model.**", "tower.vision_model.**"),
)
"""Released names; see `layers/weights`."""
VISION = SIGLIP_VISION | {
    "hidden_size": 1152,
    "num_attention_heads": 16,
    "patch_size": 32,
    "vision_use_head": False,
}
"""Values of fields that a vision config leaves out: transformers' defaults."""
SIGLIP = {768: "siglip-base-patch16-512", 1152: "siglip-so400m-patch14-384"}
"""The published towers whose training these went on from, by their width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmolVlmConfig:
    """Everything that shapes the family's computation."""

    decoder: DecoderConfig
    tower: TowerConfig
    """Of a SigLIP without its pooling head."""
    frames: FrameConfig
    shuffle: int
    """Patches along either side that become one visual token."""
    image_id: int

    def __post_init__(self) -> None:
        if self.grid % self.shuffle:
            raise ValueError(
                f"scale_factor must divide the {self.grid} patches of a side, not {self.shuffle}"
            )

    @property
    def grid(self) -> int:
        """Patches along one side of a frame."""
        return int(self.frames.size_px // self.tower.vision["patch_size"])

    @property
    def tokens_per_frame(self) -> int:
        """Visual tokens of a frame."""
        return (self.grid // self.shuffle) ** 2


class SmolVlmNet(nn.Module):
    """The weights: decoder, tower, connector, and the tower of the joint space where there is one.

    The positions of patches are those of the tower's table: what upstream computes for whole
    square frames of the released sizes, in which no rounding moves a patch.
    """

    def __init__(self, config: SmolVlmConfig) -> None:
        super().__init__()
        self.config = config
        self.decoder = Decoder(config.decoder)
        self.tower = Tower(config.tower)
        self.joint: Tower | None = None
        inner = self.tower.width * config.shuffle**2
        self.connector = Linear(inner, config.decoder.width, bias=False)

    def visual_tokens(
        self, pixels: Float[Tensor, "frame 3 h w"]
    ) -> tuple[Float[Tensor, "frame token width"], Float32[Tensor, "frame dim"]]:
        """Compute visual tokens and unit vectors of prepared pixels."""
        features, _ = self.tower.run(pixels, -1, with_vectors=False)
        normed = self.tower.vision_model.post_layernorm(features)
        tokens: Tensor = self.connector(shuffled(normed, self.config.shuffle))
        return tokens, mean_vectors(features)


def shuffled(
    features: Float[Tensor, "frame patch width"], side: int
) -> Float[Tensor, "frame token inner"]:
    """Join the channels of each square of patches: pixel shuffle, the wrong way round."""
    n, grid = features.shape[0], int(features.shape[1] ** 0.5)
    # frame (row y) (col x) width -> frame (row col) (y x width)
    cells = features.view(n, grid // side, side, grid // side, side, -1).transpose(2, 3)
    return cells.reshape(n, (grid // side) ** 2, -1)


def build(config: SmolVlmConfig, device: torch.device, dtype: torch.dtype) -> SmolVlmNet:
    """Allocate a net without values; `load_net` fills it."""
    with torch.device("meta"):
        net = SmolVlmNet(config)
    materialise(net, device, dtype)
    return net.eval()


def read(folder: Path) -> SmolVlmConfig:
    """Read the family's config from the files of a checkpoint folder."""
    raw = read_config(folder)
    vision = VISION | raw["vision_config"]
    frames = FrameConfig.from_json(read_preprocessor(folder, "video", "image"))
    if frames.size_px != vision["image_size"]:
        raise WeightsError(
            f"the preprocessor of {folder} makes frames of {frames.size_px} pixels, and the tower "
            f"takes {vision['image_size']}"
        )
    text = {"model_type": "llama"} | LLAMA_7B | {"rms_norm_eps": 1e-6} | raw["text_config"]
    tied = raw.get("tie_word_embeddings", text.get("tie_word_embeddings", False))
    return SmolVlmConfig(
        decoder=DecoderConfig.from_json(text | {"tie_word_embeddings": tied}),
        tower=TowerConfig(kind="siglip", vision=vision),
        frames=frames,
        shuffle=raw.get("scale_factor", 2),
        image_id=raw.get("image_token_id", 128_257),
    )


def published(folder: Path, config: SmolVlmConfig, given: Path | None = None) -> TowerFiles | None:
    """Find the published tower with its text side, in or beside a checkpoint folder."""
    return find_published(folder, tower_name(config), given)


def tower_name(config: SmolVlmConfig) -> str:
    """Return the folder's name of the published tower with a text side."""
    return SIGLIP.get(config.tower.vision["hidden_size"], "siglip")


def load_net(
    folder: Path, device: torch.device, dtype: torch.dtype, *, tower: Path | None = None
) -> SmolVlmNet:
    """Load the weights of a checkpoint folder, strictly.

    Args:
        folder: With config files and weights.
        device: Where the weights go.
        dtype: What they are cast to.
        tower: The published SigLIP's folder, if it does not lie beside the weights.
    Raises:
        WeightsError: Keys missing, left over, or of another shape; or a config that no release has.
    """
    net = load_strictly(
        folder, read, lambda config: build(config, device, dtype), KEY_MAP, name="SmolVLM"
    )
    files = published(folder, net.config, tower)
    if files is not None:
        net.tower, net.joint = load_joint(net.tower, files)
    return net


def save_net(net: SmolVlmNet, folder: Path, *, variant: str, n_shards: int = 1) -> None:
    """Write config and weights as a checkpoint folder that `load_net` reads; no tokenizer."""
    save(net, folder, KEY_MAP, n_shards=n_shards)
    write_json(folder / "config.json", _to_json(net.config, variant))
    write_json(folder / "preprocessor_config.json", net.config.frames.to_json())
    processor = {
        "image_seq_len": net.config.tokens_per_frame,
        "processor_class": "SmolVLMProcessor",
    }
    write_json(folder / "processor_config.json", processor)


def _to_json(config: SmolVlmConfig, variant: str) -> Mapping[str, Any]:
    return {
        "architectures": ["SmolVLMForConditionalGeneration"],
        "model_type": "smolvlm",
        "variant": variant,
        "scale_factor": config.shuffle,
        "image_token_id": config.image_id,
        "tie_word_embeddings": config.decoder.is_tied,
        "text_config": {"model_type": "llama", **config.decoder.to_json()},
        "vision_config": {**config.tower.vision, "model_type": "smolvlm_vision"},
    }
