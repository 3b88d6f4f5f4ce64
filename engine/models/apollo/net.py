"""Apollo's weights: two towers joined on one grid, the connector, the decoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn
from torch.nn import functional

from engine.models import tiny
from engine.models.apollo import internvideo2
from engine.models.apollo.internvideo2 import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    InternVideo2,
    InternVideo2Config,
)
from engine.models.apollo.resampler import Connector, ConnectorConfig
from engine.models.layers import preprocess
from engine.models.layers.allocation import materialise
from engine.models.layers.decoder import Decoder
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.preprocess import PixelConfig
from engine.models.layers.towers import Tower, TowerConfig

SELECT_LAYER = -2
"""Both towers give the output of the last block but one, without a final norm."""
MAX_POSITIONS = 16_384
"""Of prompt, clips and answer together, where a config does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionConfig:
    """From pixels to the tokens of a clip."""

    siglip: TowerConfig
    siglip_pixels: PixelConfig
    internvideo2: InternVideo2Config
    connector: ConnectorConfig
    grid: tuple[int, int, int]
    """Frames, rows and columns on which the towers' features are joined."""
    select_layer: int = SELECT_LAYER
    video_mean: tuple[float, ...] = IMAGENET_MEAN
    video_std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        if self.grid[0] != self.internvideo2.n_frames:
            raise ValueError(
                f"a clip of {self.internvideo2.n_frames} frames cannot be joined on {self.grid}"
            )

    @property
    def tokens_per_frame(self) -> int:
        """Cells of the joint grid in one frame."""
        return self.grid[1] * self.grid[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApolloConfig:
    """Everything that shapes the family's computation."""

    decoder: DecoderConfig
    vision: VisionConfig
    eos_ids: tuple[int, ...]
    max_positions: int = MAX_POSITIONS


class ApolloVision(nn.Module):
    """Two towers, joined, and the connector."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.siglip = Tower(config.siglip)
        self.internvideo2 = InternVideo2(config.internvideo2)
        self.connector = Connector(config.connector)

    def prepare(
        self, frames: UInt8[Tensor, "frame 3 h w"]
    ) -> tuple[
        Float[Tensor, "clip clip_frame 3 side side"], Float[Tensor, "clip clip_frame 3 edge edge"]
    ]:
        """Prepare frames of whole clips for either tower, on its device."""
        config, weight = self.config, self.internvideo2.positions
        still = preprocess.prepare(frames, config.siglip_pixels, weight.device)
        moving = internvideo2.prepare(
            frames,
            config.internvideo2.image_px,
            mean=config.video_mean,
            std=config.video_std,
            device=weight.device,
        )
        # (clip frame) 3 h w -> clip frame 3 h w
        still, moving = (
            pixels.reshape(-1, config.grid[0], *pixels.shape[1:]).to(weight)
            for pixels in (still, moving)
        )
        return still, moving

    def encode_stills(
        self, still: Float[Tensor, "clip frame 3 side side"], *, with_vectors: bool
    ) -> tuple[
        Float[Tensor, "clip frame row col features"], Float32[Tensor, "clip frame dim"] | None
    ]:
        """Run SigLIP over every frame on its own."""
        n_clips, n_frames = still.shape[:2]
        features, vectors = self.siglip.run(
            still.flatten(0, 1), self.config.select_layer, with_vectors=with_vectors
        )
        side = self.siglip.grid
        grid = features.reshape(n_clips, n_frames, side, side, -1)
        return grid, None if vectors is None else vectors.reshape(n_clips, n_frames, -1)

    def add_motion(
        self,
        grid: Float[Tensor, "clip frame row col features"],
        moving: Float[Tensor, "clip frame 3 edge edge"],
    ) -> Float[Tensor, "clip frame joint_row joint_col joined"]:
        """Join InternVideo2's features to SigLIP's, on the common grid."""
        return join([grid, self.internvideo2(moving)], self.config.grid)

    def clip_tokens(
        self,
        still: Float[Tensor, "clip frame 3 side side"],
        moving: Float[Tensor, "clip frame 3 edge edge"],
    ) -> Float[Tensor, "clip query width"]:
        """Encode whole clips to the tokens that stand for them, in one differentiable pass."""
        grid, _ = self.encode_stills(still, with_vectors=False)
        # clip frame row col features -> clip (frame row col) features
        tokens: Tensor = self.connector(self.add_motion(grid, moving).flatten(1, 3))
        return tokens


class ApolloNet(nn.Module):
    """The weights: vision, decoder, and SigLIP as published where it lies beside them."""

    def __init__(self, config: ApolloConfig) -> None:
        super().__init__()
        self.config = config
        self.vision = ApolloVision(config.vision)
        self.decoder = Decoder(config.decoder)
        self.joint: Tower | None = None
        """Gives frame and text vectors; Apollo trained its own tower on, without a text side."""


def join(
    grids: Sequence[Float[Tensor, "clip _ _ _ _"]], shape: tuple[int, int, int]
) -> Float[Tensor, "clip frame row col features"]:
    """Join features of several towers on one grid; a grid that fits is untouched.

    Args:
        grids: One tower each: clip, frame, row, column, channel.
        shape: Frames, rows and columns of the common grid.
    """
    return torch.cat([_resize(grid, shape) for grid in grids], dim=-1)


def _resize(grid: Tensor, shape: tuple[int, int, int]) -> Tensor:
    if tuple(grid.shape[1:4]) == shape:
        return grid
    # In float32 as upstream: the weights of an interpolation in bf16 would keep 8 bits.
    moved = grid.movedim(-1, 1).float()
    resized = functional.interpolate(moved, size=shape, mode="trilinear", align_corners=False)
    return resized.movedim(1, -1).to(grid.dtype)


def build(config: ApolloConfig, device: torch.device, dtype: torch.dtype) -> ApolloNet:
    """Allocate a net without values; `load_net` fills it."""
    with torch.device("meta"):
        net = ApolloNet(config)
    materialise(net, device, dtype)
    return net.eval()


def _tiny() -> ApolloConfig:
    text = tiny.text_config(24, 40, max_position_embeddings=16, **tiny.SPECIAL_IDS)
    return ApolloConfig(
        decoder=DecoderConfig(
            vocab_size=264,
            width=32,
            mlp_width=48,
            n_layers=2,
            n_heads=4,
            n_kv_heads=2,
            head_dim=8,
            rope_theta=1e6,
            qkv_bias=True,
            is_tied=True,
        ),
        vision=VisionConfig(
            siglip=TowerConfig(
                kind="siglip", vision=_vision(24, 40, 3, 2, 48), text=text, vector_dim=24
            ),
            siglip_pixels=_siglip_pixels(48),
            internvideo2=InternVideo2Config(
                image_px=28, patch_px=14, n_frames=4, width=16, n_heads=2, mlp_width=69, depth=2
            ),
            connector=ConnectorConfig(
                width_in=40, width=32, n_queries=8, n_heads=4, n_kv_heads=2, head_dim=8
            ),
            grid=(4, 3, 3),
        ),
        eos_ids=(258,),
    )


def _released(width: int, n_layers: int, n_heads: int, n_kv_heads: int, mlp: int) -> ApolloConfig:
    is_large = width == 3584
    return ApolloConfig(
        decoder=DecoderConfig(
            vocab_size=152_064 if is_large else 151_936,
            width=width,
            mlp_width=mlp,
            n_layers=n_layers,
            n_heads=n_heads,
            n_kv_heads=n_kv_heads,
            head_dim=128,
            rope_theta=1e6,
            qkv_bias=True,
            # Only the 7B has a head of its own.
            is_tied=not is_large,
        ),
        vision=VisionConfig(
            siglip=TowerConfig(kind="siglip", vision=_vision(1152, 4304, 27, 16, 384)),
            siglip_pixels=_siglip_pixels(384),
            internvideo2=InternVideo2Config(
                image_px=224,
                patch_px=14,
                n_frames=4,
                width=1408,
                n_heads=16,
                mlp_width=6144,
                depth=39,
            ),
            connector=ConnectorConfig(width_in=2560, width=width, n_queries=128),
            grid=(4, 27, 27),
        ),
        eos_ids=(151_645, 151_643),
    )


def _vision(width: int, mlp: int, n_layers: int, n_heads: int, image_px: int) -> dict[str, Any]:
    sizes = {"hidden_size": width, "intermediate_size": mlp, "num_hidden_layers": n_layers}
    sizes |= {"num_attention_heads": n_heads, "image_size": image_px, "patch_size": 14}
    return {**sizes, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6}


def _siglip_pixels(size_px: int) -> PixelConfig:
    half = (0.5, 0.5, 0.5)
    return PixelConfig(size_px=size_px, fit="letterbox", mean=half, std=half)


VARIANTS = {
    "tiny": _tiny(),
    "1_5b": _released(1536, 28, 12, 2, 8960),
    "3b": _released(2048, 36, 16, 2, 11_008),
    "7b": _released(3584, 28, 28, 4, 18_944),
}
