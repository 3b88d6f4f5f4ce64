"""The encoder of concepts over pictures that packages bring."""

import re
from functools import partial
from pathlib import Path

import cv2
import gradio
import matplotlib
import numpy as np
import pytest
import torch
from torch import Tensor

from engine.errors import InputRefusedError
from engine.sight.detector import Detection, Detector
from engine.sight.encoders.concepts import MEASURED, Concepts, open_encoder

GRADIO = Path(gradio.__file__).parent / "media_assets" / "images"
PORTRAIT = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
PICTURES = (GRADIO / "cheetah.jpg", GRADIO / "lion.jpg", GRADIO / "tower.jpg", PORTRAIT)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("concepts")


@pytest.fixture(scope="module")
def encoder(cache: Path) -> Concepts:
    return open_encoder(cache=cache)


@pytest.fixture(scope="module")
def vectors(encoder: Concepts) -> Tensor:
    pictures = [np.ascontiguousarray(cv2.imread(str(path))[..., ::-1]) for path in PICTURES]
    return encoder.encode_images(pictures)


def log_odds(encoder: Concepts, vectors: Tensor, text: str) -> Tensor:
    return encoder.log_odds(text, encoder.queries(text) @ vectors.T)


@pytest.mark.parametrize(
    ("text", "picture"),
    [
        ("a cheetah", 0),
        ("lions", 1),
        ("a king of beasts", 1),
        ("a church tower", 2),
        ("somebody in a military uniform", 3),
        ("a naval officer", 3),
    ],
)
def test_a_phrase_finds_its_picture(
    encoder: Concepts, vectors: Tensor, text: str, picture: int
) -> None:
    assert log_odds(encoder, vectors, text).argmax() == picture


def test_present_things_are_likely_and_absent_ones_are_not(
    encoder: Concepts, vectors: Tensor
) -> None:
    for text, picture in (("a big cat", 0), ("an animal", 1), ("a lion", 1)):
        assert log_odds(encoder, vectors, text)[picture] > 0, text
    for text in ("a truck", "a piano", "an octopus playing chess", "broccoli"):
        assert log_odds(encoder, vectors, text).max() < 0, text


class OneThing:
    """A detector that sees the same thing in every picture."""

    def __init__(self, label: str, confidence: float) -> None:
        self.label, self.confidence = label, confidence

    def detect(self, image: np.ndarray) -> tuple[Detection, ...]:
        box = {"left": 0.0, "top": 0.0, "right": 1.0, "bottom": 1.0}
        return (Detection(label=self.label, confidence=self.confidence, **box),)


def test_what_the_detector_sees_counts_and_a_wider_label_alone_claims_nothing(
    encoder: Concepts, cache: Path
) -> None:
    picture = np.asarray(cv2.imread(str(GRADIO / "tower.jpg")))
    odds = {}
    for confidence in (0.9, 0.0):
        seeing = Concepts(
            detector=partial(OneThing, "person", confidence), labels=Detector.labels, cache=cache
        )
        vectors = seeing.encode_images([picture])
        odds[confidence] = [
            float(log_odds(seeing, vectors, text)) for text in ("people", "a policeman")
        ]
    assert odds[0.9][0] > 0 > odds[0.0][0]
    assert odds[0.9][1] < 0


def test_the_vectors_of_names_are_kept_and_a_damaged_file_is_made_again(
    encoder: Concepts, vectors: Tensor, cache: Path
) -> None:
    path = cache / f"{encoder.card.fingerprint}.names"
    kept = path.read_bytes()
    path.write_bytes(b"no tensors")
    again = open_encoder(cache=cache)
    assert torch.allclose(again.queries("a dog"), encoder.queries("a dog"), atol=1e-5)
    assert path.read_bytes() == kept


def test_a_checkpoint_is_refused() -> None:
    with pytest.raises(InputRefusedError, match="no checkpoints"):
        open_encoder("google/siglip")


def test_card_states_the_rates_of_the_page_on_models() -> None:
    page = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| real clips, (.+)\|$", page, re.MULTILINE)
    cells = [cell.strip() for cell in row.split("|")]
    rates = cells[2:]
    assert [rate for rate in re.findall(r"0\.\d\d", MEASURED)] == rates
