"""The connectors of VideoLLaMA 2: the released convolutional ones, and the ablations beside them.

`linear` and `mlpNx_gelu` average a clip's patches over its frames, place by place, and bring them
to the decoder's width: as many tokens a clip as a frame has patches. Released names are upstream's:
one layer's stand directly below `mm_projector`, those of several are counted with their GELUs.
"""

import re

import torch
from jaxtyping import Float
from torch import Tensor, nn

from engine.models.layers.products import Linear
from engine.models.videollama2.stc import SAMPLERS, StcConnector

_MLP = re.compile(r"mlp([1-9]\d*)x_gelu")


class MeanConnector(nn.Module):
    """The mean of a clip's frames, then linear layers."""

    def __init__(self, n_layers: int, tower_width: int, width: int) -> None:
        """Build without weights.

        Args:
            n_layers: Linear layers, with exact GELUs between them.
            tower_width: Channels of the tower's patches.
            width: Channels of the decoder.
        """
        super().__init__()
        self.layers = projector(n_layers, tower_width, width)

    def forward(
        self, patches: Float[Tensor, "clip frame patch tower_width"]
    ) -> Float[Tensor, "clip patch width"]:
        """Run whole clips at once, as training does."""
        return torch.stack([self.downsample(clip) for clip in patches])

    def project_frames(
        self, patches: Float[Tensor, "frame patch tower_width"]
    ) -> Float[Tensor, "frame patch tower_width"]:
        """Return patches as they are: their mean comes before the first layer."""
        return patches

    def downsample(
        self, patches: Float[Tensor, "frame patch tower_width"]
    ) -> Float[Tensor, "patch width"]:
        """Compress one clip to tokens: row by row."""
        tokens: Tensor = self.layers(patches.mean(0))
        return tokens

    def grid_of(self, n_frames: int, side: int) -> tuple[int, int, int]:
        """Return frames, rows and columns of the tokens that `downsample` makes of a clip."""
        return min(n_frames, 1), side, side

    def frames_left_over(self, n_frames: int) -> int:
        """Return 0: every frame counts."""
        return 0


Connector = StcConnector | MeanConnector


def is_known(kind: str) -> bool:
    """Return whether a connector of this name can be built."""
    return kind in SAMPLERS or n_layers_of(kind) is not None


def known_kinds() -> str:
    """Return the names of all connectors, for an error."""
    return ", ".join((*SAMPLERS, "linear", "mlpNx_gelu"))


def build_connector(kind: str, tower_width: int, width: int) -> Connector:
    """Build a connector without weights.

    Args:
        kind: One of `known_kinds`.
        tower_width: Channels of the tower's patches.
        width: Channels of the decoder.
    """
    n_layers = n_layers_of(kind)
    if n_layers is not None:
        return MeanConnector(n_layers, tower_width, width)
    return StcConnector(kind, tower_width, width)


def n_layers_of(kind: str) -> int | None:
    """Return the linear layers of an ablated connector; `None` for a convolutional one."""
    if kind == "linear":
        return 1
    match = _MLP.fullmatch(kind)
    return None if match is None else int(match[1])


def projector(n_layers: int, n_in: int, width: int) -> nn.Module:
    """Build linear layers with exact GELUs between them; a single one stands alone."""
    if n_layers == 1:
        return Linear(n_in, width)
    layers: list[nn.Module] = [Linear(n_in, width)]
    for _ in range(n_layers - 1):
        layers += [nn.GELU(), Linear(width, width)]
    return nn.Sequential(*layers)
