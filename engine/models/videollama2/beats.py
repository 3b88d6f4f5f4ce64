"""BEATs audio tower: sound to tokens by way of Kaldi-style filter banks.

The banks are computed in float32 on the samples' device; the tower runs in whatever dtype its
weights have. Parameter names of the tower are the released ones.

Source: arXiv:2212.09058 (BEATs); the banks follow Kaldi's definition: Povey window, no dither.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from math import log
from typing import Any

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from engine.models.layers.products import Linear

SAMPLE_RATE_HZ = 16_000
NYQUIST_HZ = 8_000.0
FRAME_SAMPLES = 400
"""25 ms."""
HOP_SAMPLES = 160
"""10 ms."""
FFT_SAMPLES = 512
N_MELS = 128
LOWEST_HZ = 20.0
PRE_EMPHASIS = 0.97
POVEY_EXPONENT = 0.85
INT16_SCALE = 32_768.0
"""Kaldi works on samples in the range of 16-bit integers."""
BANK_MEAN, BANK_STD = 15.41663, 6.55582
"""Statistics that the released towers were trained with; twice the deviation divides."""


def filter_banks(samples: Float32[Tensor, " sample"]) -> Float32[Tensor, "time mel"]:
    """Compute log mel energies of 25 ms windows, 10 ms apart.

    Args:
        samples: 16 kHz, in [-1, 1], at least 25 ms.
    Returns:
        `1 + (n - 400) // 160` rows of 128; silence is the logarithm of float32's epsilon.
    """
    if samples.shape[0] < FRAME_SAMPLES:
        raise ValueError(f"{samples.shape[0]} samples are less than one frame of {FRAME_SAMPLES}")
    frames = (samples * INT16_SCALE).unfold(0, FRAME_SAMPLES, HOP_SAMPLES)
    frames = frames - frames.mean(1, keepdim=True)
    # The first sample has no predecessor and is measured against itself.
    before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    windowed = (frames - PRE_EMPHASIS * before) * _povey_window().to(samples.device)
    power = torch.fft.rfft(windowed, n=FFT_SAMPLES).abs().square()
    # Where training has products in bfloat16, this one is no part of the net.
    with torch.autocast(samples.device.type, enabled=False):
        energies = power[:, :-1] @ _mel_triangles().to(samples.device)
    log_energies: Tensor = energies.clamp_min(torch.finfo(torch.float32).eps).log()
    return log_energies


def bank_rows(n_samples: int) -> int:
    """Count the rows that `filter_banks` makes of this many samples."""
    return 1 + (n_samples - FRAME_SAMPLES) // HOP_SAMPLES


@cache
def _povey_window() -> Float32[Tensor, " sample"]:
    return torch.hann_window(FRAME_SAMPLES, periodic=False).pow(POVEY_EXPONENT)


@cache
def _mel_triangles() -> Float32[Tensor, "bin mel"]:
    """Compute the weights of the Fourier bins, without the last; triangles are straight in mel."""
    hertz = torch.arange(FFT_SAMPLES // 2) * (SAMPLE_RATE_HZ / FFT_SAMPLES)
    bins = (1127.0 * (1.0 + hertz / 700.0).log()).unsqueeze(1)
    lowest, highest = (1127.0 * log(1.0 + edge / 700.0) for edge in (LOWEST_HZ, NYQUIST_HZ))
    step = (highest - lowest) / (N_MELS + 1)
    left = lowest + torch.arange(N_MELS) * step
    rising, falling = (bins - left) / step, (left + 2 * step - bins) / step
    return torch.minimum(rising, falling).clamp_min(0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatsConfig:
    """Sizes of a BEATs tower; the defaults are BEATs_iter3+ (AS2M), the released one."""

    input_patch_size: int = 16
    embed_dim: int = 512
    encoder_layers: int = 12
    encoder_embed_dim: int = 768
    encoder_ffn_embed_dim: int = 3072
    encoder_attention_heads: int = 12
    conv_pos: int = 128
    """Samples of the position convolution's kernel."""
    conv_pos_groups: int = 16
    num_buckets: int = 320
    max_distance: int = 800
    """Distances from here on share a bucket."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "BeatsConfig":
        """Read the sizes from a released config; fields for training alone are left out."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names})


class BeatsTower(nn.Module):
    """A transformer over 16 x 16 patches of the filter banks."""

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        self.patch_embedding = nn.Conv2d(
            1,
            config.embed_dim,
            kernel_size=config.input_patch_size,
            stride=config.input_patch_size,
            bias=False,
        )
        self.layer_norm = nn.LayerNorm(config.embed_dim)
        # A tower whose patches are as wide as its encoder has nothing between them.
        self.post_extract_proj: nn.Module | None = None
        if config.embed_dim != config.encoder_embed_dim:
            self.post_extract_proj = Linear(config.embed_dim, config.encoder_embed_dim)
        self.encoder = _Encoder(config)

    def forward(self, banks: Float[Tensor, "time mel"]) -> Float[Tensor, "token width"]:
        """Compute all tokens, without a padding mask: padded silence is heard like any other.

        Args:
            banks: Filter banks as `filter_banks` gives them, in the dtype of the weights.
        Returns:
            Time slowest: eight tokens of rising pitch for every 160 ms.
        """
        encoded: Tensor = self.encoder(self.embed(banks))
        return encoded

    def embed(self, banks: Float[Tensor, "time mel"]) -> Float[Tensor, "token width"]:
        """Embed patches as the encoder takes them, before its position convolution."""
        # width time pitch -> (time pitch) width
        patches = self.patches(banks).flatten(1).T
        tokens: Tensor = self.layer_norm(patches)
        return tokens if self.post_extract_proj is None else self.post_extract_proj(tokens)

    def patches(self, banks: Float[Tensor, "time mel"]) -> Float[Tensor, "width patch_time pitch"]:
        """Standardise the banks and convolve them in squares."""
        normed = (banks - BANK_MEAN) / (2 * BANK_STD)
        convolved: Tensor = self.patch_embedding(normed.unsqueeze(0))
        return convolved


class _Encoder(nn.Module):
    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        self.pos_conv = nn.ModuleList([_PositionConv(config)])
        self.layer_norm = nn.LayerNorm(config.encoder_embed_dim)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.encoder_layers))

    def forward(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        hidden = self.place(tokens)
        layers = [layer for layer in self.layers if isinstance(layer, _Layer)]
        # One table serves all layers; checkpoints repeat it under each layer's name.
        bias = layers[0].self_attn.position_bias(hidden.shape[0])
        for layer in layers:
            hidden = layer(hidden, bias)
        return hidden

    def place(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """Add the position convolution and normalise: what the first layer sees."""
        placed: Tensor = self.layer_norm(tokens + self.pos_conv[0](tokens))
        return placed


class _PositionConv(nn.Module):
    """A grouped convolution along the tokens, its kernel normalised per position."""

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        width, self.groups = config.encoder_embed_dim, config.conv_pos_groups
        kernel = config.conv_pos
        self.weight_g = nn.Parameter(torch.empty(1, 1, kernel))
        self.weight_v = nn.Parameter(torch.empty(width, width // self.groups, kernel))
        self.bias = nn.Parameter(torch.empty(width))

    def forward(self, tokens: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        squares = self.weight_v.square().sum((0, 1), keepdim=True)
        kernel = self.weight_g * self.weight_v * (squares + 1e-6).rsqrt()
        convolved = F.conv1d(
            tokens.T, kernel, self.bias, padding=kernel.shape[2] // 2, groups=self.groups
        )
        # An even kernel gives one position too many.
        return F.gelu(convolved[:, : tokens.shape[0]]).T


class _Layer(nn.Module):
    """Post-norm transformer layer with deep-norm residuals."""

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        width, inner = config.encoder_embed_dim, config.encoder_ffn_embed_dim
        self.residual_scale = (2 * config.encoder_layers) ** 0.25
        self.self_attn = _GatedAttention(config)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = Linear(width, inner)
        self.fc2 = Linear(inner, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(
        self, hidden: Float[Tensor, "token width"], bias: Float[Tensor, "head token token"]
    ) -> Float[Tensor, "token width"]:
        attended = self.self_attn(hidden, bias)
        hidden = self.self_attn_layer_norm(hidden * self.residual_scale + attended)
        fed = self.fc2(F.gelu(self.fc1(hidden)))
        normed: Tensor = self.final_layer_norm(hidden * self.residual_scale + fed)
        return normed


class _GatedAttention(nn.Module):
    """Attention whose relative positions weigh more or less as each query decides."""

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        width, self.n_heads = config.encoder_embed_dim, config.encoder_attention_heads
        self.max_distance = config.max_distance
        self.q_proj = Linear(width, width)
        self.k_proj = Linear(width, width)
        self.v_proj = Linear(width, width)
        self.out_proj = Linear(width, width)
        self.grep_linear = Linear(width // self.n_heads, 8)
        self.grep_a = nn.Parameter(torch.empty(1, self.n_heads, 1, 1))
        self.relative_attention_bias = nn.Embedding(config.num_buckets, self.n_heads)

    def forward(
        self, hidden: Float[Tensor, "token width"], bias: Float[Tensor, "head token token"]
    ) -> Float[Tensor, "token width"]:
        q, k, v = (self._heads(proj(hidden)) for proj in (self.q_proj, self.k_proj, self.v_proj))
        # Differs from upstream: it divides q by 32 and multiplies the logits back, to keep half
        # precision in range; the fused kernel needs neither (checked: parity case of the tower).
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=self._gate(q) * bias)
        projected: Tensor = self.out_proj(mixed.transpose(0, 1).flatten(1))
        return projected

    def position_bias(self, n_tokens: int) -> Float[Tensor, "head token token"]:
        """Compute what a key's distance adds to each head's logits, before the gate."""
        table = self.relative_attention_bias
        positions = torch.arange(n_tokens, device=table.weight.device)
        buckets = distance_buckets(
            positions.unsqueeze(0) - positions.unsqueeze(1), table.num_embeddings, self.max_distance
        )
        biases: Tensor = table(buckets)
        return biases.permute(2, 0, 1)

    def _gate(self, q: Float[Tensor, "head token head_dim"]) -> Float[Tensor, "head token 1"]:
        votes: Tensor = self.grep_linear(q)
        pairs = votes.reshape(*q.shape[:2], 2, 4).sum(-1).sigmoid()
        open_, damped = pairs[..., :1], pairs[..., 1:]
        gate: Tensor = open_ * (damped * self.grep_a[0] - 1.0) + 2.0
        return gate

    def _heads(self, rows: Float[Tensor, "token width"]) -> Float[Tensor, "head token head_dim"]:
        return rows.reshape(rows.shape[0], self.n_heads, -1).transpose(0, 1)


def distance_buckets(
    distance: Int64[Tensor, "query key"], n_buckets: int, max_distance: int
) -> Int64[Tensor, "query key"]:
    """Sort relative positions into buckets: exact when near, logarithmic when far, signed.

    Args:
        distance: Key position minus query position; positive ones take the upper buckets.
        n_buckets: Of both signs together.
        max_distance: From here on all share the last bucket of their sign.
    """
    per_sign = n_buckets // 2
    n_exact = per_sign // 2
    apart = distance.abs()
    # Zero never takes this branch; it is kept out of the logarithm.
    far = (apart.clamp_min(1).float() / n_exact).log() / log(max_distance / n_exact)
    bucket = torch.where(apart < n_exact, apart, n_exact + (far * (per_sign - n_exact)).long())
    return (distance > 0) * per_sign + bucket.clamp_max(per_sign - 1)
