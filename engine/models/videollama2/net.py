"""VideoLLaMA 2's net: sizes, towers and connectors from pixels and sound to tokens, decoder."""

from dataclasses import dataclass, field
from math import ceil

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor, nn

from engine.models.layers.allocation import materialise
from engine.models.layers.decoder import Decoder
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.expert_files import EXPERT_NAMES, ExpertFiles
from engine.models.layers.experts import ExpertPool
from engine.models.layers.preprocess import PixelConfig
from engine.models.layers.text_image import encode_frames
from engine.models.layers.towers import Tower, TowerConfig
from engine.models.videollama2.beats import (
    HOP_SAMPLES,
    N_MELS,
    SAMPLE_RATE_HZ,
    BeatsConfig,
    BeatsTower,
    bank_rows,
    filter_banks,
)
from engine.models.videollama2.connectors import build_connector, projector
from engine.models.videollama2.prompts import RELEASED_FRAMES

RELEASED_WINDOW_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HearingConfig:
    """From sound to audio tokens."""

    tower: BeatsConfig = field(default_factory=BeatsConfig)
    n_projections: int = 2
    """Linear layers of the projector, with exact GELUs between them."""
    window_s: float = RELEASED_WINDOW_S
    """Length of sound that the tower takes at once; shorter sound is followed by silence."""

    @property
    def window_samples(self) -> int:
        """Samples of one window."""
        return round(self.window_s * SAMPLE_RATE_HZ)

    @property
    def pitches(self) -> int:
        """Tokens of one moment, by rising pitch: eight as released."""
        return N_MELS // self.tower.input_patch_size

    @property
    def window_tokens(self) -> int:
        """Tokens of one window: 1496 as released."""
        return bank_rows(self.window_samples) // self.tower.input_patch_size * self.pitches

    def tokens_of(self, n_samples: int) -> int:
        """Count the tokens of a window that sound of this length reaches; at least one moment's."""
        moments = ceil(n_samples / (HOP_SAMPLES * self.tower.input_patch_size))
        return min(self.window_tokens, max(1, moments) * self.pitches)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoLlama2Config:
    """Everything that shapes the family's computation."""

    decoder: DecoderConfig
    tower: TowerConfig
    pixels: PixelConfig
    connector: str = "stc_connector"
    chunk_frames: int = RELEASED_FRAMES
    select_layer: int = -2
    hearing: HearingConfig | None = None
    is_qwen: bool = False
    """Whether conversations are written as for Qwen2; else as for Mistral."""


class VideoLlama2Net(nn.Module):
    """The weights: tower, connector, decoder; BEATs and its projector where the model hears."""

    def __init__(self, config: VideoLlama2Config) -> None:
        super().__init__()
        self.config = config
        width = config.decoder.width
        self.decoder = Decoder(config.decoder)
        self.tower = Tower(config.tower)
        self.joint: Tower | None = None
        self.expert_files: ExpertFiles | None = None
        self.experts: ExpertPool | None = None
        """Where experts are read from and which of them are near, if a budget leaves some away."""
        self.connector = build_connector(config.connector, self.tower.width, width)
        self.audio_tower: BeatsTower | None = None
        self.audio_projector: nn.Module | None = None
        if config.hearing is not None:
            self.audio_tower = BeatsTower(config.hearing.tower)
            n_in = config.hearing.tower.encoder_embed_dim
            self.audio_projector = projector(config.hearing.n_projections, n_in, width)

    def visual_tokens(
        self, pixels: Float[Tensor, "frame 3 h w"]
    ) -> tuple[Float[Tensor, "frame patch channel"], Float32[Tensor, "frame dim"]]:
        """Compute patches, as the connector's second half takes them, and unit vectors."""
        features, vectors = encode_frames(self.tower, self.joint, pixels, self.config.select_layer)
        return self.connector.project_frames(features), vectors

    def compress(
        self, patches: Float[Tensor, "frame patch channel"]
    ) -> Float[Tensor, "latent width"]:
        """Apply the connector's second half to one chunk.

        The sampler steps over frames by two; where that would leave the last frame unseen it is
        shown twice.
        """
        left = self.connector.frames_left_over(patches.shape[0])
        # Differs from upstream: an odd last frame vanishes there with connectors that do not pad
        # (checked: `test_every_frame_of_a_chunk_counts`).
        return self.connector.downsample(torch.cat((patches, patches[-1:])) if left else patches)

    def hear(self, samples: Float32[Tensor, " sample"]) -> Float[Tensor, "audio_token width"]:
        """Turn sound into audio tokens, as many for any length.

        Args:
            samples: 16 kHz, in [-1, 1]. More than one window is heard window by window, and the
                tokens of one pitch averaged over time.
        """
        hearing = self.config.hearing
        assert hearing is not None
        n = hearing.window_samples
        # Differs from upstream: sound beyond 30 s is heard whole; upstream takes a random 30 s of
        # a file, and eight stretches of 2 s of a video, which miss its end (checked:
        # `test_all_of_a_long_stretch_is_heard`).
        parts = [
            self.tokens_of(filter_banks(F.pad(window, (0, n - len(window)))))
            for window in torch.split(samples, n)
        ]
        if len(parts) == 1:
            return parts[0]
        # The silence behind the last window would take tokens from what is really there.
        parts[-1] = parts[-1][: hearing.tokens_of(len(samples) - n * (len(parts) - 1))]
        # (time pitch) width -> pitch width time
        grid = torch.cat(parts).reshape(-1, hearing.pitches, parts[0].shape[1]).permute(1, 2, 0)
        even = F.adaptive_avg_pool1d(grid, hearing.window_tokens // hearing.pitches)
        return even.permute(2, 0, 1).flatten(0, 1)

    def tokens_of(self, banks: Float32[Tensor, "time mel"]) -> Float[Tensor, "audio_token width"]:
        """Turn filter banks into audio tokens; upstream rounds the banks to bfloat16."""
        assert self.audio_tower is not None
        assert self.audio_projector is not None
        weight = self.audio_tower.patch_embedding.weight
        rounded = banks.to(torch.bfloat16).to(weight.device, weight.dtype)
        tokens: Tensor = self.audio_projector(self.audio_tower(rounded))
        return tokens

    @property
    def latents_per_chunk(self) -> int:
        """Video tokens of a full chunk, and audio tokens behind them."""
        n_frames = self.config.chunk_frames
        n_frames += min(1, self.connector.frames_left_over(n_frames))
        frames, rows, cols = self.connector.grid_of(n_frames, self.tower.grid)
        hearing = self.config.hearing
        return frames * rows * cols + (0 if hearing is None else hearing.window_tokens)


def build(
    config: VideoLlama2Config,
    device: torch.device,
    dtype: torch.dtype,
    *,
    without_experts: bool = False,
) -> VideoLlama2Net:
    """Allocate a net without values; `load_net` fills it.

    Args:
        config: Its sizes.
        device: Where the weights go.
        dtype: Of the weights.
        without_experts: Leave the experts of the decoder without memory.
    """
    with torch.device("meta"):
        net = VideoLlama2Net(config)
    materialise(net, device, dtype, but=EXPERT_NAMES if without_experts else "")
    return net.eval()
