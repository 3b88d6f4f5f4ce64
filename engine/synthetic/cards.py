"""Needles: a card with a coloured shape and a two-digit code, held before the camera."""

from dataclasses import dataclass

import cv2
import numpy as np

from engine.synthetic import grammar
from engine.synthetic.canvas import Canvas, Pixels
from engine.synthetic.palette import COLOURS, N_CODES, SHAPES, digit_strokes, shape_outline

SWAY = 0.6
"""How askew cards are held in stories and probes; training draws from 0 to 1, and nano reads
codes at 0.5 without a mistake, at 1 with one in seven wrong (60 held-out cards)."""
_PAPER = (247, 244, 232)
_DARK_PAPER = (52, 58, 74)
_INK = (24, 24, 30)
_CHALK = (244, 240, 226)
_SKIN = (222, 174, 140)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Card:
    """The content of a card."""

    colour: str
    shape: str
    code: str

    def __post_init__(self) -> None:
        if self.colour not in COLOURS:
            raise ValueError(f"colour must be one of {', '.join(COLOURS)}, not {self.colour!r}")
        if self.shape not in SHAPES:
            raise ValueError(f"shape must be one of {', '.join(SHAPES)}, not {self.shape!r}")
        if len(self.code) != 2 or not self.code.isdigit():
            raise ValueError(f"code must be two digits, not {self.code!r}")

    @property
    def is_held_out(self) -> bool:
        """Whether nano never saw this combination in training: one in five, for evaluation."""
        colour, shape = list(COLOURS).index(self.colour), SHAPES.index(self.shape)
        return (colour * 31 + shape * 17 + int(self.code) * 7) % 5 == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CardNeedle:
    """A picture to plant as one frame, with a question that only this picture answers."""

    image: Pixels
    question: str
    answer: str
    aliases: tuple[str, ...]
    card: Card


def draw_needle(seed: int, *, height_px: int = 360, width_px: int = 640) -> CardNeedle:
    """Draw a held-out card that fills the frame, with a question about one of its three facts.

    Seeds run through the facts in turn (shape, colour, code), so any three seeds in a row ask all.
    """
    rng = np.random.default_rng([seed, 7])
    card = random_card(rng, held_out=True)
    image = np.empty((height_px, width_px, 3), dtype=np.uint8)
    image[:] = rng.integers(70, 150, size=3, dtype=np.uint8)
    hold_card(image, draw_card(card, height_px, width_px), rng)
    question, answer, aliases = _needle_question(card, ("shape", "colour", "code")[seed % 3])
    return CardNeedle(image=image, question=question, answer=answer, aliases=aliases, card=card)


def random_card(rng: np.random.Generator, *, held_out: bool | None = None) -> Card:
    """Draw any card by lot; with `held_out`, only from that side of the split."""
    while True:
        card = Card(
            colour=str(rng.choice(list(COLOURS))),
            shape=str(rng.choice(SHAPES)),
            code=f"{rng.integers(N_CODES):02d}",
        )
        if held_out is None or card.is_held_out == held_out:
            return card


def draw_card(card: Card, height_px: int, width_px: int) -> Pixels:
    """Draw the card alone, filling the picture: shape on the left, code on the right."""
    dark = card.colour in ("white", "yellow")
    paper, ink = (_DARK_PAPER, _CHALK) if dark else (_PAPER, _INK)
    pixels = np.empty((height_px, width_px, 3), dtype=np.uint8)
    canvas = Canvas(pixels)
    canvas.box(-0.01, -0.01, 1.01, 1.01, ink)
    canvas.box(0.012, 0.02, 0.988, 0.98, paper)
    outline = shape_outline(card.shape) * (0.205, 0.38) + (0.265, 0.5)
    canvas.fill(outline, COLOURS[card.colour])
    for digit, left in zip(card.code, (0.54, 0.775), strict=True):
        for stroke in digit_strokes(digit):
            canvas.line(stroke * (0.135, 0.6) + (left, 0.2), ink, 0.085)
    return pixels


def hold_card(
    frame: Pixels, card: Pixels, rng: np.random.Generator, *, sway: float | int = SWAY
) -> None:
    """Hold a drawn card before the camera: over nearly the whole frame, slightly askew.

    Args:
        frame: The picture to draw on, in place.
        card: From `draw_card`, of the frame's size.
        rng: Chooses place, size and tilt; the same state gives the same pose.
        sway: How far the pose may stray from centred and upright; 0 is exact, 1 the most that
            training draws.
    """
    height_px, width_px = frame.shape[:2]
    scale = 0.94 - 0.1 * sway * rng.random()
    tilt = np.radians(3.5 * sway * rng.uniform(-1, 1))
    room = (1 - scale) / 2 + 0.02
    x = (0.5 + room * sway * rng.uniform(-1, 1)) * width_px
    y = (0.5 + room * sway * rng.uniform(-1, 1)) * height_px
    cosine, sine = scale * np.cos(tilt), scale * np.sin(tilt)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    shift = np.array([x, y]) - turn @ (width_px / 2, height_px / 2)
    matrix = np.column_stack([turn, shift])
    _draw_hands(frame, matrix)
    lit = np.clip(card * (1 - 0.25 * sway * rng.random()), 0, 255).astype(np.uint8)
    cv2.warpAffine(lit, matrix, (width_px, height_px), dst=frame, borderMode=cv2.BORDER_TRANSPARENT)


def _draw_hands(frame: Pixels, matrix: np.ndarray) -> None:
    height_px, width_px = frame.shape[:2]
    canvas = Canvas(frame)
    corners = np.array([[0, 0.62, 1], [1, 0.62, 1]]) * (width_px, height_px, 1)
    for x, y in corners @ matrix.T / (width_px, height_px):
        canvas.oval(x, y, 0.022, 0.09, _SKIN)


def _needle_question(card: Card, fact: str) -> tuple[str, str, tuple[str, ...]]:
    """Return a question that names two facts at most and asks for another."""
    if fact == "shape":
        text = grammar.TEMPLATES["shape"][0].format(colour=card.colour)
        return text, grammar.sentence(grammar.an(card.shape)), (card.shape,)
    if fact == "colour":
        text = grammar.TEMPLATES["colour"][0].format(thing=f"the {card.shape} card")
        return text, grammar.sentence(card.colour), (card.colour,)
    thing = f"the {grammar.thing_phrase('card', card.colour, card.shape)}"
    return grammar.TEMPLATES["code"][0].format(thing=thing), f"{card.code}.", (card.code,)
