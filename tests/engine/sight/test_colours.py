"""Colours of things, by the pixels in the middle of their boxes."""

import numpy as np
import pytest
from jaxtyping import UInt8

from engine.sight.colours import COLOURS, colours_of, is_monochrome, name_pixels
from engine.sight.detector import Detection

BOX = Detection(label="car", confidence=1.0, left=0.3, top=0.3, right=0.7, bottom=0.7)

Rgb = tuple[int, int, int]


def scene(thing: Rgb, around: Rgb, *, stripe: Rgb | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """A thing that fills `BOX`; a stripe covers its upper half."""
    image = np.full((100, 100, 3), around, np.uint8)
    image[30:70, 30:70] = thing
    if stripe is not None:
        image[30:50, 30:70] = stripe
    noise = np.random.default_rng(1).integers(-6, 7, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("pixel", "colour"),
    [
        ((20, 20, 22), "black"),
        ((235, 238, 240), "white"),
        ((128, 130, 126), "grey"),
        ((200, 25, 30), "red"),
        ((140, 20, 20), "red"),
        ((250, 130, 20), "orange"),
        ((240, 220, 40), "yellow"),
        ((40, 140, 50), "green"),
        ((20, 60, 30), "green"),
        ((30, 70, 190), "blue"),
        ((120, 170, 230), "blue"),
        ((25, 35, 80), "blue"),
        ((110, 40, 160), "purple"),
        ((240, 150, 190), "pink"),
        ((110, 65, 30), "brown"),
        ((150, 105, 75), "brown"),
    ],
)
def test_pixels_have_the_names_that_people_give_them(pixel: Rgb, colour: str) -> None:
    image = np.full((2, 2, 3), pixel, np.uint8)
    assert {COLOURS[idx] for idx in name_pixels(image).ravel()} == {colour}


def test_white_van_on_a_grey_road_and_red_car_in_the_grass() -> None:
    assert colours_of(scene((235, 236, 238), (120, 121, 119)), BOX) == ("white",)
    assert colours_of(scene((190, 20, 25), (60, 140, 50)), BOX) == ("red",)


def test_thing_of_the_colour_of_its_surround_keeps_it() -> None:
    assert colours_of(scene((40, 140, 50), (40, 140, 50)), BOX) == ("green",)


def test_two_halves_are_two_colours() -> None:
    shirt = scene((235, 236, 238), (120, 121, 119), stripe=(30, 70, 190))
    assert set(colours_of(shirt, BOX)) == {"white", "blue"}


def test_background_that_shows_through_is_not_its_colour() -> None:
    # A third of the middle is road.
    image = scene((190, 20, 25), (120, 121, 119))
    image[30:47, 30:70] = (120, 121, 119)
    assert colours_of(image, BOX) == ("red",)


def test_few_pixels_have_no_colour() -> None:
    tiny = Detection(label="car", confidence=1.0, left=0.5, top=0.5, right=0.55, bottom=0.55)
    assert colours_of(scene((190, 20, 25), (60, 140, 50)), tiny) == ()


def test_box_at_the_edge_of_the_picture_is_no_error() -> None:
    whole = Detection(label="car", confidence=1.0, left=0.0, top=0.0, right=1.0, bottom=1.0)
    assert colours_of(scene((190, 20, 25), (190, 20, 25)), whole) == ("red",)


def test_night_pictures_are_monochrome() -> None:
    grey = np.repeat(np.arange(0, 250, 2, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert is_monochrome(np.repeat(grey, 80, axis=0))
    assert not is_monochrome(scene((190, 20, 25), (60, 140, 50)))
