"""Drawn frames and the facts beside them."""

from pathlib import Path

import numpy as np

from engine.records import TimeSpan
from engine.synthetic.cards import Card
from engine.synthetic.palette import SHAPES
from engine.synthetic.story import Event
from engine.training.nano.captions import CARD, COLOUR_NAMES
from engine.training.nano.frame_bank import (
    CHUNK_FRAMES,
    SIDE_PX,
    compressed,
    draw_cards,
    draw_clips,
    is_visible,
    read_footage,
    squash,
)
from tests.support.synthetic import spelled_video


def test_frames_of_an_event_bear_its_facts_and_the_others_none() -> None:
    frames, facts, events = draw_clips(5, 24)
    assert frames.shape == (24, CHUNK_FRAMES, SIDE_PX, SIDE_PX, 3)
    n_events = 0
    for clip_facts, clip_events in zip(facts, events, strict=True):
        shown = set[int]()
        for *row, first, last in clip_events[clip_events[:, 0] >= 0].tolist():
            assert clip_facts[first].tolist() == row
            assert clip_facts[last].tolist() == row
            assert last > first
            shown |= set(range(first, last + 1))
            n_events += 1
        # One frame alone may show what is too brief to be an event.
        brief = [idx for idx in range(CHUNK_FRAMES) if idx not in shown and clip_facts[idx, 0] >= 0]
        assert len(brief) <= 2
        assert (clip_facts[:, 6:] >= 0).all(), "place and light of every frame are known"
    assert n_events > 10


def test_a_held_out_card_is_never_one_of_training() -> None:
    def drawn(*, held_out: bool) -> set[Card]:
        _, facts, _ = draw_cards(5, 120, held_out=held_out, takes=1)
        assert (facts[:, 0] == CARD).all()
        return {
            Card(colour=COLOUR_NAMES[row[1]], shape=SHAPES[row[2]], code=f"{row[3]}{row[4]}")
            for row in facts
        }

    assert not any(card.is_held_out for card in drawn(held_out=False))
    assert all(card.is_held_out for card in drawn(held_out=True))


def test_a_squashed_frame_keeps_its_edges() -> None:
    frame = np.zeros((90, 160, 3), dtype=np.uint8)
    frame[:, :40], frame[:, -40:] = 255, 128
    small = squash(frame)
    assert small.shape == (SIDE_PX, SIDE_PX, 3)
    assert (small[:, 0] == 255).all()
    assert (small[:, -1] == 128).all()


def test_compression_changes_a_frame_only_where_a_quality_is_given() -> None:
    frame = draw_clips(5, 1)[0][0, 0]
    assert compressed(frame, None) is frame
    lossy = compressed(frame, 25)
    assert (lossy != frame).any()
    assert np.abs(lossy.astype(int) - frame).mean() < 12


def test_an_actor_is_visible_from_its_entrance_to_its_exit() -> None:
    def event(kind: str) -> Event:
        span = TimeSpan(start_s=1.0, end_s=7.0)
        return Event(span=span, kind=kind, colour="red", place="street", light="day")

    assert [at_s for at_s in range(9) if is_visible(event("bag"), at_s)] == [1, 2, 3, 4, 5, 6]
    walking = [at_s for at_s in range(9) if is_visible(event("person"), at_s)]
    assert walking == list(range(walking[0], walking[-1] + 1))
    assert set(walking) <= {1, 2, 3, 4, 5, 6}
    assert len(walking) >= 5


def test_footage_gives_whole_chunks_and_repeats_with_its_seed(tmp_path: Path) -> None:
    spelled_video(tmp_path / "a.mp4", 60, fps=8.0, height=90, width=160)
    clips = read_footage(tmp_path, ["a.mp4"], 3, 4)
    assert clips.shape == (4, CHUNK_FRAMES, SIDE_PX, SIDE_PX, 3)
    assert np.array_equal(clips, read_footage(tmp_path, ["a.mp4"], 3, 4))
    assert not np.array_equal(clips, read_footage(tmp_path, ["a.mp4"], 4, 4))
