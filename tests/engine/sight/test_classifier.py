"""The classifier: folded layers against plain ones, and pictures that packages bring."""

from pathlib import Path

import cv2
import gradio
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import WeightsError
from engine.sight import parts
from engine.sight.classifier import Classifier, EfficientNetLite

PICTURES = Path(gradio.__file__).parent / "media_assets" / "images"


def released_weights() -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(parts.find(parts.CLASSIFIER), weights_only=True)
    return weights


def plain_logits(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network as it was published: TensorFlow's padding, normalisation as a step of its own."""

    def convolve(x: Tensor, name: str, norm: str, stride: int = 1) -> Tensor:
        weight = weights[f"{name}.weight"]
        size, groups = weight.shape[-1], x.shape[1] // weight.shape[1]
        total = max((-(-x.shape[-1] // stride) - 1) * stride + size - x.shape[-1], 0)
        x = F.pad(x, (total // 2, total - total // 2) * 2)
        x = F.conv2d(x, weight, stride=stride, groups=groups)
        moments = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
        scale = weights[f"{norm}.weight"], weights[f"{norm}.bias"]
        return F.batch_norm(x, *moments, *scale, eps=1e-3)

    x = F.relu6(convolve(x, "_conv_stem", "_bn0", 2))
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    for idx, stride in enumerate(strides):
        name, before = f"_blocks.{idx}", x
        if f"{name}._expand_conv.weight" in weights:
            x = F.relu6(convolve(x, f"{name}._expand_conv", f"{name}._bn0"))
        x = F.relu6(convolve(x, f"{name}._depthwise_conv", f"{name}._bn1", stride))
        x = convolve(x, f"{name}._project_conv", f"{name}._bn2")
        if stride == 1 and x.shape == before.shape:
            x = x + before
    x = F.relu6(convolve(x, "_conv_head", "_bn1")).mean((2, 3))
    return F.linear(x, weights["_fc.weight"], weights["_fc.bias"])


def test_folded_layers_equal_the_published_ones() -> None:
    weights = released_weights()
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    net = EfficientNetLite(weights).eval()
    with torch.no_grad():
        assert (net(pixels) - plain_logits(weights, pixels)).abs().max() < 1e-3


def test_weights_that_do_not_fit_are_named() -> None:
    weights = released_weights()
    with pytest.raises(WeightsError, match="_surplus"):
        EfficientNetLite({**weights, "_surplus": torch.zeros(1)})
    del weights["_blocks.3._bn1.bias"]
    with pytest.raises(WeightsError, match=r"_blocks\.3\._bn1\.bias"):
        EfficientNetLite(weights)


def test_animals_are_recognised_whatever_the_size_of_the_picture() -> None:
    classifier = Classifier()
    names = ("cheetah", "lion")
    pictures = [np.asarray(cv2.imread(str(PICTURES / f"{name}.jpg")))[..., ::-1] for name in names]
    pictures.append(np.ascontiguousarray(pictures[0][::4, ::4]))
    probabilities = classifier.probabilities(pictures)
    best = [classifier.labels[idx] for idx in probabilities.argmax(-1).tolist()]
    assert [label.split(",")[0] for label in best] == ["cheetah", "lion", "cheetah"]
    assert torch.allclose(probabilities.sum(-1), torch.ones(3), atol=1e-4)
    assert classifier.probabilities([]).shape == (0, 1000)


@pytest.mark.parametrize("left_px", [0, 400])
def test_class_is_located_where_it_stands(left_px: int) -> None:
    lion = cv2.cvtColor(cv2.imread(str(PICTURES / "lion.jpg")), cv2.COLOR_BGR2RGB)
    picture = np.full((400, 800, 3), 128, np.uint8)
    picture[:, left_px : left_px + 400] = cv2.resize(lion, (400, 400))
    box = Classifier().locate(picture, {291})
    assert box is not None
    left, _, right, _ = box
    assert abs((left + right) / 2 - (left_px + 200) / 800) < 0.2
    assert right - left < 0.7


def test_no_class_has_no_place() -> None:
    assert Classifier().locate(np.zeros((40, 40, 3), np.uint8), ()) is None
