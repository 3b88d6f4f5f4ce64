"""Cards in foreign footage have times of their own and leave the footage as it was."""

import numpy as np
import pytest

from engine.synthetic.cards_in_footage import plant_cards, spans_of

FOOTAGE = [np.full((90, 160, 3), 40 + idx, dtype=np.uint8) for idx in range(10)]


def test_a_card_is_held_up_during_its_span_only() -> None:
    planted = plant_cards(FOOTAGE, seed=1, fps=1.0, n_frames=40, cards_per_minute=6)
    assert len(planted.events) == 4
    for idx, pixels in enumerate(planted):
        is_held = any(event.span.contains(float(idx)) for event in planted.events)
        changed = np.abs(pixels.astype(int) - FOOTAGE[idx % 10]).mean() > 10
        assert is_held == changed
    assert all((frame == 40 + idx).all() for idx, frame in enumerate(FOOTAGE))


def test_cards_are_held_out_have_names_of_their_own_and_come_again_with_their_seed() -> None:
    planted = plant_cards(FOOTAGE, seed=2, fps=1.0, n_frames=300)
    assert all(event.card and event.card.is_held_out for event in planted.events)
    assert len(spans_of(planted.events)) == len(planted.events) == 15
    assert plant_cards(FOOTAGE, seed=2, fps=1.0, n_frames=300).events == planted.events


def test_cards_need_footage_and_time() -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        plant_cards([], seed=1, fps=1.0, n_frames=40)
    with pytest.raises(ValueError, match=r"takes up to 4\.5 s"):
        plant_cards(FOOTAGE, seed=1, fps=1.0, n_frames=4)
