"""CLIP and SigLIP towers, vision and text, behind one interface.

Only what is asked for is computed: patch features stop at the chosen layer, and the last layer
of a CLIP vector runs its queries and its MLP for the class token alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from engine.errors import WeightsError
from engine.models.layers.config_fit import config_fits
from engine.models.layers.encoder import (
    CLIP_TEXT,
    CLIP_VISION,
    SIGLIP_TEXT,
    SIGLIP_VISION,
    TextModel,
    VisionModel,
)
from engine.models.layers.preprocess import PixelConfig
from engine.models.layers.preprocessor_files import read_preprocessor
from engine.models.layers.products import Linear
from engine.models.layers.tokenizer import Tokenizer
from engine.models.layers.weights import fill, read_config, read_tensors

Kind = Literal["clip", "siglip"]

KEY_MAP = (
    ("vision_model.embeddings.position_ids", ""),
    ("text_model.embeddings.position_ids", ""),
    ("logit_scale", ""),
    ("logit_bias", ""),
    ("embeddings.**", "vision_model.embeddings.**"),
    ("encoder.**", "vision_model.encoder.**"),
    ("pre_layrnorm.**", "vision_model.pre_layrnorm.**"),
    ("post_layernorm.**", "vision_model.post_layernorm.**"),
    ("head.**", "vision_model.head.**"),
    ("**", "**"),
)
"""A stand-alone tower's folder, saved as a full model or as a vision model with or without its
prefix; our names are transformers' own."""
TEXT_SIDE = (
    ("text_model.**", ""),
    ("visual_projection.**", ""),
    ("text_projection.**", ""),
)
"""Released names that a tower without its text side drops."""
CLIP_LARGE_336 = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "projection_dim": 768,
}
SIGLIP_SO400M_384 = {
    "model_type": "siglip_vision_model",
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "image_size": 384,
    "patch_size": 14,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
KNOWN_TOWERS = {
    "clip-vit-large-patch14-336": CLIP_LARGE_336,
    "siglip-so400m-patch14-384": SIGLIP_SO400M_384,
}
"""Sizes of released towers, for a checkpoint whose tower folder is not at hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerConfig:
    """Kind and sizes of a tower, and of its text side where it has one."""

    kind: Kind
    vision: Mapping[str, Any]
    text: Mapping[str, Any] | None = None
    vector_dim: int = 0
    """Size of the joint space; 0 without a text side."""

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> "TowerConfig":
        """Read a `config.json`: a full model or a vision model alone.

        Raises:
            ValueError: Neither CLIP nor SigLIP.
        """
        model_type = str(config.get("model_type", ""))
        kind: Kind
        if model_type.startswith("clip"):
            kind = "clip"
        elif model_type.startswith("siglip_") or model_type == "siglip":
            kind = "siglip"
        else:
            raise ValueError(f"a tower must be clip or siglip, not {model_type!r}")
        vision = config.get("vision_config")
        if vision is None:
            return cls(kind=kind, vision=dict(config))
        text = dict(config["text_config"])
        dim = config.get("projection_dim", 512)
        if kind == "siglip":
            dim = text.get("projection_size", text.get("hidden_size", SIGLIP_TEXT["hidden_size"]))
        return cls(kind=kind, vision=dict(vision), text=text, vector_dim=dim)

    def to_json(self) -> dict[str, Any]:
        """Return the fields of a `config.json` that `from_json` reads."""
        if self.text is None:
            return {**self.vision, "model_type": f"{self.kind}_vision_model"}
        return {
            "model_type": self.kind,
            "projection_dim": self.vector_dim,
            "vision_config": dict(self.vision),
            "text_config": dict(self.text),
        }

    def vision_only(self) -> "TowerConfig":
        """Return the config of the same tower without its text side."""
        return TowerConfig(kind=self.kind, vision=self.vision)


class Tower(nn.Module):
    """A vision tower, and where there is one its text side in the same space."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        is_clip = config.kind == "clip"
        vision = (CLIP_VISION if is_clip else SIGLIP_VISION) | dict(config.vision)
        self.vision_model = VisionModel(vision, is_clip=is_clip)
        self.width: int = vision["hidden_size"]
        self.grid: int = vision["image_size"] // vision["patch_size"]
        """Patches along one side."""
        self.size_px: int = vision["image_size"]
        self.n_layers: int = vision["num_hidden_layers"]
        if config.text is not None:
            text = (CLIP_TEXT if is_clip else SIGLIP_TEXT) | dict(config.text)
            self.text_model = TextModel(text, is_clip=is_clip)
            self.n_text_tokens: int = text["max_position_embeddings"]
        if config.text is not None and is_clip:
            self.visual_projection = Linear(self.width, config.vector_dim, bias=False)
            self.text_projection = Linear(text["hidden_size"], config.vector_dim, bias=False)

    @property
    def has_text(self) -> bool:
        """Whether text and frames share a space."""
        return self.config.text is not None

    def layer_index(self, select_layer: int) -> int:
        """Count the layers to run for `hidden_states[select_layer]`; entry 0 precedes the first."""
        count = select_layer if select_layer >= 0 else self.n_layers + 1 + select_layer
        if not 0 <= count <= self.n_layers:
            raise ValueError(f"select_layer {select_layer} is not in a tower of {self.n_layers}")
        return count

    def run(
        self, pixels: Float[Tensor, "frame 3 h w"], select_layer: int, *, with_vectors: bool
    ) -> tuple[Float[Tensor, "frame patch width"], Float32[Tensor, "frame dim"] | None]:
        """Compute patch features behind the chosen layer, and unit vectors of the joint space."""
        model = self.vision_model
        x = model.embeddings(pixels)
        if self.config.kind == "clip":
            x = model.pre_layrnorm(x)
        chosen = self.layer_index(select_layer)
        for layer in model.encoder.layers[:chosen]:
            x = layer(x)
        features = x[:, 1:] if self.config.kind == "clip" else x
        if not with_vectors:
            return features, None
        return features, self._vectors(x, chosen)

    def _vectors(self, x: Tensor, done: int) -> Tensor:
        model = self.vision_model
        rest = list(model.encoder.layers)[done:]
        if self.config.kind == "siglip":
            for layer in rest:
                x = layer(x)
            pooled = model.head(model.post_layernorm(x))
        else:
            for layer in rest[:-1]:
                x = layer(x)
            # Only the class token is wanted of the last layer.
            x = rest[-1](x, 1) if rest else x
            pooled = self.visual_projection(model.post_layernorm(x[:, 0]))
        return F.normalize(pooled.float(), dim=-1)

    def text_ids(self, tokenizer: Tokenizer, text: str) -> list[int]:
        """Encode a text as this tower expects it: start and end token, cut to its length."""
        # Both kinds were trained on lower case, or make it themselves.
        lower, is_padded = text.lower(), self.config.kind == "siglip"
        return tokenizer.framed(lower, self.n_text_tokens, is_padded=is_padded)

    def embed_ids(self, ids: Int64[Tensor, " token"]) -> Float32[Tensor, " dim"]:
        """Embed a tokenised text, with its end token last, as a unit vector."""
        pooled = self.text_model(ids)
        if self.config.kind == "clip":
            pooled = self.text_projection(pooled)
        return F.normalize(pooled.float(), dim=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerFiles:
    """Folder and configs of a checkpoint's tower."""

    config: TowerConfig
    pixels: PixelConfig
    folder: Path | None
    """Holds the weights; `None` where only the sizes are known."""


def find_tower(checkpoint: Path, name: str, given: Path | None = None) -> TowerFiles:
    """Look for the tower that a checkpoint's config names.

    Args:
        checkpoint: The folder that names it.
        name: Its `mm_vision_tower`: a path relative to the checkpoint, or one of the machine
            that trained it, of which the last part counts.
        given: The tower's folder, where the caller knows better.
    Raises:
        WeightsError: Nothing there, and not a tower whose sizes are known.
    """
    last = Path(name).name
    paths = (given,) if given else (checkpoint / name, checkpoint / last, checkpoint.parent / last)
    tower = next((path for path in paths if path.exists()), None)
    if tower is None:
        if given is None and last in KNOWN_TOWERS:
            config = TowerConfig.from_json(KNOWN_TOWERS[last])
            return TowerFiles(config=config, pixels=pixels_of(config), folder=None)
        raise WeightsError(
            f"{checkpoint} names the tower {name!r}, which is not there",
            hint=f"put its folder beside the weights as {last!r}",
        )
    # A path may name the config itself, which then lies there under another name.
    home, file = (tower.parent, tower.name) if tower.is_file() else (tower, "config.json")
    with config_fits(home, "CLIP and SigLIP"):
        config = TowerConfig.from_json(read_config(home, file))
        pixels = read_pixels(config, home)
    has_weights = tower.is_dir() and any(
        any(tower.glob(pattern)) for pattern in ("model*.safetensors", "pytorch_model*.bin")
    )
    return TowerFiles(
        config=config if has_weights else config.vision_only(),
        pixels=pixels,
        folder=tower if has_weights else None,
    )


def read_pixels(config: TowerConfig, folder: Path) -> PixelConfig:
    """Read the preprocessing of a tower from its folder.

    Raises:
        ValueError: It makes frames that the tower does not take.
    """
    size_px = config.vision.get("image_size", CLIP_VISION["image_size"])
    raw = read_preprocessor(folder, "image")
    pixels = PixelConfig.from_json({"size": size_px} | raw)
    if pixels.size_px != size_px:
        raise ValueError(
            f"its preprocessor makes frames of {pixels.size_px} pixels, and the tower takes "
            f"{size_px}"
        )
    return pixels


def pixels_of(config: TowerConfig) -> PixelConfig:
    """Return the preprocessing that towers of this kind were trained with, where no file says."""
    size_px = int(config.vision["image_size"])
    if config.kind == "clip":
        return PixelConfig(size_px=size_px)
    half = (0.5, 0.5, 0.5)
    return PixelConfig(size_px=size_px, fit="squash", mean=half, std=half)


def load_tower(tower: Tower, folder: Path) -> None:
    """Fill a tower from its own folder, strictly.

    Raises:
        WeightsError: Keys missing, left over, or of another shape.
    """
    key_map = KEY_MAP if tower.has_text else (*TEXT_SIDE, *KEY_MAP)
    fill(tower, read_tensors(folder), key_map, source=str(folder))
