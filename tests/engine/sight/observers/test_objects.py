"""Objects: the packaged detector over footage, on a picture that an installed package brings."""

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from jaxtyping import UInt8
from PIL import Image

from engine.sight.observer import ObserverConfig, open_observer
from engine.sight.observers.objects import STEP_S, ObjectObserver
from tests.support.footage import DrawnFootage, observed

Draw = Callable[[float], UInt8[np.ndarray, "h w 3"]]


@pytest.fixture(scope="module")
def observer(tmp_path_factory: pytest.TempPathFactory) -> ObjectObserver:
    opened = open_observer("objects", ObserverConfig(models=tmp_path_factory.mktemp("models")))
    assert isinstance(opened, ObjectObserver)
    return opened


@pytest.fixture(scope="module")
def visits() -> Draw:
    """Somebody in view from 3 s to 6 s, and from 36 s to 40 s; else an empty wall."""
    file = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    portrait = np.asarray(Image.open(file).convert("RGB").resize((256, 300)))
    wall = np.full_like(portrait, 128)
    return lambda time_s: portrait if 3 <= time_s < 6 or 36 <= time_s < 40 else wall


def test_each_visit_is_a_row_with_its_times(observer: ObjectObserver, visits: Draw) -> None:
    rows = observed(observer, DrawnFootage(visits, 43.0))
    people = [row for row in rows if row.label == "person"]
    assert [(row.span.start_s, row.span.end_s) for row in people] == [(3.0, 6.0), (36.0, 40.0)]
    assert {row.label for row in rows} == {"person", "tie"}
    assert (people[0].n_seen, people[0].n_looked) == (3, 3)
    assert {row.label for row in rows} < observer.labels


def test_observer_that_was_killed_goes_on(observer: ObjectObserver, visits: Draw) -> None:
    footage = DrawnFootage(visits, 43.0)
    whole = observed(observer, footage)
    steps = observer.observe(DrawnFootage(visits, 43.0))
    first = next(steps)
    assert first.end_s == STEP_S
    resumed = DrawnFootage(visits, 43.0)
    assert observed(observer, resumed, after_s=first.end_s, before=first.rows) == whole
    assert resumed.looked_at_s[0] == STEP_S
