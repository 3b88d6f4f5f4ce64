import numpy as np

from engine.synthetic.actors import DIRECTIONS, KINDS, draw_actor, half_width
from engine.synthetic.canvas import Canvas
from engine.synthetic.scene import LIGHTS, PLACES, blank_frame, draw_scene


def test_every_place_is_darker_at_night() -> None:
    for place in PLACES:
        day, night = (
            draw_scene(np.random.default_rng(1), 90, 160, place=place, light=light).backdrop.mean()
            for light in LIGHTS
        )
        assert night < day


def test_noise_changes_from_frame_to_frame_and_not_the_scene() -> None:
    scene = draw_scene(np.random.default_rng(0), 90, 160)
    first, second = blank_frame(scene, 1), blank_frame(scene, 2)
    assert (first != second).any()
    assert abs(first.mean() - scene.backdrop.mean()) < 1.5


def test_every_actor_is_drawn_where_it_stands() -> None:
    for kind in KINDS:
        for facing in (-1, 1):
            pixels = np.full((180, 320, 3), 128, dtype=np.uint8)
            draw_actor(Canvas(pixels), kind, "red", 0.5, 0.9, facing, 0.3)
            columns = np.nonzero((pixels != 128).any(axis=(0, 2)))[0] / 320
            assert abs(columns.mean() - 0.5) < 0.05
            assert np.ptp(columns) < 2.3 * half_width(kind) + 0.03
    assert DIRECTIONS == ("left", "right")
