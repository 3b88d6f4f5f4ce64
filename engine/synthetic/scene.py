"""The view of a fixed camera when nothing happens: six places, by day or night, in any weather."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from engine.synthetic.canvas import Canvas, Pixels
from engine.synthetic.palette import Rgb

PLACES: Final = ("street", "car park", "corridor", "warehouse", "park", "gate")
LIGHTS: Final = ("day", "night")
WEATHERS: Final = ("clear", "rain", "fog")

ROAD_PLACES: Final = frozenset({"street", "car park", "gate"})
"""Where vehicles pass; people, dogs and bags are everywhere, bicycles outdoors."""
INDOOR_PLACES: Final = frozenset({"corridor", "warehouse"})

_NIGHT: Final = np.array([0.34, 0.38, 0.52])
_LAMP: Rgb = (255, 214, 150)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One camera's view, empty; `backdrop` is painted once and copied for every frame."""

    place: str
    light: str
    weather: str
    backdrop: Pixels
    grain: UInt8[np.ndarray, "grain_h grain_w 3"]
    """Sensor noise, two tones around 128; each frame takes another cut of it."""

    @property
    def dim(self) -> float:
        """Share of the day's light that falls on what passes."""
        return 0.78 if self.light == "night" and self.place not in INDOOR_PLACES else 1.0


def draw_scene(
    rng: np.random.Generator,
    height_px: int,
    width_px: int,
    *,
    place: str | None = None,
    light: str | None = None,
) -> Scene:
    """Paint a view; parts that are not given are drawn by lot."""
    place = place or str(rng.choice(PLACES))
    light = light or str(rng.choice(LIGHTS))
    weather = "clear" if place in INDOOR_PLACES else str(rng.choice(WEATHERS, p=(0.6, 0.2, 0.2)))
    pixels = np.zeros((height_px, width_px, 3), dtype=np.uint8)
    _PAINTERS[place](Canvas(pixels), rng)
    if light == "night":
        _darken(pixels, place, rng)
    _paint_weather(pixels, weather, rng)
    tone = rng.uniform(0.9, 1.08, size=3)
    pixels = np.clip(pixels * tone, 0, 255).astype(np.uint8)
    strength = rng.uniform(1.0, 4.0) * (1.6 if light == "night" else 1.0)
    grain = rng.normal(128, strength, size=(height_px + 32, width_px + 32, 1))
    grain = np.repeat(np.clip(grain, 96, 160), 3, axis=2).astype(np.uint8)
    return Scene(place=place, light=light, weather=weather, backdrop=pixels, grain=grain)


def blank_frame(scene: Scene, moment: int) -> Pixels:
    """Return a new frame of the empty view; `moment` picks the noise.

    Cost: two passes over the frame, about 0.3 ms at 640x360.
    """
    height_px, width_px = scene.backdrop.shape[:2]
    y, x = moment * 7 % 32, moment * 13 % 32
    grain = scene.grain[y : y + height_px, x : x + width_px]
    noisy: Pixels = cv2.addWeighted(scene.backdrop, 1.0, grain, 1.0, -128.0)
    return noisy


def _darken(pixels: Pixels, place: str, rng: np.random.Generator) -> None:
    level = _NIGHT * (1.5 if place in INDOOR_PLACES else 1.0)
    pixels[:] = (pixels * level).astype(np.uint8)
    canvas = Canvas(pixels)
    for x in (0.16, 0.84) if rng.random() < 0.7 else (0.5,):
        canvas.glow(x, 0.24, 0.75, _LAMP, 0.42)
        canvas.disc(x, 0.2, 0.018, (255, 244, 214))


def _paint_weather(pixels: Pixels, weather: str, rng: np.random.Generator) -> None:
    if weather == "fog":
        part = rng.uniform(0.25, 0.5)
        haze = float(pixels.mean()) * 0.6 + 60
        pixels[:] = (pixels * (1 - part) + haze * part).astype(np.uint8)
    if weather == "rain":
        canvas = Canvas(pixels)
        for x, y in rng.random((70, 2)):
            canvas.line([(x, y), (x - 0.006, y + 0.05)], (176, 186, 200), 0.003)


def _paint_sky_and_houses(canvas: Canvas, rng: np.random.Generator, ground_y: float | int) -> None:
    sky = int(rng.integers(150, 215))
    canvas.slope(0, ground_y, (sky - 50, sky - 15, sky + 30), (sky + 15, sky + 20, sky + 25))
    x = -0.05
    while x < 1.0:
        width, top = rng.uniform(0.14, 0.26), rng.uniform(0.06, 0.24)
        wall = rng.integers(110, 190) * np.array([1.0, 0.93, 0.86])
        canvas.box(x, top, x + width, ground_y, wall)
        canvas.box(x, top, x + width, top + 0.02, wall * 0.75)
        for row in np.arange(top + 0.06, ground_y - 0.08, 0.1):
            for column in np.arange(x + 0.02, x + width - 0.04, 0.055):
                canvas.box(column, row, column + 0.03, row + 0.055, wall * rng.uniform(0.4, 0.65))
        x += width + rng.uniform(0.0, 0.02)


def _paint_tree(canvas: Canvas, x: float | int, ground_y: float | int, tall: float | int) -> None:
    canvas.box(x - 0.008, ground_y - tall * 0.5, x + 0.008, ground_y, (92, 68, 48))
    for dx, dy, radius in ((-0.03, 0.55, 0.2), (0.035, 0.6, 0.19), (0.0, 0.8, 0.22)):
        green = (58 + 60 * dx, 104 + 300 * dx, 58)
        canvas.disc(x + dx, ground_y - tall * dy, tall * radius, green)


def _paint_street(canvas: Canvas, rng: np.random.Generator) -> None:
    _paint_sky_and_houses(canvas, rng, 0.46)
    canvas.slope(0.46, 0.58, (158, 154, 148), (172, 168, 160))
    road = int(rng.integers(78, 104))
    canvas.slope(0.58, 1.0, (road, road, road + 4), (road + 16, road + 16, road + 20))
    canvas.box(0, 0.575, 1, 0.59, (200, 198, 190))
    for x in np.arange(rng.uniform(-0.1, 0.0), 1.0, 0.19):
        canvas.fill([(x, 0.775), (x + 0.1, 0.775), (x + 0.11, 0.795), (x, 0.795)], (226, 224, 210))
    for x in rng.uniform(0.05, 0.95, size=2):
        _paint_tree(canvas, float(x), 0.55, 0.36)


def _paint_car_park(canvas: Canvas, rng: np.random.Generator) -> None:
    sky = int(rng.integers(165, 215))
    canvas.slope(0, 0.3, (sky - 40, sky - 12, sky + 25), (sky, sky + 8, sky + 14))
    wall = rng.integers(130, 176) * np.array([0.98, 0.95, 0.92])
    canvas.box(0.0, 0.14, 1.0, 0.34, wall)
    canvas.box(0.0, 0.14, 1.0, 0.16, wall * 0.7)
    canvas.slope(0.34, 1.0, (112, 114, 118), (134, 136, 138))
    lean = rng.uniform(0.06, 0.1)
    for x in np.arange(-0.1, 1.1, 0.17):
        canvas.line([(x + lean, 0.37), (x, 0.58)], (232, 230, 220), 0.012)
    canvas.line([(-0.1, 0.58), (1.1, 0.58)], (232, 230, 220), 0.012)
    canvas.line([(-0.1, 0.97), (1.1, 0.97)], (232, 230, 220), 0.014)
    canvas.box(0.44, 0.04, 0.56, 0.13, (40, 84, 160))
    canvas.line([(0.485, 0.12), (0.485, 0.055), (0.51, 0.055), (0.51, 0.085), (0.485, 0.085)],
                (240, 240, 240), 0.012)  # fmt: skip


def _paint_corridor(canvas: Canvas, rng: np.random.Generator) -> None:
    wall = rng.integers(176, 214) * np.array([1.0, 0.98, 0.92])
    canvas.box(-0.1, -0.1, 1.1, 1.1, wall)
    canvas.fill([(-0.1, -0.1), (1.1, -0.1), (0.64, 0.2), (0.36, 0.2)], wall * 1.08)
    canvas.fill([(-0.1, 1.1), (1.1, 1.1), (0.64, 0.52), (0.36, 0.52)], wall * 0.66)
    canvas.box(0.36, 0.2, 0.64, 0.52, wall * 0.84)
    canvas.box(0.45, 0.27, 0.55, 0.52, (126, 92, 66))
    door = np.array([rng.integers(90, 140), rng.integers(80, 110), 80])
    for side in (0.0, 1.0):
        near, far = abs(side - 0.1), abs(side - 0.22)
        canvas.fill([(near, 0.1), (far, 0.17), (far, 0.68), (near, 0.86)], door)
    for y in (0.02, 0.1):
        canvas.box(0.42 - y, y, 0.58 + y, y + 0.035, (255, 254, 244))


def _paint_warehouse(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.box(-0.1, -0.1, 1.1, 0.52, (136, 140, 146))
    canvas.slope(0.52, 1.0, (150, 146, 138), (176, 172, 162))
    boxes = np.array([(186, 146, 98), (168, 128, 84), (200, 164, 118), (120, 130, 142)])
    for x in np.arange(0.02, 0.98, 0.245):
        for y in (0.04, 0.2, 0.36):
            canvas.box(x, y + 0.13, x + 0.22, y + 0.155, (206, 112, 40))
            for column in np.arange(x + 0.01, x + 0.19, 0.052):
                if rng.random() < 0.85:
                    tall = rng.uniform(0.07, 0.12)
                    canvas.box(column, y + 0.13 - tall, column + 0.046, y + 0.13,
                               boxes[rng.integers(4)] * rng.uniform(0.85, 1.1))  # fmt: skip
        for post in (x, x + 0.22):
            canvas.box(post - 0.006, 0.02, post + 0.006, 0.54, (52, 82, 140))
    canvas.line([(-0.1, 0.6), (1.1, 0.6)], (230, 196, 40), 0.014)


def _paint_park(canvas: Canvas, rng: np.random.Generator) -> None:
    sky = int(rng.integers(170, 220))
    canvas.slope(0, 0.42, (sky - 60, sky - 15, sky + 30), (sky, sky + 12, sky + 20))
    for x in np.arange(0.0, 1.05, 0.12):
        canvas.disc(x + rng.uniform(-0.03, 0.03), 0.4, rng.uniform(0.08, 0.16), (84, 122, 84))
    canvas.slope(0.42, 1.0, (104, 148, 84), (124, 168, 92))
    canvas.fill([(-0.1, 0.72), (1.1, 0.66), (1.1, 0.86), (-0.1, 0.94)], (204, 188, 152))
    for x in rng.permutation([0.1, 0.32, 0.68, 0.9])[:3]:
        _paint_tree(canvas, float(x), rng.uniform(0.52, 0.6), rng.uniform(0.42, 0.54))
    x = rng.uniform(0.4, 0.55)
    canvas.box(x, 0.56, x + 0.12, 0.585, (120, 84, 54))
    canvas.box(x, 0.5, x + 0.12, 0.52, (120, 84, 54))
    for leg in (x + 0.01, x + 0.1):
        canvas.box(leg, 0.58, leg + 0.01, 0.64, (70, 60, 54))


def _paint_gate(canvas: Canvas, rng: np.random.Generator) -> None:
    sky = int(rng.integers(165, 215))
    canvas.slope(0, 0.5, (sky - 50, sky - 14, sky + 28), (sky + 6, sky + 12, sky + 18))
    canvas.slope(0.5, 1.0, (140, 136, 126), (160, 154, 142))
    for x in np.arange(-0.05, 1.05, 0.035):
        canvas.line([(x, 0.2), (x, 0.54)], (96, 100, 106), 0.008)
    for y in (0.22, 0.5):
        canvas.line([(-0.1, y), (1.1, y)], (86, 90, 96), 0.014)
    hut = rng.uniform(0.04, 0.1)
    canvas.box(hut, 0.2, hut + 0.17, 0.6, (208, 204, 190))
    canvas.box(hut - 0.012, 0.16, hut + 0.182, 0.21, (110, 60, 50))
    canvas.box(hut + 0.03, 0.28, hut + 0.14, 0.42, (92, 120, 142))
    for idx, x in enumerate(np.linspace(0.3, 0.92, 8)):
        canvas.box(x, 0.45, x + 0.078, 0.485, (206, 60, 52) if idx % 2 else (240, 238, 230))
    canvas.box(0.285, 0.43, 0.315, 0.62, (70, 72, 78))


_PAINTERS: Mapping[str, Callable[[Canvas, np.random.Generator], None]] = MappingProxyType(
    {
        "street": _paint_street,
        "car park": _paint_car_park,
        "corridor": _paint_corridor,
        "warehouse": _paint_warehouse,
        "park": _paint_park,
        "gate": _paint_gate,
    }
)
