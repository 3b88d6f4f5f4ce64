"""Frames drawn once and kept as small squares: clips of a chunk, cards, and real footage.

A frame bank is a folder of `.npy` files: frames `item frame 64 64 3` uint8 and facts int16. Frames
go through the same PIL resize that the product uses. Cards are kept apart from clips, because a
card fills its frame and can be put into any clip later: a million videos out of a hundred thousand
drawings.
"""

import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import Int16, UInt8
from PIL import Image

from engine.records import TimeSpan
from engine.synthetic.actors import DIRECTIONS, half_width
from engine.synthetic.cards import draw_card, hold_card, random_card
from engine.synthetic.palette import SHAPES
from engine.synthetic.scene import LIGHTS, PLACES, Scene, blank_frame, draw_scene
from engine.synthetic.story import Event, Shot, Story, random_event
from engine.training.nano.captions import CARD, COLOUR_NAMES, FIELDS, KIND_NAMES

SIDE_PX: Final = 64
CHUNK_FRAMES: Final = 8
MAX_EVENTS: Final = 2
DRAWN_H, DRAWN_W = 180, 320
"""Size that frames are drawn at before they are squashed."""

Square = UInt8[np.ndarray, "side side 3"]


def squash(frame: UInt8[np.ndarray, "h w 3"]) -> Square:
    """Return the whole frame as the small square that the vision tower sees."""
    small = Image.fromarray(frame).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    return np.asarray(small)


def draw_clips(
    seed: int, n_clips: int
) -> tuple[
    UInt8[np.ndarray, "item frame side side 3"],
    Int16[np.ndarray, "item frame field"],
    Int16[np.ndarray, "item event extent"],
]:
    """Draw chunks of scene video with up to two actors each.

    Returns:
        Frames; facts of each frame; and each clip's events as the fields and then the first and
        the last frame that shows them, -1 where there is no event.
    """
    rng = np.random.default_rng([seed, 21])
    frames = np.empty((n_clips, CHUNK_FRAMES, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    facts = np.full((n_clips, CHUNK_FRAMES, len(FIELDS)), -1, dtype=np.int16)
    events = np.full((n_clips, MAX_EVENTS, len(FIELDS) + 2), -1, dtype=np.int16)
    scene = draw_scene(rng, DRAWN_H, DRAWN_W)
    for idx in range(n_clips):
        if idx % 3 == 0:
            scene = draw_scene(rng, DRAWN_H, DRAWN_W)
        planned = _plan_events(rng, scene)
        span = TimeSpan(start_s=0.0, end_s=float(CHUNK_FRAMES))
        story = Story(fps=1.0, shots=(Shot(span=span, scene=scene),), events=tuple(planned))
        quality = int(rng.integers(25, 96)) if rng.random() < 0.4 else None
        for at_s in range(CHUNK_FRAMES):
            frames[idx, at_s] = squash(compressed(story.frame(float(at_s)), quality))
        facts[idx, :, 6] = PLACES.index(scene.place)
        facts[idx, :, 7] = LIGHTS.index(scene.light)
        slot = 0
        for event in planned:
            visible = [at_s for at_s in range(CHUNK_FRAMES) if is_visible(event, at_s)]
            row = event_row(event)
            facts[idx, visible, :] = row
            if len(visible) >= 2:
                events[idx, slot, : len(FIELDS)] = row
                events[idx, slot, len(FIELDS) :] = visible[0], visible[-1]
                slot += 1
    return frames, facts, events


def draw_cards(
    seed: int, n_cards: int, *, held_out: bool, takes: int = 2, real: Sequence[Square] = ()
) -> tuple[
    UInt8[np.ndarray, "item frame side side 3"],
    Int16[np.ndarray, "item field"],
    np.ndarray,
]:
    """Draw cards held into the picture.

    Returns:
        Frames (several takes of each card), facts, and how askew each card may be, 0 to 1.
    """
    rng = np.random.default_rng([seed, 22])
    frames = np.empty((n_cards, takes, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    facts = np.full((n_cards, len(FIELDS)), -1, dtype=np.int16)
    sways = rng.random(n_cards).astype(np.float32)
    scene = draw_scene(rng, DRAWN_H, DRAWN_W)
    for idx in range(n_cards):
        if idx % 12 == 0:
            scene = draw_scene(rng, DRAWN_H, DRAWN_W)
        card = random_card(rng, held_out=held_out)
        facts[idx, 0] = CARD
        facts[idx, 1] = COLOUR_NAMES.index(card.colour)
        facts[idx, 2] = SHAPES.index(card.shape)
        facts[idx, 3:5] = int(card.code[0]), int(card.code[1])
        drawn = draw_card(card, DRAWN_H, DRAWN_W)
        for take in range(takes):
            if len(real) and rng.random() < 0.3:
                frame = cv2.resize(real[int(rng.integers(len(real)))], (DRAWN_W, DRAWN_H))
            elif rng.random() < 0.3:
                frame = np.empty((DRAWN_H, DRAWN_W, 3), dtype=np.uint8)
                frame[:] = rng.integers(40, 200, size=3, dtype=np.uint8)
            else:
                frame = blank_frame(scene, take)
            hold_card(frame, drawn, rng, sway=float(sways[idx]))
            quality = int(rng.integers(25, 96)) if rng.random() < 0.4 else None
            frames[idx, take] = squash(compressed(frame, quality))
    return frames, facts, sways


def read_footage(
    folder: Path, names: Sequence[str], seed: int, n_clips: int
) -> UInt8[np.ndarray, "item frame side side 3"]:
    """Read chunks of real recordings, cropped, mirrored, letterboxed and graded by lot."""
    rng = np.random.default_rng([seed, 23])
    recordings = [frames for name in names if (frames := list(_read_recording(folder / name)))]
    clips = np.empty((n_clips, CHUNK_FRAMES, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    for idx in range(n_clips):
        frames = recordings[rng.integers(len(recordings))]
        step = float(rng.uniform(0.2, max(0.25, min(4.0, (len(frames) - 1) / CHUNK_FRAMES))))
        start = rng.uniform(0, max(len(frames) - 1 - step * CHUNK_FRAMES, 0.01))
        augment = _Augmentation(rng)
        for number in range(CHUNK_FRAMES):
            frame = frames[int(start + number * step) % len(frames)]
            clips[idx, number] = squash(augment(frame))
    return clips


def draw_distractors(seed: int, n_frames: int) -> UInt8[np.ndarray, "frame side side 3"]:
    """Draw bars, blocks and polygons: what a search must not take for a card."""
    rng = np.random.default_rng([seed, 24])
    return np.stack([_draw_distractor(rng) for _ in range(n_frames)])


def _draw_distractor(rng: np.random.Generator) -> Square:
    frame = np.empty((SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    frame[:] = rng.integers(0, 256, size=3)
    form = int(rng.integers(3))
    if form == 0:
        edges = np.sort(rng.integers(0, SIDE_PX, size=rng.integers(2, 10)))
        for start, end in itertools.pairwise((0, *edges, SIDE_PX)):
            frame[:, start:end] = rng.integers(0, 256, size=3)
        if rng.random() < 0.5:
            frame = np.ascontiguousarray(frame.transpose(1, 0, 2))
        if rng.random() < 0.5:
            frame[int(rng.integers(10, 60)) :] = rng.integers(0, 256, size=3)
    elif form == 1:
        for _ in range(int(rng.integers(1, 12))):
            corners = rng.integers(-10, 74, size=(int(rng.integers(3, 6)), 2)).astype(np.int32)
            cv2.fillPoly(frame, [corners], rng.integers(0, 256, size=3).tolist(), cv2.LINE_AA)
    else:
        n = int(rng.integers(2, 12))
        blocks = rng.integers(0, 256, size=(n, n, 3)).astype(np.uint8)
        interpolation = cv2.INTER_CUBIC if rng.random() < 0.7 else cv2.INTER_NEAREST
        frame = cv2.resize(blocks, (SIDE_PX, SIDE_PX), interpolation=interpolation)
    return frame


class _Augmentation:
    """One random crop, mirroring, letterbox and grading, the same for all frames of a clip."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._mirror = rng.random() < 0.5
        self._crop = 0.3 * rng.random(4) if rng.random() < 0.7 else np.zeros(4)
        self._gain, self._lift = rng.uniform(0.7, 1.3, size=3), rng.uniform(-25, 25)
        self._plain = rng.random() < 0.3
        self._bar = float(rng.uniform(0.05, 0.15)) if rng.random() < 0.25 else 0.0
        self._upright = rng.random() < 0.5

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        height, width = frame.shape[:2]
        y0, y1 = int(self._crop[0] * height), height - int(self._crop[1] * height)
        x0, x1 = int(self._crop[2] * width), width - int(self._crop[3] * width)
        cut = frame[y0:y1, x0:x1]
        cut = cut[:, ::-1] if self._mirror else cut
        if not self._plain:
            cut = np.clip(cut * self._gain + self._lift, 0, 255).astype(np.uint8)
        cut = np.ascontiguousarray(cut)
        if self._bar:
            bar = int(self._bar * (cut.shape[0] if self._upright else cut.shape[1]))
            if self._upright:
                cut[:bar], cut[-bar:] = 0, 0
            else:
                cut[:, :bar], cut[:, -bar:] = 0, 0
        return cut


def event_row(event: Event) -> list[int]:
    """Return an event's facts, one value a field."""
    card = event.card
    return [
        KIND_NAMES.index(event.kind),
        -1 if event.colour is None else COLOUR_NAMES.index(event.colour),
        SHAPES.index(card.shape) if card else -1,
        int(card.code[0]) if card else -1,
        int(card.code[1]) if card else -1,
        -1 if event.direction is None else DIRECTIONS.index(event.direction),
        PLACES.index(event.place),
        LIGHTS.index(event.light),
    ]


def _plan_events(rng: np.random.Generator, scene: Scene) -> list[Event]:
    """Plan up to two events one after the other, some cut by the clip's ends."""
    planned: list[Event] = []
    n_events = int(rng.choice(3, p=(0.25, 0.45, 0.3)))
    at_s = float(rng.uniform(-1.5, 4.5 if n_events == 1 else 0.5))
    for _ in range(n_events):
        event = random_event(rng, scene, at_s, held_out=False, card=False)
        length_s = float(rng.uniform(3.2, 7.0 if n_events == 1 else 4.5))
        event = Event(
            span=TimeSpan(start_s=at_s, end_s=at_s + length_s),
            kind=event.kind,
            colour=event.colour,
            direction=event.direction,
            place=event.place,
            light=event.light,
            seed=event.seed,
        )
        at_s = event.span.end_s + float(rng.uniform(0, 0.6))
        planned.append(event)
    return planned


def is_visible(event: Event, at_s: int) -> bool:
    """Say whether an event's actor or card is in the picture at a second, far enough to be told."""
    if not event.span.contains(float(at_s)):
        return False
    if event.kind in ("bag", "card"):
        return True
    part = (at_s - event.span.start_s) / event.span.duration_s
    reach = half_width(event.kind)
    return -0.1 * reach < -reach * 0.6 + part * (1 + 1.2 * reach) < 1 + 0.1 * reach


def compressed(frame: np.ndarray, quality: int | None) -> np.ndarray:
    """Return the frame as a JPEG of that quality leaves it; as it is without one."""
    if quality is None:
        return frame
    packed = io.BytesIO()
    Image.fromarray(frame).save(packed, "JPEG", quality=quality)
    return np.asarray(Image.open(packed))


def _read_recording(path: Path) -> Iterator[np.ndarray]:
    """Read frames of a recording at about 4 a second, scaled to the size of drawn frames."""
    reader = cv2.VideoCapture(str(path))
    every = max(1, round((reader.get(cv2.CAP_PROP_FPS) or 25) / 4))
    idx = 0
    while reader.grab():
        if idx % every == 0:
            ok, frame = reader.retrieve()
            if ok:
                yield cv2.cvtColor(cv2.resize(frame, (DRAWN_W, DRAWN_H)), cv2.COLOR_BGR2RGB)
        idx += 1
    reader.release()
