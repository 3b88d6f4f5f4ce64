import numpy as np

from engine.synthetic.palette import SHAPES
from engine.training.nano.captions import CARD
from engine.training.nano.chunks import Facts, draw_story_chunks, frame_facts
from engine.training.nano.questions import QuestionSampler
from engine.training.nano.stories import STORY_CHUNKS, STORY_FRAMES, draw_stories


def story_facts() -> Facts:
    frames, facts, events = draw_stories(3, 6, held_out=False)
    assert frames.shape == (6, STORY_FRAMES, 64, 64, 3)
    nothing = np.zeros((0, 8, facts.shape[-1]), dtype=np.int16)
    return Facts(
        clips=nothing,
        events=np.zeros((0, 2, events.shape[-1]), dtype=np.int16),
        cards=facts[0, :1],
        n_real=5,
        stories=facts,
        story_events=events,
    )


def test_the_same_seed_draws_the_same_stories() -> None:
    for first, second in zip(
        draw_stories(4, 2, held_out=True), draw_stories(4, 2, held_out=True), strict=True
    ):
        assert np.array_equal(first, second)


def test_every_event_lies_where_its_frames_say() -> None:
    known = story_facts()
    for facts, events in zip(known.stories, known.story_events, strict=True):
        for row in events[events[:, 0] >= 0]:
            assert facts[row[-2], 0] == row[0]
            assert facts[row[-1], 0] == row[0]


def test_the_chunks_of_a_story_hold_each_event_once_together() -> None:
    known, rng = story_facts(), np.random.default_rng(5)
    chunks = draw_story_chunks(rng, known, cards=0.0)
    assert len(chunks) == STORY_CHUNKS
    story = (chunks[0].clip - known.first_story) // STORY_CHUNKS
    shown = {thing.event for thing, _ in QuestionSampler(rng, chunks).things}
    brief = {thing.event for thing in QuestionSampler(rng, chunks).vague}
    drawn = {(story, event) for event, row in enumerate(known.story_events[story]) if row[0] >= 0}
    assert shown | brief == drawn
    assert not shown & brief


def test_frames_of_a_chunk_are_those_of_its_part_of_the_story() -> None:
    known, rng = story_facts(), np.random.default_rng(6)
    chunks = draw_story_chunks(rng, known, cards=0.0)
    story = (chunks[0].clip - known.first_story) // STORY_CHUNKS
    rows = np.concatenate([frame_facts(chunk, known) for chunk in chunks])
    assert np.array_equal(rows, known.stories[story])
    for thing, _ in QuestionSampler(rng, chunks).things:
        assert (thing.kind == "card") == (thing.shape in SHAPES)
    assert CARD in {row[0] for facts in known.stories for row in facts}
