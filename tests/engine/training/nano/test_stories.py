import numpy as np

from engine.synthetic.palette import SHAPES
from engine.training.nano.captions import CARD
from engine.training.nano.chunks import Facts, draw_reel, frame_facts
from engine.training.nano.questions import QuestionSampler
from engine.training.nano.stories import REEL_CHUNKS, REEL_FRAMES, draw_reels


def reels() -> Facts:
    frames, facts, events = draw_reels(3, 6, held_out=False)
    assert frames.shape == (6, REEL_FRAMES, 64, 64, 3)
    nothing = np.zeros((0, 8, facts.shape[-1]), dtype=np.int16)
    return Facts(
        clips=nothing,
        events=np.zeros((0, 2, events.shape[-1]), dtype=np.int16),
        cards=facts[0, :1],
        n_real=5,
        reels=facts,
        reel_events=events,
    )


def test_a_reel_is_drawn_alike_for_the_same_seed() -> None:
    for one, two in zip(
        draw_reels(4, 2, held_out=True), draw_reels(4, 2, held_out=True), strict=True
    ):
        assert np.array_equal(one, two)


def test_every_event_lies_where_its_frames_say() -> None:
    known = reels()
    for facts, events in zip(known.reels, known.reel_events, strict=True):
        for row in events[events[:, 0] >= 0]:
            assert facts[row[-2], 0] == row[0]
            assert facts[row[-1], 0] == row[0]


def test_the_chunks_of_a_reel_hold_each_event_once_together() -> None:
    known, rng = reels(), np.random.default_rng(5)
    chunks = draw_reel(rng, known, cards=0.0)
    assert len(chunks) == REEL_CHUNKS
    reel = (chunks[0].clip - known.first_reel) // REEL_CHUNKS
    shown = {thing.event for thing, _ in QuestionSampler(rng, chunks).things}
    brief = {thing.event for thing in QuestionSampler(rng, chunks).vague}
    drawn = {(reel, at) for at, row in enumerate(known.reel_events[reel]) if row[0] >= 0}
    assert shown | brief == drawn
    assert not shown & brief


def test_frames_of_a_chunk_are_those_of_its_part_of_the_reel() -> None:
    known, rng = reels(), np.random.default_rng(6)
    chunks = draw_reel(rng, known, cards=0.0)
    reel = (chunks[0].clip - known.first_reel) // REEL_CHUNKS
    rows = np.concatenate([frame_facts(chunk, known) for chunk in chunks])
    assert np.array_equal(rows, known.reels[reel])
    for thing, _ in QuestionSampler(rng, chunks).things:
        assert (thing.kind == "card") == (thing.shape in SHAPES)
    assert CARD in {row[0] for facts in known.reels for row in facts}
