"""Other detectors by folder: a checkpoint of transformers, or the same exported to ONNX.

Any detector of the DETR kind will do: RT-DETR, RT-DETRv2, D-FINE, DETR. Its folder holds
`config.json` with the names of its labels, and either `model.safetensors` or `model.onnx`.
"""

import json
import threading
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from engine.errors import NotFoundError, WeightsError
from engine.sight.detector import LOWEST_CONFIDENCE, Detection, Detector

_MOST: Final = 100
"""Detections of a picture; a street in rush hour has fewer."""


@runtime_checkable
class ObjectDetector(Protocol):
    """Whatever finds things in one picture."""

    @property
    def model(self) -> str:
        """Its name and version."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label that it can state."""
        ...

    def detect(self, image: UInt8[np.ndarray, "h w 3"]) -> tuple[Detection, ...]:
        """Find things in an RGB picture of any size, the surest first; threads take turns."""
        ...


def open_detector(folder: str | None) -> ObjectDetector:
    """Return the packaged detector, or the one in a folder.

    Raises:
        NotFoundError: No such folder, or no detector in it.
        WeightsError: It is none of the DETR kind, or its file is damaged.
    """
    if folder is None:
        return Detector()
    path = Path(folder).expanduser()
    if not (path / "config.json").is_file():
        raise NotFoundError(
            f"{path}: no detector there",
            hint="give a folder with config.json and model.safetensors or model.onnx",
        )
    return OnnxDetector(path) if (path / "model.onnx").is_file() else TransformersDetector(path)


class TransformersDetector:
    """A checkpoint that `AutoModelForObjectDetection` reads."""

    def __init__(self, folder: Path) -> None:
        # Late: torch and transformers, which the packaged detector does without.
        import torch
        from transformers import AutoModelForObjectDetection

        self._torch = torch
        self._config = _Config(folder)
        try:
            self._net = AutoModelForObjectDetection.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            ).eval()
        except (OSError, ValueError, RuntimeError) as error:
            raise WeightsError(f"{folder}: not a detector ({error})") from error
        self._lock = threading.Lock()

    @property
    def model(self) -> str:
        """The folder's name."""
        return self._config.name

    @property
    def labels(self) -> tuple[str, ...]:
        """The names in its config."""
        return self._config.labels

    def detect(self, image: UInt8[np.ndarray, "h w 3"]) -> tuple[Detection, ...]:
        """Find things in an RGB picture of any size, the surest first."""
        with self._lock, self._torch.inference_mode():
            pixels = self._torch.from_numpy(self._config.prepare(image))
            output = self._net(pixel_values=pixels)
        return self._config.read(output.logits[0].numpy(), output.pred_boxes[0].numpy())


class OnnxDetector:
    """An export with the outputs `logits` and `pred_boxes`, run by ONNX Runtime."""

    def __init__(self, folder: Path) -> None:
        # Late: ONNX Runtime takes half a second to import.
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as errors

        self._config = _Config(folder)
        try:
            self._session = onnxruntime.InferenceSession(
                str(folder / "model.onnx"), providers=["CPUExecutionProvider"]
            )
        except (
            errors.Fail,
            errors.InvalidArgument,
            errors.InvalidGraph,
            errors.InvalidProtobuf,
            errors.NotImplemented,
            errors.RuntimeException,
        ) as error:
            raise WeightsError(f"{folder}: not a detector ({error})") from error
        names = {output.name for output in self._session.get_outputs()}
        if not {"logits", "pred_boxes"} <= names:
            raise WeightsError(f"{folder}: outputs are {sorted(names)}, not logits and pred_boxes")

    @property
    def model(self) -> str:
        """The folder's name."""
        return self._config.name

    @property
    def labels(self) -> tuple[str, ...]:
        """The names in its config."""
        return self._config.labels

    def detect(self, image: UInt8[np.ndarray, "h w 3"]) -> tuple[Detection, ...]:
        """Find things in an RGB picture of any size, the surest first."""
        name = self._session.get_inputs()[0].name
        logits, boxes = self._session.run(
            ["logits", "pred_boxes"], {name: self._config.prepare(image)}
        )
        return self._config.read(logits[0], boxes[0])


class _Config:
    """Names of labels, preparation of pictures and reading of outputs, as a folder states them."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        config = _read_json(folder / "config.json")
        names = {int(number): name for number, name in config.get("id2label", {}).items()}
        if not names:
            raise WeightsError(f"{folder}: config.json names no labels")
        self._names = {number: str(name).lower() for number, name in names.items()}
        self.labels = tuple(dict.fromkeys(self._names.values()))
        # DETR has a last class for "nothing" and shares out; those after it judge each label.
        self._is_softmax = config.get("model_type") in {"detr", "conditional_detr", "yolos"}
        preparation = _read_json(folder / "preprocessor_config.json")
        size = preparation.get("size", {})
        self._side_px = int(size.get("height", size.get("shortest_edge", 640)))
        self._mean = np.zeros(3, np.float32)
        self._std = np.ones(3, np.float32)
        if preparation.get("do_normalize", self._is_softmax):
            self._mean = np.array(preparation.get("image_mean", [0.485, 0.456, 0.406]), np.float32)
            self._std = np.array(preparation.get("image_std", [0.229, 0.224, 0.225]), np.float32)

    def prepare(self, image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "1 3 h2 w2"]:
        """Return a picture squashed to the side that the network was trained at."""
        square = cv2.resize(image, (self._side_px, self._side_px), interpolation=cv2.INTER_AREA)
        pixels = (square.astype(np.float32) / 255 - self._mean) / self._std
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]).astype(np.float32)

    def read(
        self,
        logits: Float32[np.ndarray, "query label"],
        boxes: Float32[np.ndarray, "query 4"],
    ) -> tuple[Detection, ...]:
        """Return detections of centre, width and height; each query states its surest label."""
        if self._is_softmax:
            exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
            scores = (exponents / exponents.sum(axis=1, keepdims=True))[:, :-1]
        else:
            scores = 1 / (1 + np.exp(-logits))
        best, surest = scores.argmax(axis=1), scores.max(axis=1)
        detections = []
        for idx in np.argsort(-surest)[:_MOST]:
            label = self._names.get(int(best[idx]))
            across, down, width, height = (float(value) for value in boxes[idx])
            left, right = max(0.0, across - width / 2), min(1.0, across + width / 2)
            top, bottom = max(0.0, down - height / 2), min(1.0, down + height / 2)
            if label and surest[idx] >= LOWEST_CONFIDENCE and right > left and bottom > top:
                detections.append(
                    Detection(
                        label=label,
                        confidence=float(surest[idx]),
                        left=left,
                        top=top,
                        right=right,
                        bottom=bottom,
                    )
                )
        return tuple(detections)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WeightsError(f"{file}: cannot be read ({error})") from error
    return content if isinstance(content, dict) else {}
