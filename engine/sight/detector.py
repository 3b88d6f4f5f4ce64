"""SSD MobileNetV2 on COCO through OpenCV's DNN: 80 kinds of things, with boxes.

Its confidence must not ground a statement alone: it has called cars seen from straight above a
"cell phone" at 1.00, and a running cheetah a "bird" at 1.00 (COCO has neither view nor animal).

Decision: one pass over the whole picture, because four overlapping tiles cost four times as much
and found neither the small cyclist that was missed nor dropped the false "cell phone". Revisit
with a detector of larger input.
Source: arXiv:1801.04381 (MobileNetV2), arXiv:1512.02325 (SSD); the checkpoint of 2018-03-29.
"""

import threading
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import UInt8

from engine.sight import parts

NAME: Final = "ssd_mobilenet_v2_coco_2018_03_29"
LOWEST_CONFIDENCE: Final = 0.25
"""Below it nearly everything is a mistake; what is above still needs a second witness."""
_INPUT_PX: Final = 300

# The label map of COCO has gaps: numbers that were planned and never annotated.
_LABEL_MAP: Final = (
    "person|bicycle|car|motorcycle|airplane|bus|train|truck|boat|traffic light|fire hydrant||"
    "stop sign|parking meter|bench|bird|cat|dog|horse|sheep|cow|elephant|bear|zebra|giraffe||"
    "backpack|umbrella|||handbag|tie|suitcase|frisbee|skis|snowboard|sports ball|kite|"
    "baseball bat|baseball glove|skateboard|surfboard|tennis racket|bottle||wine glass|cup|"
    "fork|knife|spoon|bowl|banana|apple|sandwich|orange|broccoli|carrot|hot dog|pizza|donut|"
    "cake|chair|couch|potted plant|bed||dining table|||toilet||tv|laptop|mouse|remote|keyboard|"
    "cell phone|microwave|oven|toaster|sink|refrigerator||book|clock|vase|scissors|teddy bear|"
    "hair drier|toothbrush"
)
_NAMES: Final = {number: name for number, name in enumerate(_LABEL_MAP.split("|"), start=1) if name}


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """A thing in one picture; sides are shares of its width and height, from the upper left."""

    label: str
    confidence: float
    left: float
    top: float
    right: float
    bottom: float


class Detector:
    """The network, loaded once; threads take turns."""

    model: Final = NAME
    labels: Final = tuple(_NAMES.values())

    def __init__(self) -> None:
        """Load the network.

        Raises:
            MissingCapabilityError: The package with its weights is not installed.
            WeightsError: They are not the file that was published.
        """
        graph, text = parts.find(parts.DETECTOR), parts.find(parts.DETECTOR_GRAPH)
        # Late: OpenCV, which whoever wants the labels alone does without.
        import cv2

        self._net = cv2.dnn.readNetFromTensorflow(str(graph), str(text))
        self._blob = cv2.dnn.blobFromImage
        # A network holds its input between two calls.
        self._lock = threading.Lock()

    def detect(self, image: UInt8[np.ndarray, "h w 3"]) -> tuple[Detection, ...]:
        """Find things in an RGB picture of any size, the surest first.

        Cost: 0.1 s of one core.
        """
        # As it was trained: squashed to a square, RGB, neither mean nor scale.
        blob = self._blob(image, size=(_INPUT_PX, _INPUT_PX))
        with self._lock:
            self._net.setInput(blob)
            rows = self._net.forward()[0, 0]
        detections = [
            Detection(
                label=_NAMES[int(number)],
                confidence=float(confidence),
                left=float(left),
                top=float(top),
                right=float(right),
                bottom=float(bottom),
            )
            for _, number, confidence, *sides in rows
            if confidence >= LOWEST_CONFIDENCE and int(number) in _NAMES
            for left, top, right, bottom in [np.clip(sides, 0.0, 1.0)]
            if right > left and bottom > top
        ]
        return tuple(sorted(detections, key=lambda detection: -detection.confidence))
