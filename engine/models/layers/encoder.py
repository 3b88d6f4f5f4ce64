"""Transformer encoders of CLIP and SigLIP, under the names of their released weights.

Decision: our own layers, because importing transformers' modules costs 3 s of CPU before the
first frame (4.6 s to load nano with them, 1.3 s without, on two cores), and because a tower
should stop at the chosen layer and run its last layer for one row. Checked against
transformers' CLIP and SigLIP in the tests. Revisit when a tower of another make is needed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from engine.models.layers.decoder import zero_embedding
from engine.models.layers.products import Linear, linear

CLIP_VISION: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
"""Values of fields that a config leaves out, here and below: transformers' defaults."""
CLIP_TEXT: dict[str, Any] = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
SIGLIP_VISION: dict[str, Any] = CLIP_VISION | {
    "patch_size": 16,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
    "vision_use_head": True,
}
SIGLIP_TEXT: dict[str, Any] = CLIP_TEXT | {
    "vocab_size": 32000,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "max_position_embeddings": 64,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """Sizes of one encoder."""

    width: int
    mlp_width: int
    n_layers: int
    n_heads: int
    activation: str
    norm_eps: float

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> "EncoderConfig":
        """Read a complete vision or text config.

        Raises:
            ValueError: An activation that no released tower uses, or heads of unequal width.
        """
        activation, width, n_heads = (
            config[name] for name in ("hidden_act", "hidden_size", "num_attention_heads")
        )
        if n_heads < 1 or width % n_heads:
            raise ValueError(f"hidden_size {width} does not split into {n_heads} heads")
        if activation not in ACTIVATIONS:
            supported = ", ".join(ACTIVATIONS)
            raise ValueError(f"hidden_act must be one of {supported}, not {activation!r}")
        return cls(
            width=width,
            mlp_width=config["intermediate_size"],
            n_layers=config["num_hidden_layers"],
            n_heads=n_heads,
            activation=activation,
            norm_eps=config["layer_norm_eps"],
        )


class Attention(nn.Module):
    """Self-attention of all rows, or of the first ones over all."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.q_proj = Linear(config.width, config.width)
        self.k_proj = Linear(config.width, config.width)
        self.v_proj = Linear(config.width, config.width)
        self.out_proj = Linear(config.width, config.width)

    def forward(
        self, x: Float[Tensor, "batch row width"], n_rows: int | None, is_causal: bool
    ) -> Float[Tensor, "batch query width"]:
        """Attend from the first `n_rows` rows, or from all, to all rows."""
        q, k, v = (
            project(rows).view(*rows.shape[:2], self.n_heads, -1).transpose(1, 2)
            for project, rows in (
                (self.q_proj, x[:, :n_rows]),
                (self.k_proj, x),
                (self.v_proj, x),
            )
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=is_causal)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out


class Mlp(nn.Module):
    """Two linear layers around the tower's activation."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.fc1 = Linear(config.width, config.mlp_width)
        self.fc2 = Linear(config.mlp_width, config.width)
        self.activate = ACTIVATIONS[config.activation]

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Transform every row by itself."""
        out: Tensor = self.fc2(self.activate(self.fc1(x)))
        return out


class EncoderLayer(nn.Module):
    """Norm, attention, norm, MLP."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.layer_norm1 = nn.LayerNorm(config.width, config.norm_eps)
        self.mlp = Mlp(config)
        self.layer_norm2 = nn.LayerNorm(config.width, config.norm_eps)

    def forward(
        self,
        x: Float[Tensor, "batch row width"],
        n_rows: int | None = None,
        is_causal: bool = False,
    ) -> Float[Tensor, "batch query width"]:
        """Compute all rows, or only the first ones, which still see all."""
        # Keys and values are those of all rows, so the first ones lose nothing.
        x = x[:, :n_rows] + self.self_attn(self.layer_norm1(x), n_rows, is_causal)
        out: Tensor = x + self.mlp(self.layer_norm2(x))
        return out


class Encoder(nn.Module):
    """The layers."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.n_layers))


class PatchEmbeddings(nn.Module):
    """Square patches as rows, with positions, behind a class token where the tower has one."""

    def __init__(self, config: Mapping[str, Any], *, has_class: bool) -> None:
        super().__init__()
        width, self.patch_px = config["hidden_size"], config["patch_size"]
        n_patches = (config["image_size"] // self.patch_px) ** 2
        self.class_embedding = nn.Parameter(torch.zeros(width)) if has_class else None
        self.patch_embedding = nn.Conv2d(
            3, width, self.patch_px, stride=self.patch_px, bias=not has_class
        )
        self.position_embedding = zero_embedding(n_patches + has_class, width)

    def forward(self, pixels: Float[Tensor, "frame 3 h w"]) -> Float[Tensor, "frame row width"]:
        """Embed patches as one product; a convolution takes several times longer on a CPU."""
        n, side, conv = pixels.shape[0], self.patch_px, self.patch_embedding
        # frame 3 (row y) (col x) -> frame (row col) (3 y x)
        cells = pixels.unfold(2, side, side).unfold(3, side, side).permute(0, 2, 3, 1, 4, 5)
        flat = cells.reshape(n, cells.shape[1] * cells.shape[2], -1)
        x = linear(flat, conv.weight.flatten(1), conv.bias)
        if self.class_embedding is not None:
            x = torch.cat((self.class_embedding.expand(n, 1, -1), x), 1)
        return x + self.position_embedding.weight


class PoolingHead(nn.Module):
    """SigLIP's attention of one learned row over all patches."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.probe = nn.Parameter(torch.zeros(1, 1, config.width))
        self.attention = nn.MultiheadAttention(config.width, config.n_heads, batch_first=True)
        self.layernorm = nn.LayerNorm(config.width, config.norm_eps)
        self.mlp = Mlp(config)

    def forward(self, x: Float[Tensor, "batch row width"]) -> Float[Tensor, "batch width"]:
        """Pool each frame into one row."""
        attention, width = self.attention, x.shape[-1]
        # The module's own forward prepares for masks and weights that nobody asks for.
        query_weight, other_weight = torch.split(attention.in_proj_weight, [width, 2 * width])
        query_bias, other_bias = torch.split(attention.in_proj_bias, [width, 2 * width])
        q = linear(self.probe, query_weight, query_bias).expand(x.shape[0], -1, -1)
        k, v = linear(x, other_weight, other_bias).chunk(2, -1)
        q, k, v = (
            rows.view(*rows.shape[:2], attention.num_heads, -1).transpose(1, 2)
            for rows in (q, k, v)
        )
        mixed = F.scaled_dot_product_attention(q, k, v)[:, :, 0]
        gathered: Tensor = attention.out_proj(mixed.flatten(1))
        out: Tensor = gathered + self.mlp(self.layernorm(gathered))
        return out


class VisionModel(nn.Module):
    """Patches, layers and what pools them; the caller runs the layers it needs."""

    def __init__(self, config: Mapping[str, Any], *, is_clip: bool) -> None:
        super().__init__()
        self.sizes = sizes = EncoderConfig.from_json(config)
        self.embeddings = PatchEmbeddings(config, has_class=is_clip)
        if is_clip:
            # The released weights spell it so.
            self.pre_layrnorm = nn.LayerNorm(sizes.width, sizes.norm_eps)
        self.encoder = Encoder(sizes)
        self.post_layernorm = nn.LayerNorm(sizes.width, sizes.norm_eps)
        if not is_clip and config["vision_use_head"]:
            self.head = PoolingHead(sizes)


class TextEmbeddings(nn.Module):
    """Tokens with positions."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.token_embedding = zero_embedding(config["vocab_size"], width)
        self.position_embedding = zero_embedding(config["max_position_embeddings"], width)

    def forward(self, ids: Int64[Tensor, " token"]) -> Float[Tensor, "token width"]:
        """Embed one text."""
        out: Tensor = self.token_embedding(ids) + self.position_embedding.weight[: ids.shape[0]]
        return out


class TextModel(nn.Module):
    """A text tower: causal for CLIP, not for SigLIP."""

    def __init__(self, config: Mapping[str, Any], *, is_clip: bool) -> None:
        super().__init__()
        sizes = EncoderConfig.from_json(config)
        self.is_clip = is_clip
        self.embeddings = TextEmbeddings(config)
        self.encoder = Encoder(sizes)
        self.final_layer_norm = nn.LayerNorm(sizes.width, sizes.norm_eps)
        if not is_clip:
            self.head = Linear(sizes.width, config.get("projection_size", sizes.width))

    def forward(self, ids: Int64[Tensor, " token"]) -> Float[Tensor, " width"]:
        """Compute the last row of one text, normed, and through the head where there is one."""
        x = self.embeddings(ids)[None]
        for layer in self.encoder.layers:
            x = layer(x, None, self.is_clip)
        last: Tensor = self.final_layer_norm(x[0, -1])
        return last if self.is_clip else self.head(last)
