"""Near misses are absent, and near."""

import numpy as np

from engine.synthetic.negatives import near_misses
from engine.synthetic.story import draw_story


def test_near_misses_share_a_word_with_what_is_there_and_are_not_there() -> None:
    events = draw_story(5, 120, 1.0).events
    shown = {event.name for event in events}
    words = {word for name in shown for word in name.split()}
    missing = near_misses(events, np.random.default_rng(0), 40)
    assert len(set(missing)) == len(missing) == 40
    assert not shown & set(missing)
    assert all(words & set(name.split()) for name in missing)


def test_nothing_is_near_to_nothing() -> None:
    assert near_misses((), np.random.default_rng(0), 10) == []
