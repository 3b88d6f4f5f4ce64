"""Other detectors by folder: any checkpoint of the DETR kind, and the same as ONNX."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import NotFoundError, WeightsError
from engine.sight.detector import Detector
from engine.sight.detectors import TransformersDetector, _Config, open_detector


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random RT-DETR in the layout of the released ones, so small that nothing is learned."""
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig

    torch.manual_seed(3)
    config = RTDetrConfig(
        backbone_config=RTDetrResNetConfig(
            embedding_size=8,
            hidden_sizes=[8, 8, 16, 16],
            depths=[1, 1, 1, 1],
            layer_type="basic",
            out_features=["stage2", "stage3", "stage4"],
        ),
        encoder_hidden_dim=16,
        encoder_in_channels=[8, 16, 16],
        feat_strides=[8, 16, 32],
        encoder_layers=1,
        encoder_ffn_dim=16,
        encoder_attention_heads=2,
        d_model=16,
        num_queries=20,
        decoder_in_channels=[16, 16, 16],
        decoder_ffn_dim=16,
        decoder_layers=1,
        decoder_attention_heads=2,
        num_denoising=0,
        use_pretrained_backbone=False,
        id2label={0: "Person", 1: "fox"},
        label2id={"Person": 0, "fox": 1},
    )
    folder = tmp_path_factory.mktemp("rtdetr_tiny")
    RTDetrForObjectDetection(config).save_pretrained(folder)
    preparation = {"do_normalize": False, "size": {"height": 64, "width": 64}}
    (folder / "preprocessor_config.json").write_text(json.dumps(preparation))
    return folder


def test_checkpoint_of_the_released_layout_looks(checkpoint: Path) -> None:
    detector = open_detector(str(checkpoint))
    assert isinstance(detector, TransformersDetector)
    assert detector.labels == ("person", "fox")
    image = np.random.default_rng(1).integers(0, 255, (90, 160, 3), np.uint8)
    detections = detector.detect(image)
    assert detections == detector.detect(image)
    confidences = [detection.confidence for detection in detections]
    assert confidences == sorted(confidences, reverse=True)
    for detection in detections:
        assert detection.label in detector.labels
        assert 0 <= detection.left < detection.right <= 1
        assert 0 <= detection.top < detection.bottom <= 1


def test_nothing_named_is_the_packaged_one() -> None:
    assert isinstance(open_detector(None), Detector)


def config_of(folder: Path, **facts: object) -> _Config:
    folder.mkdir(exist_ok=True)
    labels = {"id2label": {"0": "Dog", "1": "cat"}}
    (folder / "config.json").write_text(json.dumps({**labels, **facts}))
    return _Config(folder)


def test_outputs_are_read_as_boxes_around_their_centres(tmp_path: Path) -> None:
    config = config_of(tmp_path / "sigmoid", model_type="rt_detr")
    logits = np.array([[-9.0, 2.0], [4.0, -9.0], [-9.0, -9.0]], np.float32)
    boxes = np.array([[0.5, 0.5, 0.2, 0.4], [0.1, 0.5, 0.4, 0.2], [0.5, 0.5, 1, 1]], np.float32)
    dog, cat = config.read(logits, boxes)
    assert (dog.label, cat.label) == ("dog", "cat")
    assert cat.confidence == pytest.approx(1 / (1 + np.exp(-2.0)))
    assert (cat.left, cat.top, cat.right, cat.bottom) == pytest.approx((0.4, 0.3, 0.6, 0.7))
    # What reaches out of the picture ends at its edge.
    assert (dog.left, dog.right) == pytest.approx((0.0, 0.3))


def test_last_class_of_detr_is_nothing(tmp_path: Path) -> None:
    config = config_of(tmp_path / "softmax", model_type="detr")
    logits = np.array([[0.0, 0.0, 9.0], [0.0, 9.0, 0.0]], np.float32)
    boxes = np.full((2, 4), 0.5, np.float32)
    (cat,) = config.read(logits, boxes)
    assert cat.label == "cat"
    assert cat.confidence > 0.99


def field(number: int, value: int | bytes) -> bytes:
    """One field of a protocol buffer: a number, or anything that has a length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    head, rest = value & 127, value >> 7
    return bytes([head | 128]) + varint(rest) if rest else bytes([head])


def constant(name: str, value: np.ndarray) -> bytes:
    """A node of ONNX that gives out a tensor, whatever comes in."""
    tensor = b"".join(field(1, size) for size in value.shape) + field(2, 1)
    tensor += field(9, value.astype(np.float32).tobytes())
    attribute = field(1, b"value") + field(5, tensor) + field(20, 4)
    return field(2, name.encode()) + field(4, b"Constant") + field(5, attribute)


def value_info(name: str, *shape: int) -> bytes:
    sizes = b"".join(field(1, field(1, size)) for size in shape)
    return field(1, name.encode()) + field(2, field(1, field(1, 1) + field(2, sizes)))


def onnx_model(logits: np.ndarray, boxes: np.ndarray) -> bytes:
    """A model that sees the same in every picture, written as ONNX's `onnx.proto` has it."""
    graph = field(1, constant("logits", logits)) + field(1, constant("pred_boxes", boxes))
    graph += field(2, b"seer") + field(11, value_info("pixel_values", 1, 3, 640, 640))
    graph += field(12, value_info("logits", *logits.shape))
    graph += field(12, value_info("pred_boxes", *boxes.shape))
    return field(1, 8) + field(7, graph) + field(8, field(2, 13))


def test_export_to_onnx_is_read(tmp_path: Path) -> None:
    config_of(tmp_path, model_type="rt_detr")
    logits, boxes = np.array([[[-9.0, 2.0]]]), np.array([[[0.5, 0.5, 0.2, 0.4]]])
    (tmp_path / "model.onnx").write_bytes(onnx_model(logits, boxes))
    detector = open_detector(str(tmp_path))
    (cat,) = detector.detect(np.zeros((90, 160, 3), np.uint8))
    assert (cat.label, detector.labels) == ("cat", ("dog", "cat"))
    assert (cat.left, cat.top, cat.right, cat.bottom) == pytest.approx((0.4, 0.3, 0.6, 0.7))


def test_folders_that_hold_no_detector_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no detector there"):
        open_detector(str(tmp_path / "nowhere"))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match="names no labels"):
        open_detector(str(tmp_path))
    (tmp_path / "config.json").write_text('{"id2label": {"0": "dog"}}')
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(WeightsError, match="not a detector"):
        open_detector(str(tmp_path))
