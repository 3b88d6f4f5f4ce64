"""A Video-XL of the released 7B size with random weights, and what a card is given to do."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch

from engine.media.frame import Frame
from engine.models import tiny
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.text_image import TextEncoder
from engine.models.layers.tokenizer import Tokenizer
from engine.models.layers.towers import CLIP_LARGE_336, TowerConfig, pixels_of
from engine.models.video_xl.model import VARIANTS, VideoXl
from engine.models.video_xl.net import VideoXlConfig, VideoXlNet, VisionConfig, build
from engine.models.video_xl.net import copy_base_to_vst as copy_base
from engine.records import Fingerprint, MediaInfo, SampleStats

_CLIP: Final = TowerConfig.from_json(CLIP_LARGE_336)
RELEASED: Final = VideoXlConfig(
    decoder=DecoderConfig(
        vocab_size=152_064,
        width=3584,
        mlp_width=18_944,
        n_layers=28,
        n_heads=28,
        n_kv_heads=4,
        head_dim=128,
        rope_theta=1e6,
        qkv_bias=True,
        has_vst=True,
    ),
    chunk_tokens=1440,
    compression_ratios=(2, 4, 8),
    eos_ids=(151_645,),
    vision=VisionConfig(tower=_CLIP, pixels=pixels_of(_CLIP)),
)
"""Sizes of `sy1998/Video_XL`."""
CONTROL: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuPlan:
    """Sizes of one run: the released ones on a card, small ones for a rehearsal."""

    config: VideoXlConfig
    ratio: int
    gemm: int
    """Side of the square products that are timed."""
    copied_bytes: int
    frame_px: tuple[int, int]
    """Height and width of the frames that are ingested."""
    n_chunks: int
    n_steps: int
    recalled: int
    """Latents of the recall."""
    compared_layers: int
    """Layers of the decoder that bfloat16 is compared in, at full width."""


ON_A_CARD: Final = GpuPlan(
    config=RELEASED,
    ratio=16,
    gemm=8192,
    copied_bytes=1 << 30,
    frame_px=(1080, 1920),
    n_chunks=60,
    n_steps=64,
    recalled=32_400,
    compared_layers=2,
)
REHEARSAL: Final = GpuPlan(
    config=VARIANTS["tiny"],
    ratio=8,
    gemm=128,
    copied_bytes=1 << 16,
    frame_px=(72, 128),
    n_chunks=4,
    n_steps=6,
    recalled=16,
    compared_layers=2,
)


def random_model(plan: GpuPlan, device: torch.device, dtype: torch.dtype, folder: Path) -> VideoXl:
    """Return a model of the plan's sizes.

    Args:
        plan: Its sizes.
        device: Of the weights.
        dtype: Of the weights.
        folder: Takes a byte tokenizer.
    """
    tiny.write_byte_tokenizer(folder, CONTROL)
    net = random_net(plan.config, device, dtype)
    assert net.tower is not None
    return VideoXl(
        net,
        Tokenizer.load(folder),
        TextEncoder(net.tower, None, None),
        variant="random",
        fingerprint=Fingerprint("random"),
    )


def random_net(config: VideoXlConfig, device: torch.device, dtype: torch.dtype) -> VideoXlNet:
    """Return a net whose weights are drawn where they lie, of a scale that keeps rows finite."""
    net = build(config, device, dtype)
    random = torch.Generator(device).manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0.0, parameter.shape[-1] ** -0.5, generator=random)
    copy_base(net)
    return net


@dataclass
class NoiseFrames:
    """Frames that a decoder would hand over: noise, of which none is static."""

    n_frames: int
    size_px: tuple[int, int]
    stats: SampleStats = field(default_factory=SampleStats)

    @property
    def info(self) -> MediaInfo:
        """A source of one frame a second."""
        return MediaInfo(
            uri="noise",
            container="none",
            video_codec=None,
            fps=1.0,
            height_px=self.size_px[0],
            width_px=self.size_px[1],
            duration_s=float(self.n_frames),
        )

    def __iter__(self) -> Iterator[Frame]:
        random = np.random.default_rng(0)
        few = [random.integers(0, 256, (*self.size_px, 3), dtype=np.uint8) for _ in range(4)]
        for idx in range(self.n_frames):
            yield Frame(pixels=few[idx % len(few)], pts_s=float(idx))
