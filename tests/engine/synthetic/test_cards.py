import numpy as np
import pytest

from engine.synthetic.cards import Card, draw_card, draw_needle, random_card
from engine.synthetic.palette import COLOURS, SHAPES, digit_strokes


def test_a_needle_is_held_out_and_asks_for_a_fact_it_does_not_name() -> None:
    needles = [draw_needle(seed) for seed in range(12)]
    assert all(needle.card.is_held_out for needle in needles)
    for needle in needles:
        assert needle.answer.strip(".").split()[-1].lower() not in needle.question.lower()
        assert needle.image.shape == (360, 640, 3)


def test_one_card_in_five_is_held_out() -> None:
    cards = [Card(colour=c, shape=s, code=f"{n:02d}") for c in COLOURS for s in SHAPES
             for n in range(100)]  # fmt: skip
    assert 0.18 < np.mean([card.is_held_out for card in cards]) < 0.22
    rng = np.random.default_rng(0)
    assert not any(random_card(rng, held_out=False).is_held_out for _ in range(50))


def test_cards_that_differ_look_different_in_a_small_square() -> None:
    drawn = [draw_card(Card(colour="red", shape=shape, code="00"), 64, 64) for shape in SHAPES]
    for idx, card in enumerate(drawn):
        for other in drawn[idx + 1 :]:
            assert np.abs(card.astype(int) - other).mean() > 2


def test_digits_stay_in_their_box() -> None:
    for digit in "0123456789":
        points = np.concatenate(digit_strokes(digit))
        assert points.min() > -0.1
        assert points.max() < 1.1


def test_a_card_outside_the_world_is_refused() -> None:
    with pytest.raises(ValueError, match="colour must be one of"):
        Card(colour="beige", shape="star", code="12")
