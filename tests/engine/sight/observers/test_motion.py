"""Motion: what moves before a still camera, and nothing where the camera or the light does."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from engine.sight.observer import ObserverConfig, open_observer
from engine.sight.observers.motion import STEP_S
from tests.support.footage import DrawnFootage, observed

HEIGHT, WIDTH = 180, 320
CONFIG = ObserverConfig(models=Path())


def street(time_s: float) -> UInt8[np.ndarray, "h w 3"]:
    """A road with grain of its own."""
    texture = np.random.default_rng(4).integers(80, 120, (HEIGHT, WIDTH, 3))
    noise = np.random.default_rng(round(time_s * 1000)).integers(-3, 4, (HEIGHT, WIDTH, 3))
    return (texture + noise).astype(np.uint8)


def passing(time_s: float) -> UInt8[np.ndarray, "h w 3"]:
    """A bright car that drives from left to right between 6 s and 10 s."""
    image = street(time_s)
    if 6 <= time_s < 10:
        left = round((time_s - 6) * 65)
        image[90:130, left : left + 50] = 230
    return image


def panning(time_s: float) -> UInt8[np.ndarray, "h w 3"]:
    wide = np.random.default_rng(4).integers(0, 255, (HEIGHT // 10, WIDTH // 5, 3))
    image = np.kron(wide, np.ones((10, 10, 1))).astype(np.uint8)
    shift = round(time_s * 40) % WIDTH
    return np.ascontiguousarray(image[:, shift : shift + WIDTH])


def lights(time_s: float) -> UInt8[np.ndarray, "h w 3"]:
    return street(time_s) if time_s < 8 else (street(time_s) + 120).astype(np.uint8)


def test_car_that_passes_is_one_movement_with_its_way() -> None:
    (row,) = observed(open_observer("motion", CONFIG), DrawnFootage(passing, 14.0))
    assert (row.label, row.heading) == ("movement", "right")
    assert abs(row.span.start_s - 6.0) <= 0.4
    assert abs(row.span.end_s - 10.0) <= 0.6
    assert row.boxes[0].right < 0.3
    assert row.boxes[-1].left > 0.6


def test_noise_cuts_and_moving_cameras_are_no_movement() -> None:
    observer = open_observer("motion", CONFIG)
    for draw in (street, panning, lights):
        assert observed(observer, DrawnFootage(draw, 16.0)) == []


def test_observer_that_was_killed_goes_on() -> None:
    def late(time_s: float) -> UInt8[np.ndarray, "h w 3"]:
        return passing(time_s - 30.0 if time_s >= 30 else time_s)

    observer = open_observer("motion", CONFIG)
    whole = observed(observer, DrawnFootage(late, 45.0))
    assert len(whole) == 2
    first = next(iter(observer.observe(DrawnFootage(late, 45.0))))
    assert first.end_s == STEP_S
    resumed = observed(
        observer, DrawnFootage(late, 45.0), after_s=first.end_s, before=list(first.rows)
    )
    assert [row.heading for row in resumed] == ["right", "right"]
    assert abs(resumed[1].span.start_s - whole[1].span.start_s) <= 0.4


def test_somebody_in_the_dark_is_movement_and_the_noise_of_the_dark_is_none() -> None:
    def dark(time_s: float, draw: Callable[[float], UInt8[np.ndarray, "h w 3"]] = passing) -> Any:
        noise = np.random.default_rng(round(time_s * 1000)).normal(0, 1.0, (HEIGHT, WIDTH, 1))
        return np.clip(draw(time_s) * 0.08 + noise, 0, 255).astype(np.uint8)

    observer = open_observer("motion", CONFIG)
    (row,) = observed(observer, DrawnFootage(dark, 14.0))
    assert (row.label, row.heading) == ("movement", "right")
    assert observed(observer, DrawnFootage(partial(dark, draw=street), 16.0)) == []


def test_movement_is_seen_in_the_light_that_follows_the_dark() -> None:
    def dawn(time_s: float) -> UInt8[np.ndarray, "h w 3"]:
        return passing(time_s - 10.0) if time_s >= 10 else (street(time_s) * 0.05).astype(np.uint8)

    rows = observed(open_observer("motion", CONFIG), DrawnFootage(dawn, 24.0))
    assert [row.heading for row in rows] == ["right"]
