"""EfficientNet-Lite0: the probabilities of the 1,000 classes of ImageNet for a picture.

Source: Tan and Le, EfficientNet (arXiv:1905.11946), in Google's Lite form of 2020: no squeeze and
    excitation, ReLU6, stem and head of fixed width. Layout of the weights: the PyTorch conversion
    that `parts.CLASSIFIER` names.
Source: Zhou et al., Learning Deep Features for Discriminative Localization (arXiv:1512.04150): the
    place of a class is where its weights of the last layer light up.
Differs from upstream: batch normalisation is folded into the convolutions when the weights are
    read, which gives the same numbers with a third of the passes over memory.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from engine.errors import WeightsError
from engine.sight import parts

SIZE_PX: Final = 224
BATCH: Final = 16
"""Views a pass. On two cores 8 to 32 take the same time a view; a view needs about 20 MB."""
LOCATE_PX: Final = 448
"""Side at which a class is located: 14 cells a side instead of the 7 of `SIZE_PX`."""
_LIT: Final = 0.4
"""Share of the strongest cell from which a cell belongs to a class."""
_NORM_EPS = 1e-3
_LAYERS = (1, 2, 2, 3, 3, 4, 1)
_STRIDES = (1, 2, 2, 2, 1, 2, 1)
_EXPANSIONS = (1, 6, 6, 6, 6, 6, 6)


class Classifier:
    """The network with its labels; holds nothing that changes between calls."""

    def __init__(self, *, device: torch.device | None = None) -> None:
        """Load the weights that the package brings.

        Raises:
            MissingCapabilityError: The package of weights or labels is not installed.
            WeightsError: A file is not the one that was published.
        """
        self.labels: tuple[str, ...] = read_labels()
        """Synonyms of each class, joined by commas, in the order of the probabilities."""
        weights = torch.load(parts.find(parts.CLASSIFIER), weights_only=True, map_location="cpu")
        self._device = device or torch.device("cpu")
        self._net = EfficientNetLite(weights).eval().requires_grad_(False)
        self._net.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def probabilities(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    ) -> Float32[Tensor, "image label"]:
        """Return the probability of each class, for RGB pictures of any size.

        A picture is squashed to a square: what stands at its edges counts too.
        """
        if not images:
            return torch.empty(0, len(self.labels))
        batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        return torch.cat([self._classify(batch) for batch in batches])

    @torch.inference_mode()
    def locate(
        self, image: UInt8[np.ndarray, "h w 3"], classes: Collection[int]
    ) -> tuple[float, float, float, float] | None:
        """Return where in an RGB picture some classes are seen, roughly.

        Args:
            image: Of any size.
            classes: By their position among the labels; the likelier one weighs more.
        Returns:
            Left, top, right and bottom in shares of the picture; `None` where nothing lights up.
        """
        if not classes:
            return None
        features = self._net.features(self._inputs([image], LOCATE_PX))[0]
        chosen = torch.tensor(sorted(classes), device=self._device)
        probable = self._net.fc(features.mean((1, 2))).softmax(-1)[chosen]
        weights = (self._net.fc.weight[chosen] * (probable / probable.sum())[:, None]).sum(0)
        lit = F.relu(torch.einsum("c,chw->hw", weights, features)).cpu().numpy()
        return _box_of(lit)

    @torch.inference_mode()
    def _classify(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Tensor:
        logits: Tensor = self._net(self._inputs(images, SIZE_PX))
        return logits.softmax(-1).cpu()

    def _inputs(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], side_px: int) -> Tensor:
        pixels = torch.from_numpy(np.stack([_resized(image, side_px) for image in images]))
        # A batch of height x width x 3 seen as 3 x height x width is channels-last already.
        return ((pixels.to(self._device).float() - 127) / 128).permute(0, 3, 1, 2)


def read_labels() -> tuple[str, ...]:
    """Return the names of the classes in order, the synonyms of each joined by commas.

    Raises:
        MissingCapabilityError: Their package is not installed.
        WeightsError: The file is not the one that was published.
    """
    return tuple(parts.find(parts.CLASSIFIER_LABELS).read_text(encoding="utf-8").splitlines())


class EfficientNetLite(nn.Module):
    """The convolutions of Lite0, with their normalisation folded in."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        """Fold released weights.

        Raises:
            WeightsError: Weights are missing, or some have no place.
        """
        super().__init__()
        reader = _Reader(weights)
        self.stem = reader.convolution("_conv_stem", "_bn0", stride=2)
        blocks: list[nn.Module] = []
        for stage, n_layers in enumerate(_LAYERS):
            for layer in range(n_layers):
                is_first = layer == 0
                stride = _STRIDES[stage] if is_first else 1
                blocks.append(_Block(reader, len(blocks), stage, stride, is_residual=not is_first))
        self.blocks = nn.Sequential(*blocks)
        self.head = reader.convolution("_conv_head", "_bn1")
        self.fc = nn.Linear(self.head.out_channels, len(weights["_fc.bias"]))
        self.fc.weight.data, self.fc.bias.data = reader.take("_fc.weight"), reader.take("_fc.bias")
        reader.check_used()

    def forward(self, pixels: Float[Tensor, "image 3 h w"]) -> Float[Tensor, "image label"]:
        """Return logits; height and width are even down to a thirty-second."""
        logits: Tensor = self.fc(self.features(pixels).mean((2, 3)))
        return logits

    def features(
        self, pixels: Float[Tensor, "image 3 h w"]
    ) -> Float[Tensor, "image channel row column"]:
        """Return what the last layer weighs, for each cell of 32 by 32 pixels."""
        x = F.relu6(self.stem(pixels))
        return F.relu6(self.head(self.blocks(x)))


class _Block(nn.Module):
    """Expand, convolve each channel for itself, project: an inverted bottleneck."""

    def __init__(
        self, reader: "_Reader", idx: int, stage: int, stride: int, *, is_residual: bool
    ) -> None:
        super().__init__()
        name = f"_blocks.{idx}"
        has_expansion = _EXPANSIONS[stage] > 1
        self.expand = (
            reader.convolution(f"{name}._expand_conv", f"{name}._bn0") if has_expansion else None
        )
        self.depthwise = reader.convolution(
            f"{name}._depthwise_conv", f"{name}._bn1", stride=stride, is_depthwise=True
        )
        self.project = reader.convolution(f"{name}._project_conv", f"{name}._bn2")
        self.is_residual = is_residual

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.is_residual else y


class _SamePadded(nn.Conv2d):
    """A strided convolution that pads as TensorFlow does: the odd pixel right and below."""

    def forward(self, x: Tensor) -> Tensor:
        before = (self.kernel_size[0] - 2) // 2
        after = self.kernel_size[0] - 2 - before
        return super().forward(F.pad(x, (before, after, before, after)))


class _Reader:
    """Released weights, and which of them have found their place."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._weights = weights
        self._used: set[str] = set()

    def take(self, name: str) -> Tensor:
        if name not in self._weights:
            raise WeightsError(f"the classifier's weights lack {name}")
        self._used.add(name)
        return self._weights[name]

    def convolution(
        self, name: str, norm: str, *, stride: int = 1, is_depthwise: bool = False
    ) -> nn.Conv2d:
        weight = self.take(f"{name}.weight")
        scale = self.take(f"{norm}.weight") / (self.take(f"{norm}.running_var") + _NORM_EPS).sqrt()
        shift = self.take(f"{norm}.bias") - self.take(f"{norm}.running_mean") * scale
        n_out, n_in, size, _ = weight.shape
        groups = n_out if is_depthwise else 1
        kind = _SamePadded if stride > 1 else nn.Conv2d
        padding = 0 if stride > 1 else size // 2
        layer = kind(n_in * groups, n_out, size, stride=stride, padding=padding, groups=groups)
        layer.weight.data = weight * scale[:, None, None, None]
        layer.bias = nn.Parameter(shift)
        return layer

    def check_used(self) -> None:
        # The counters of training steps have no use here.
        unused = [
            name
            for name in self._weights
            if name not in self._used and not re.fullmatch(r".*\.num_batches_tracked", name)
        ]
        if unused:
            raise WeightsError(f"no place in the classifier for {', '.join(unused[:3])}")


def _box_of(lit: Float32[np.ndarray, "row column"]) -> tuple[float, float, float, float] | None:
    """Return the cells around the strongest one that light up with it, as shares."""
    if lit.max() <= 0:
        return None
    _, regions = cv2.connectedComponents((lit >= _LIT * lit.max()).astype(np.uint8))
    peak = np.unravel_index(int(lit.argmax()), lit.shape)
    rows, columns = np.nonzero(regions == regions[peak])
    height, width = lit.shape
    return (
        float(columns.min() / width),
        float(rows.min() / height),
        float((columns.max() + 1) / width),
        float((rows.max() + 1) / height),
    )


def _resized(image: UInt8[np.ndarray, "_ _ 3"], side_px: int) -> UInt8[np.ndarray, "_ _ 3"]:
    how = cv2.INTER_AREA if min(image.shape[:2]) > side_px else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (side_px, side_px), interpolation=how), dtype=np.uint8)
