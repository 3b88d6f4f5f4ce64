"""Questions about drawn stories: every kind, what is not there, and what no video answers."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from engine.evaluation.scratch_engine import VIDEO, WHOLE_VIDEO, ingested_one_by_one
from engine.pipeline.caption import caption
from engine.pipeline.engine import Engine
from engine.pipeline.query import parse
from engine.pipeline.retrieve import retrieve
from engine.records import ChunkRef, Recall
from engine.synthetic import grammar
from engine.synthetic.negatives import near_misses, outside_question
from engine.synthetic.questions import Question, is_right, questions
from engine.synthetic.recordings import Recording
from engine.synthetic.story import Story, draw_story
from tests.bench.nano_report.library import STORY_SEED, ask, is_not_found, is_refusal, share

OUTSIDE_EACH = 8
"""Questions from outside the world for each story."""
THERE, NOT_THERE, ORDER = "is there: yes", "is there: no", "order, every wording"
OUTSIDE = "outside its world: refused"
REFUSED = "its own: wrongly refused"
CAPTIONS = "caption of a chunk, to the letter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question, what it wanted, what was said, and where its proof lies."""

    story: Story
    question: Question
    said: str
    is_right: bool
    hits: bool
    """Whether the first evidence meets the proof; nothing shown is right where nothing is."""
    shown_s: float | None
    """The keyframe of the first evidence."""


def own_world(
    engine: Engine, n_stories: int, duration_s: float, recall: Recall | None
) -> tuple[dict[str, object], list[Asked]]:
    """A table of shares by kind of question, and every question behind it."""
    asked: list[Asked] = []
    captioned: list[bool] = []
    seeds = range(STORY_SEED, STORY_SEED + n_stories)
    stories = [draw_story(seed, duration_s, 1.0, shot_s=64.0) for seed in seeds]
    given = (Recording(setting="drawn", story=story) for story in stories)
    for number, (story, (_, aside)) in enumerate(
        zip(stories, ingested_one_by_one(engine, given), strict=True)
    ):
        asked += [_ask(aside, story, each, recall) for each in _all_questions(story, number)]
        if recall is None:
            captioned += _captions(aside, story)
    report = {
        "stories": n_stories,
        "frames": int(duration_s),
        "recall": recall or "by wording",
        "kinds": _by_kind(asked, captioned),
    }
    return report, asked


def search(engine: Engine, n_stories: int, duration_s: float) -> dict[str, object]:
    """Text search: how often the first hit for an event's name shows the event."""
    first: list[bool] = []
    seeds = range(STORY_SEED + 500, STORY_SEED + 500 + n_stories)
    given = (Recording(setting="drawn", story=draw_story(seed, duration_s, 1.0)) for seed in seeds)
    for recording, aside in ingested_one_by_one(engine, given):
        for event in recording.events:
            spans = [each.span for each in recording.events if each.name == event.name]
            top = retrieve(aside, parse(event.name), scope=WHOLE_VIDEO).hits[0].hit.chunk.span
            first.append(any(top.overlap_s(span) > 0 for span in spans))
    return {"frames": int(duration_s), "recall_at_1": share(first)}


def order_questions(story: Story) -> Iterator[Question]:
    """Which of two came first, in every wording there is, named in either order."""
    for idx, (first, second) in enumerate(itertools.pairwise(story.events)):
        one, two = f"the {first.name}", f"the {second.name}"
        thing, other = (two, one) if idx % 2 else (one, two)
        for kind in ("first", "before", "after"):
            wordings = grammar.TEMPLATES[kind]
            yield Question(
                kind=ORDER,
                text=wordings[idx % len(wordings)].format(thing=thing, other=other),
                answer=grammar.sentence(one if kind == "first" else f"{one} came first"),
                aliases=(first.name,) if kind == "first" else (f"{first.name} came first",),
                spans=(first.span, second.span),
            )


def true_caption(story: Story, ref: ChunkRef, pts_s: Sequence[float]) -> str | None:
    """What a chunk's caption should say; `None` where an actor is cut too short to be told."""
    said = []
    for event in story.events:
        shown = [at for at in pts_s if event.span.contains(at)]
        if len(shown) == 1 and event.card is None:
            return None
        if shown:
            said.append((shown[0], event.caption))
    scene = next(each.scene for each in story.shots if each.span.contains(ref.span.start_s))
    told = [text for _, text in sorted(said, key=lambda each: each[0])]
    return " ".join([grammar.scene_caption(scene.place, scene.light), *told])


def _all_questions(story: Story, number: int) -> Iterator[Question]:
    for each in questions(story):
        if each.kind != "exist":
            yield each
    rng = np.random.default_rng([number, 99])
    for event in story.events:
        yield _exist(event.name, grammar.YES, THERE, event.span)
    for name in near_misses(story.events, rng, len(story.events)):
        yield _exist(name, grammar.NO, NOT_THERE)
    yield from order_questions(story)
    for _ in range(OUTSIDE_EACH):
        text = outside_question(rng, held_out=True)
        yield Question(kind=OUTSIDE, text=text, answer=grammar.CANNOT_TELL, spans=())


def _exist(name: str, answer: str, kind: str, *spans: object) -> Question:
    text = grammar.TEMPLATES["exist"][0].format(a_thing=grammar.an(name))
    return Question(kind=kind, text=text, answer=answer, spans=spans)  # type: ignore[arg-type]


def _ask(engine: Engine, story: Story, question: Question, recall: Recall | None) -> Asked:
    said = ask(engine, question.text, recall)
    right = is_right(said.text, question.answer, question.aliases)
    if question.kind == OUTSIDE:
        right = is_refusal(said.text)
    elif question.kind == NOT_THERE:
        right = right or is_not_found(said.text)
    first = said.evidence[0] if said.evidence else None
    hits = first is None and not question.spans
    if first is not None:
        hits = any(first.span.overlap_s(span) > 0 for span in question.spans)
    return Asked(
        story=story,
        question=question,
        said=said.text,
        is_right=right,
        hits=hits,
        shown_s=None if first is None else first.keyframe_s,
    )


def _captions(engine: Engine, story: Story) -> Iterator[bool]:
    for each in caption(engine, VIDEO):
        _, _, pts_s = engine.cache.frame_vectors(VIDEO, each.ref.ordinal)
        wanted = true_caption(story, each.ref, pts_s.tolist())
        if wanted is not None:
            yield each.text == wanted


def _by_kind(asked: Sequence[Asked], captioned: Sequence[bool]) -> dict[str, dict[str, float]]:
    kinds: dict[str, dict[str, float]] = {}
    for kind in sorted({each.question.kind for each in asked}):
        some = [each for each in asked if each.question.kind == kind]
        kinds[kind] = share([each.is_right for each in some])
        if kind != OUTSIDE:
            kinds[kind]["evidence"] = share([each.hits for each in some])["share"]
    own = [each for each in asked if each.question.kind not in (OUTSIDE, NOT_THERE)]
    kinds[REFUSED] = share([is_refusal(each.said) for each in own])
    if captioned:
        kinds[CAPTIONS] = share(captioned)
    return kinds
