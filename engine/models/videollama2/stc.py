"""Spatial-temporal convolution connectors: a clip's patch grid to fewer tokens in decoder space.

A stage of convolution blocks brings the tower's channels to the decoder's width, frame by frame; a
sampler halves frames, rows and columns; a second stage smooths the rest, and a two-layer readout
ends. `project_frames` needs one frame at a time and `downsample` a whole clip, so a stream can
project frames as they come.

Decision: the blocks (timm's `RegStage`) are written out here.
Because: timm needs torchvision, whose wheel replaces a CPU build of torch by a CUDA one.
Measured: timm 1.0.31 installed without its dependencies fails at `timm.models.regnet`, importing
    `torchvision.ops.misc`; this file reproduces timm's stage outputs to 5e-6 (`make parity`).
Revisit when: timm imports without torchvision.
Source: arXiv:2406.07476 section 3.1; its blocks arXiv:2003.13678, its idea arXiv:2312.06742.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from engine.models.layers.products import Linear

LAYER_NORM_EPS = 1e-5
SQUEEZE_RATIO = 0.25
"""Channels of the squeeze, as a share of the channels that enter the block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerKind:
    """Downsampling of one released connector."""

    kernel: tuple[int, int, int]
    """Frames, rows and columns that become one; the stride is the same."""
    padding: int
    """Zeros on each side of all three axes."""
    learned: bool
    """A convolution, else an average."""
    depth: int
    """Blocks of either stage; 0 leaves the stages out, and the widths must then agree."""


SAMPLERS: Mapping[str, SamplerKind] = MappingProxyType(
    {
        "stc_connector": SamplerKind(kernel=(2, 2, 2), padding=1, learned=True, depth=4),
        "stc_connector_v35": SamplerKind(kernel=(2, 2, 2), padding=0, learned=True, depth=4),
        "stp_connector": SamplerKind(kernel=(2, 2, 2), padding=0, learned=False, depth=4),
        "spatial_conv": SamplerKind(kernel=(1, 2, 2), padding=1, learned=True, depth=0),
        "spatial_pool": SamplerKind(kernel=(1, 2, 2), padding=0, learned=False, depth=0),
    }
)


class StcConnector(nn.Module):
    """The connector of one kind; parameter names are the released ones."""

    def __init__(self, kind: str, tower_width: int, width: int) -> None:
        """Build without weights.

        Args:
            kind: A key of `SAMPLERS`.
            tower_width: Channels of the tower's patches.
            width: Channels of the decoder.
        """
        super().__init__()
        if kind not in SAMPLERS:
            raise ValueError(f"no connector {kind!r}; there are {', '.join(SAMPLERS)}")
        shape = SAMPLERS[kind]
        if not shape.depth and tower_width != width:
            raise ValueError(f"{kind} keeps its width: {tower_width} is not {width}")
        self.kind = shape
        self.s1 = _stage(shape.depth, tower_width, width)
        self.sampler = _sampler(shape, width)
        self.s2 = _stage(shape.depth, width, width)
        self.readout = nn.Sequential(Linear(width, width), nn.GELU(), Linear(width, width))

    def forward(
        self, patches: Float[Tensor, "clip frame patch tower_width"]
    ) -> Float[Tensor, "clip token width"]:
        """Run whole clips at once, as training does."""
        return torch.stack([self.downsample(self.project_frames(clip)) for clip in patches])

    def project_frames(
        self, patches: Float[Tensor, "frame patch tower_width"]
    ) -> Float[Tensor, "frame patch width"]:
        """Run the first stage; frames do not see each other. Patches form a square, row by row."""
        side = isqrt(patches.shape[1])
        if side * side != patches.shape[1]:
            raise ValueError(f"patches must form a square, not {patches.shape[1]}")
        # frame (row col) tower_width -> frame tower_width row col
        grid = patches.transpose(1, 2).reshape(patches.shape[0], -1, side, side)
        projected: Tensor = self.s1(grid)
        return projected.flatten(2).transpose(1, 2)

    def downsample(
        self, patches: Float[Tensor, "frame patch width"]
    ) -> Float[Tensor, "token width"]:
        """Compress projected frames of one clip to tokens: frame slowest, then row, then column."""
        side = isqrt(patches.shape[1])
        # frame (row col) width -> clip width frame row col
        volume = patches.permute(2, 0, 1).reshape(1, -1, patches.shape[0], side, side)
        sampled: Tensor = self.sampler(volume)[0]
        # width frame row col -> frame width row col: the second stage sees single frames again
        smoothed: Tensor = self.s2(sampled.transpose(0, 1))
        tokens = smoothed.permute(0, 2, 3, 1).flatten(0, 2)
        read: Tensor = self.readout(tokens)
        return read

    def grid_of(self, n_frames: int, side: int) -> tuple[int, int, int]:
        """Compute frames, rows and columns of the tokens that `downsample` makes of a clip."""
        sizes = zip((n_frames, side, side), self.kind.kernel, strict=True)
        frames, rows, cols = (
            (size + 2 * self.kind.padding - kernel) // kernel + 1 for size, kernel in sizes
        )
        return frames, rows, cols

    def frames_left_over(self, n_frames: int) -> int:
        """Count the frames at the end of a clip that the sampler's stride would leave unseen."""
        frames, _, _ = self.grid_of(n_frames, self.kind.kernel[1])
        return max(0, n_frames + self.kind.padding - frames * self.kind.kernel[0])


def _stage(depth: int, width_in: int, width: int) -> nn.Module:
    if not depth:
        return nn.Identity()
    widths = [width_in] + [width] * (depth - 1)
    blocks = ((f"b{idx}", _Bottleneck(n_in, width)) for idx, n_in in enumerate(widths, start=1))
    return nn.Sequential(OrderedDict(blocks))


def _sampler(kind: SamplerKind, width: int) -> nn.Sequential:
    reduce: nn.Module
    if kind.learned:
        reduce = nn.Conv3d(
            width, width, kernel_size=kind.kernel, stride=kind.kernel, padding=kind.padding
        )
    else:
        reduce = nn.AvgPool3d(kernel_size=kind.kernel, stride=kind.kernel)
    return nn.Sequential(reduce, nn.SiLU())


class _Bottleneck(nn.Module):
    """Point, depthwise and point convolution with channel gating, around a shortcut."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.conv1 = _ConvNorm(width_in, width)
        self.conv2 = _ConvNorm(width, width, kernel=3, groups=width)
        self.se = _ChannelGate(width, squeezed=round(width_in * SQUEEZE_RATIO))
        self.conv3 = _ConvNorm(width, width)
        self.downsample = _ConvNorm(width_in, width) if width_in != width else nn.Identity()

    def forward(
        self, grid: Float[Tensor, "frame width_in h w"]
    ) -> Float[Tensor, "frame width h w"]:
        hidden = F.silu(self.conv1(grid))
        hidden = F.silu(self.conv2(hidden))
        hidden = self.conv3(self.se(hidden))
        return F.silu(hidden + self.downsample(grid))


class _ConvNorm(nn.Module):
    """A convolution without bias, then layer normalisation over the channels of each place."""

    def __init__(self, width_in: int, width: int, kernel: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            width_in, width, kernel, padding=kernel // 2, groups=groups, bias=False
        )
        # Upstream's key: a layer norm stands where the block once had a batch norm.
        self.bn = nn.LayerNorm(width, eps=LAYER_NORM_EPS)

    def forward(
        self, grid: Float[Tensor, "frame width_in h w"]
    ) -> Float[Tensor, "frame width h w"]:
        convolved: Tensor = self.conv(grid)
        normed: Tensor = self.bn(convolved.permute(0, 2, 3, 1))
        return normed.permute(0, 3, 1, 2)


class _ChannelGate(nn.Module):
    """Squeeze and excitation: each channel is scaled by what the whole frame shows."""

    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, width, 1)

    def forward(self, grid: Float[Tensor, "frame width h w"]) -> Float[Tensor, "frame width h w"]:
        summary = grid.mean((2, 3), keepdim=True)
        gate: Tensor = self.fc2(F.silu(self.fc1(summary)))
        return grid * gate.sigmoid()
