"""Qwen3-VL's vision tower: pairs of frames of any grid, and features of several depths.

A patch spans two frames. Learned positions are stretched to the grid, and queries and keys turn by
row and column. Squares of patches become one token; the outputs of some layers become tokens of
their own, which the decoder adds to its rows (DeepStack).

Source: arXiv:2511.21631; checked against transformers, which this follows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int16
from torch import Tensor, nn

from engine.models.layers.decoder import zero_embedding
from engine.models.layers.encoder import ACTIVATIONS
from engine.models.layers.products import Linear, linear
from engine.models.layers.rotary import RopeFactors, angle_factors, apply_rope

NORM_EPS = 1e-6
"""Fixed in upstream's code."""
ROPE_THETA = 10_000.0
"""Likewise, where a config says nothing."""
KEY_MAP = (
    ("patch_embed.proj.*", "patches.*"),
    ("pos_embed.weight", "positions.weight"),
    ("blocks.*.norm1.*", "blocks.*.attention_norm.*"),
    ("blocks.*.norm2.*", "blocks.*.mlp_norm.*"),
    ("blocks.*.attn.qkv.*", "blocks.*.qkv.*"),
    ("blocks.*.attn.proj.*", "blocks.*.out.*"),
    ("blocks.*.mlp.linear_fc1.*", "blocks.*.mlp_in.*"),
    ("blocks.*.mlp.linear_fc2.*", "blocks.*.mlp_out.*"),
    ("merger.linear_fc1.*", "merger.inner.*"),
    ("merger.linear_fc2.*", "merger.outer.*"),
    ("merger.norm.*", "merger.norm.*"),
    ("deepstack_merger_list.*.linear_fc1.*", "deep_mergers.*.inner.*"),
    ("deepstack_merger_list.*.linear_fc2.*", "deep_mergers.*.outer.*"),
    ("deepstack_merger_list.*.norm.*", "deep_mergers.*.norm.*"),
)
"""Released names; see `layers/weights`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionConfig:
    """Shape of the tower."""

    width: int
    mlp_width: int
    depth: int
    n_heads: int
    patch_px: int
    merge: int
    """Patches along either side that become one token."""
    pair: int
    """Frames that a patch spans."""
    out_width: int
    n_positions: int
    """Rows of the position table, a square grid."""
    deep_layers: tuple[int, ...]
    """Layers whose outputs the decoder adds to its rows, by index."""
    activation: str = "gelu_pytorch_tanh"
    rope_theta: float = ROPE_THETA

    def __post_init__(self) -> None:
        if self.width % (4 * self.n_heads):
            raise ValueError(f"width {self.width} does not split into {self.n_heads} heads of 4s")
        if any(not 0 <= layer < self.depth for layer in self.deep_layers):
            raise ValueError(f"deepstack_visual_indexes must lie below {self.depth}")
        if int(self.n_positions**0.5) ** 2 != self.n_positions:
            raise ValueError(f"num_position_embeddings must be a square, not {self.n_positions}")
        if self.activation not in ACTIVATIONS or self.pair != 2:
            raise ValueError(f"no release has {self.activation} and {self.pair} frames a patch")

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> "VisionConfig":
        """Read the `vision_config` of a release."""
        rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
        # Both names stand for the only rotation there is in transformers.
        if (kind := rope.get("rope_type", "axial")) not in ("axial", "default"):
            raise ValueError(f"rope_type of the tower must be axial, not {kind!r}")
        return cls(
            width=config["hidden_size"],
            mlp_width=config["intermediate_size"],
            depth=config["depth"],
            n_heads=config["num_heads"],
            patch_px=config["patch_size"],
            merge=config["spatial_merge_size"],
            pair=config["temporal_patch_size"],
            out_width=config["out_hidden_size"],
            n_positions=config["num_position_embeddings"],
            deep_layers=tuple(config["deepstack_visual_indexes"]),
            activation=config.get("hidden_act", "gelu_pytorch_tanh"),
            rope_theta=float(rope.get("rope_theta") or config.get("rope_theta") or ROPE_THETA),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields of a `vision_config` that `from_json` reads."""
        return {
            "model_type": "qwen3_vl",
            "hidden_size": self.width,
            "intermediate_size": self.mlp_width,
            "depth": self.depth,
            "num_heads": self.n_heads,
            "in_channels": 3,
            "patch_size": self.patch_px,
            "spatial_merge_size": self.merge,
            "temporal_patch_size": self.pair,
            "out_hidden_size": self.out_width,
            "num_position_embeddings": self.n_positions,
            "deepstack_visual_indexes": list(self.deep_layers),
            "hidden_act": self.activation,
        }

    def require_patches(self, preprocessor: Mapping[str, Any]) -> None:
        """Refuse the config of a preprocessor that cuts other patches than the tower takes."""
        own = {
            "patch_size": self.patch_px,
            "merge_size": self.merge,
            "temporal_patch_size": self.pair,
        }
        for name, size in own.items():
            if preprocessor.get(name, size) != size:
                raise ValueError(f"{name} must be the tower's {size}, not {preprocessor[name]}")

    @property
    def factor_px(self) -> int:
        """Pixels along either side of a token."""
        return self.patch_px * self.merge

    @property
    def n_levels(self) -> int:
        """Embeddings of a token: one for the decoder's input, and those added behind layers."""
        return 1 + len(self.deep_layers)


class Merger(nn.Module):
    """A square of patches as one token; normed before it is joined, or behind."""

    def __init__(self, config: VisionConfig, *, norms_joined: bool) -> None:
        super().__init__()
        inner = config.width * config.merge**2
        self.norms_joined = norms_joined
        self.norm = nn.LayerNorm(inner if norms_joined else config.width, NORM_EPS)
        self.inner = Linear(inner, inner)
        self.outer = Linear(inner, config.out_width)

    def forward(
        self, x: Float[Tensor, "pair patch width"]
    ) -> Float[Tensor, "pair token out_width"]:
        """Join the patches of each square, which follow each other."""
        joined = (x if self.norms_joined else self.norm(x)).reshape(
            x.shape[0], -1, self.inner.in_features
        )
        normed = self.norm(joined) if self.norms_joined else joined
        out: Tensor = self.outer(F.gelu(self.inner(normed)))
        return out


class VisionBlock(nn.Module):
    """Norm, attention over the patches of a pair, norm, MLP."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        width = config.width
        self.n_heads, self.activate = config.n_heads, ACTIVATIONS[config.activation]
        self.attention_norm = nn.LayerNorm(width, NORM_EPS)
        self.qkv = Linear(width, 3 * width)
        self.out = Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width, NORM_EPS)
        self.mlp_in = Linear(width, config.mlp_width)
        self.mlp_out = Linear(config.mlp_width, width)

    def forward(
        self, x: Float[Tensor, "pair patch width"], rope: RopeFactors
    ) -> Float[Tensor, "pair patch width"]:
        """Transform the patches of each pair of frames."""
        # pair patch (part head dim) -> part pair head patch dim
        heads = self.qkv(self.attention_norm(x)).view(*x.shape[:2], 3, self.n_heads, -1)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(apply_rope(q, rope), apply_rope(k, rope), v)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        out: Tensor = x + self.mlp_out(self.activate(self.mlp_in(self.mlp_norm(x))))
        return out


class VisionTower(nn.Module):
    """Patches, blocks and mergers."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        patch = (config.pair, config.patch_px, config.patch_px)
        self.patches = nn.Conv3d(3, config.width, patch, patch)
        self.positions = zero_embedding(config.n_positions, config.width)
        self.blocks = nn.ModuleList(VisionBlock(config) for _ in range(config.depth))
        self.merger = Merger(config, norms_joined=False)
        self.deep_mergers = nn.ModuleList(
            Merger(config, norms_joined=True) for _ in config.deep_layers
        )

    def forward(
        self, pixels: Float[Tensor, "frame 3 h w"]
    ) -> tuple[Float[Tensor, "pair token width"], Float[Tensor, "pair patch inner"]]:
        """Compute the tokens of pairs of frames, and their features behind the last block.

        Args:
            pixels: Prepared; an even number of frames, of whole squares of patches.
        Returns:
            Tokens row by row, each with all its levels, the decoder's input first; patches square
            by square.
        """
        config = self.config
        grid = (pixels.shape[2] // config.patch_px, pixels.shape[3] // config.patch_px)
        # Every patch is one product; a convolution takes several times longer on a CPU.
        flat = cut_patches(pixels, config)
        x = linear(flat, self.patches.weight.flatten(1), self.patches.bias)
        x = x + self._positions(grid).to(x.dtype)
        rope, deep = self._rope(grid, pixels.device), []
        for depth, block in enumerate(self.blocks):
            x = block(x, rope)
            if depth in config.deep_layers:
                deep.append(self.deep_mergers[config.deep_layers.index(depth)](x))
        return torch.cat([self.merger(x), *deep], dim=-1), x

    def _positions(self, grid: tuple[int, int]) -> Float[Tensor, "patch width"]:
        """Stretch the table to a grid, square by square."""
        side = int(self.config.n_positions**0.5)
        table = self.positions.weight.float().view(side, side, -1).permute(2, 0, 1)[None]
        stretched = F.interpolate(table, grid, mode="bilinear", align_corners=True)[0]
        return square_by_square(stretched.permute(1, 2, 0), self.config.merge)

    def _rope(self, grid: tuple[int, int], device: torch.device) -> RopeFactors:
        """Compute the rotations of the patches: half of the channels by row, half by column."""
        quarter = self.config.width // self.config.n_heads // 4
        steps = torch.arange(quarter, device=device, dtype=torch.float32) / quarter
        speeds = 1.0 / self.config.rope_theta**steps
        rows, columns = (torch.arange(side, device=device).float() for side in grid)
        places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1)
        flat = square_by_square(places, self.config.merge)
        return angle_factors((flat[..., None] * speeds).flatten(1))


def cut_patches(
    pixels: Float[Tensor, "frame 3 h w"], config: VisionConfig
) -> Float[Tensor, "pair patch inner"]:
    """Cut pairs of frames into patches, square by square."""
    px, merge, pair = config.patch_px, config.merge, config.pair
    n, _, height, width = pixels.shape
    # (pair time) 3 (row y py) (col x px) -> pair (row col y x) (3 time py px)
    cells = pixels.view(
        n // pair,
        pair,
        3,
        height // (px * merge),
        merge,
        px,
        width // (px * merge),
        merge,
        px,
    )
    cells = cells.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    return cells.reshape(n // pair, (height // px) * (width // px), -1)


def square_by_square(
    grid: Float[Tensor, "row col channel"], merge: int
) -> Float[Tensor, "patch channel"]:
    """Order the cells of a grid so that those of a square follow each other."""
    rows, columns, n_channels = grid.shape
    squares = grid.view(rows // merge, merge, columns // merge, merge, n_channels)
    return squares.transpose(1, 2).reshape(rows * columns, n_channels)


def places_of(grid: tuple[int, int]) -> Int16[Tensor, "token 2"]:
    """Return row and column of each token of a frame."""
    rows, columns = (torch.arange(side, dtype=torch.int16) for side in grid)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).flatten(0, 1)
