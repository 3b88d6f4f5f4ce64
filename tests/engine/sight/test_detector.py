"""The packaged detector, on a picture that an installed package brings."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from jaxtyping import UInt8
from PIL import Image

from engine.sight.detector import Detector


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


@pytest.fixture(scope="module")
def portrait() -> UInt8[np.ndarray, "h w 3"]:
    """A woman in uniform with a tie."""
    file = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    return np.asarray(Image.open(file).convert("RGB"))


def test_person_and_tie_are_found_where_they_are(
    detector: Detector, portrait: UInt8[np.ndarray, "h w 3"]
) -> None:
    person, tie = detector.detect(portrait)
    assert (person.label, tie.label) == ("person", "tie")
    assert person.confidence > 0.7
    # The tie hangs below the middle; she fills the picture.
    assert person.right - person.left > 0.9
    assert 0.4 < tie.left < tie.right < 0.6
    assert 0.65 < tie.top < tie.bottom < 0.95


def test_nothing_is_found_where_nothing_is(detector: Detector) -> None:
    assert detector.detect(np.full((360, 640, 3), 128, np.uint8)) == ()


def test_channels_are_read_as_red_green_blue(
    detector: Detector, portrait: UInt8[np.ndarray, "h w 3"]
) -> None:
    swapped = detector.detect(np.ascontiguousarray(portrait[..., ::-1]))
    assert swapped != detector.detect(portrait)


def test_every_name_of_coco_once(detector: Detector) -> None:
    assert len(detector.labels) == len({*detector.labels}) == 80
    assert {"person", "dog", "car", "toothbrush"} < {*detector.labels}


def test_threads_do_not_see_each_others_pictures(
    detector: Detector, portrait: UInt8[np.ndarray, "h w 3"]
) -> None:
    pictures = [portrait, np.ascontiguousarray(portrait[:, ::-1]), portrait[:300]] * 2
    alone = [detector.detect(picture) for picture in pictures]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(detector.detect, pictures)) == alone
