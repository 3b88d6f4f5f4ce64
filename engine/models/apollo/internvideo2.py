"""InternVideo2: a video tower that sees the few frames of a clip together.

A plain transformer over patches of all frames of a clip behind one class token, with layer scale
and queries and keys normalised over the full width before they are split into heads.

Source: arXiv:2403.15377; the position table of its training code. Checked against upstream by
`tests/golden/apollo/internvideo2_tiny` and, joined with SigLIP, `vision_pipeline`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn
from torch.nn import functional

from engine.device import CPU, upload
from engine.models.layers.products import Linear

RMS_EPS = 1e-6
"""Fixed in upstream's code, not in its config."""
MLP_RATIO = 48 / 11
"""Likewise: 6144 for the released width of 1408."""
RELEASED_DEPTH = 40
"""Likewise."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

KEY_MAP = (
    ("patch_embed.proj.*", "patches.*"),
    ("cls_token", "class_token"),
    ("pos_embed", "positions"),
    ("blocks.*.norm1.weight", "blocks.*.attention_norm.weight"),
    ("blocks.*.norm2.weight", "blocks.*.mlp_norm.weight"),
    ("blocks.*.attn.qkv.*", "blocks.*.attention.qkv.*"),
    ("blocks.*.attn.proj.*", "blocks.*.attention.out.*"),
    ("blocks.*.attn.q_norm.weight", "blocks.*.attention.query_norm.weight"),
    ("blocks.*.attn.k_norm.weight", "blocks.*.attention.key_norm.weight"),
    ("blocks.*.ls1.gamma", "blocks.*.attention_scale"),
    ("blocks.*.ls2.gamma", "blocks.*.mlp_scale"),
    ("blocks.*.mlp.fc1.*", "blocks.*.mlp_in.*"),
    ("blocks.*.mlp.fc2.*", "blocks.*.mlp_out.*"),
    ("img_pos_embed", ""),
    ("clip_pos_embed", ""),
    ("clip_img_pos_embed", ""),
    ("clip_projector.**", ""),
    ("clip_decoder.**", ""),
    ("final_clip_decoder.**", ""),
)
"""Released names; see `layers/weights`. Dropped ones served only the tower's pretraining."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InternVideo2Config:
    """Shape of the tower."""

    image_px: int
    patch_px: int
    n_frames: int
    """Frames of a clip: the position table has a row for each patch of each of them."""
    width: int
    n_heads: int
    mlp_width: int
    depth: int
    """Blocks that are run; there is no norm after the last."""
    qkv_bias: bool = False

    def __post_init__(self) -> None:
        if self.width % self.n_heads:
            raise ValueError(f"width {self.width} does not split into {self.n_heads} heads")

    @classmethod
    def from_json(cls, config: Mapping[str, Any], *, select_layer: int) -> "InternVideo2Config":
        """Read a released `config.json`.

        Args:
            config: Its fields.
            select_layer: Block whose output is used, from the end: -1 is the last one.
        Raises:
            ValueError: Patches that span several frames.
        """
        if config.get("tubelet_size", 1) != 1:
            raise ValueError(f"tubelet_size must be 1, not {config['tubelet_size']}")
        width = config["d_model"]
        return cls(
            image_px=config["img_size"],
            patch_px=config["patch_size"],
            n_frames=config["num_frames"],
            width=width,
            n_heads=config["num_heads"],
            mlp_width=int(width * MLP_RATIO),
            # Blocks behind the one whose output is used are never built.
            depth=config.get("depth", RELEASED_DEPTH) + 1 + select_layer,
            qkv_bias=config.get("qkv_bias", False),
        )

    def to_json(self, *, select_layer: int) -> dict[str, Any]:
        """Return the fields of a `config.json` that `from_json` reads."""
        return {
            "architectures": ["PretrainInternVideo2"],
            "model_type": "internvideo2",
            "img_size": self.image_px,
            "patch_size": self.patch_px,
            "tubelet_size": 1,
            "num_frames": self.n_frames,
            "d_model": self.width,
            "num_heads": self.n_heads,
            "depth": self.depth - 1 - select_layer,
            "qkv_bias": self.qkv_bias,
        }

    @property
    def grid(self) -> int:
        """Patches along a side of a frame; pixels beyond the last whole patch are not seen."""
        return self.image_px // self.patch_px

    @property
    def n_positions(self) -> int:
        """Rows of the position table, the class token's included."""
        return 1 + self.n_frames * self.grid**2


class InternVideo2(nn.Module):
    """The tower up to the block whose features are used."""

    def __init__(self, config: InternVideo2Config) -> None:
        super().__init__()
        self.config = config
        patch = (1, config.patch_px, config.patch_px)
        self.patches = nn.Conv3d(3, config.width, kernel_size=patch, stride=patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.positions = nn.Parameter(torch.zeros(1, config.n_positions, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))

    def forward(
        self, pixels: Float[Tensor, "clip frame 3 h w"]
    ) -> Float[Tensor, "clip frame_out row col width"]:
        """Compute features of every patch, the class token left out.

        Args:
            pixels: Normalised; a clip of another length is brought to `n_frames` by repeating
                or skipping frames, so a picture is a clip of one frame.
        """
        config = self.config
        hidden = self.hidden(pixels)[:, 1:]
        # clip (frame row col) width -> clip frame row col width
        return hidden.reshape(-1, config.n_frames, config.grid, config.grid, config.width)

    def hidden(
        self, pixels: Float[Tensor, "clip frame 3 h w"]
    ) -> Float[Tensor, "clip position width"]:
        """Compute the sequence after the last block, class token first."""
        pixels = fit_frames(pixels, self.config.n_frames)
        # clip width frame row col -> clip (frame row col) width
        patches = self.patches(pixels.transpose(1, 2)).flatten(2).transpose(1, 2)
        classes = self.class_token.expand(len(patches), -1, -1)
        hidden: Tensor = torch.cat([classes, patches], dim=1) + self.positions
        for block in self.blocks:
            hidden = block(hidden)
        return hidden


class Block(nn.Module):
    """Attention and MLP, each behind an RMS norm and scaled channel by channel."""

    def __init__(self, config: InternVideo2Config) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.width, eps=RMS_EPS)
        self.attention = Attention(config)
        self.attention_scale = nn.Parameter(torch.ones(config.width))
        self.mlp_norm = nn.RMSNorm(config.width, eps=RMS_EPS)
        self.mlp_in = Linear(config.width, config.mlp_width)
        self.mlp_out = Linear(config.mlp_width, config.width)
        self.mlp_scale = nn.Parameter(torch.ones(config.width))

    def forward(
        self, hidden: Float[Tensor, "clip position width"]
    ) -> Float[Tensor, "clip position width"]:
        """Add attention and MLP to the residual stream."""
        mixed: Tensor = self.attention(self.attention_norm(hidden))
        hidden = hidden + self.attention_scale * mixed
        transformed: Tensor = self.mlp_out(functional.gelu(self.mlp_in(self.mlp_norm(hidden))))
        return hidden + self.mlp_scale * transformed


class Attention(nn.Module):
    """Attention among all patches of a clip."""

    def __init__(self, config: InternVideo2Config) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.qkv = Linear(config.width, 3 * config.width, bias=config.qkv_bias)
        self.query_norm = nn.RMSNorm(config.width, eps=RMS_EPS)
        self.key_norm = nn.RMSNorm(config.width, eps=RMS_EPS)
        self.out = Linear(config.width, config.width)

    def forward(
        self, hidden: Float[Tensor, "clip position width"]
    ) -> Float[Tensor, "clip position width"]:
        """Attend from every position to all of its clip."""
        query, key, value = self.qkv(hidden).chunk(3, dim=-1)
        # In training products may be in bfloat16; norms are in the dtype of their weights.
        query, key = (
            norm(part.to(norm.weight.dtype))
            for norm, part in ((self.query_norm, query), (self.key_norm, key))
        )
        query, key, value = (
            part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in (query, key, value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


def prepare(
    frames: UInt8[Tensor, "frame 3 h w"],
    size_px: int,
    *,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    device: torch.device = CPU,
) -> Float32[Tensor, "frame 3 size size"]:
    """Prepare frames as the tower was trained on: padded to a square with the mean, resized.

    They are resized on the host, and travel to the device as bytes.

    OpenCV's bilinear resize takes the two nearest pixels each way, whatever the scale; an
    antialiased one, or Pillow's, differs by many grey levels in fine texture.

    Cost: one CPU thread, 1.6 ms for a 640x360 frame to 224 pixels.
    """
    # Late for its weight: every family is imported to find that of a checkpoint.
    import cv2

    planes = square(frames, mean).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    size = (size_px, size_px)
    squares = [cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in planes]
    sized = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous()
    centre, spread = (upload(torch.tensor(values), device)[:, None, None] for values in (mean, std))
    return (upload(sized, device).float() / 255 - centre) / spread


def square(
    frames: UInt8[Tensor, "frame 3 h w"], mean: tuple[float, ...]
) -> UInt8[Tensor, "frame 3 side side"]:
    """Centre frames in squares that are filled with the mean colour."""
    n_frames, _, height, width = frames.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    # Cut off, not rounded, as upstream does.
    colour = [int(255 * level) for level in mean]
    fill = torch.tensor(colour, dtype=torch.uint8, device=frames.device)
    squares = fill[None, :, None, None].repeat(n_frames, 1, side, side)
    squares[:, :, top : top + height, left : left + width] = frames
    return squares


def fit_frames(
    pixels: Float[Tensor, "clip frame 3 h w"], n_frames: int
) -> Float[Tensor, "clip frame_out 3 h w"]:
    """Bring clips to `n_frames` frames: short ones repeat frames, long ones skip evenly.

    A clip of fewer frames shows each `n_frames` times and is then thinned like a long one, so
    a picture fills the whole clip and two frames share it.
    """
    if pixels.shape[1] < n_frames:
        pixels = pixels.repeat_interleave(n_frames, dim=1)
    return pixels[:, :: pixels.shape[1] // n_frames][:, :n_frames]
