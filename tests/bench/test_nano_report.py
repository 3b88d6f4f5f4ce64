"""The card's report asks what it says, tables what it measured, and draws what went wrong."""

from dataclasses import replace
from pathlib import Path

from PIL import Image

from engine.records import ChunkRef, TimeSpan, VideoId
from engine.synthetic import grammar
from engine.synthetic.questions import Question
from engine.synthetic.story import draw_story
from tests.bench.nano_report.failures import choose, moments_s, write_failures
from tests.bench.nano_report.library import is_refusal, share
from tests.bench.nano_report.tables import as_markdown
from tests.bench.nano_report.world import Asked, order_questions, true_caption

STORY = draw_story(7, 64, 1.0, shot_s=64.0)
WRONG = Asked(
    story=STORY,
    question=Question(kind="exist", text="Is there a dog?", answer="Yes.", spans=()),
    said="No.",
    is_right=False,
    hits=False,
    shown_s=12.0,
)


def test_order_is_asked_in_every_wording_and_names_the_earlier_one() -> None:
    asked = list(order_questions(draw_story(3, 600, 1.0)))
    openings = {each.text.split()[0] + each.text.split()[1] for each in asked}
    assert len(openings) >= 6
    assert all(each.spans[0].start_s < each.spans[1].start_s for each in asked)
    assert all(each.aliases[0].split()[0] in each.text for each in asked)


def test_a_true_caption_tells_the_scene_and_then_what_comes() -> None:
    event = next(each for each in STORY.events if each.card is None)
    start_s = event.span.start_s // 8 * 8
    ref = ChunkRef(
        video=VideoId("v"), ordinal=0, span=TimeSpan(start_s=start_s, end_s=start_s + 16)
    )
    told = true_caption(STORY, ref, [start_s + at for at in range(16)])
    assert told is not None
    assert told.startswith(grammar.scene_caption(event.place, event.light))
    assert event.caption in told
    # Seen in one frame only, nobody can tell where an actor goes.
    assert true_caption(STORY, ref, [event.span.start_s + 0.1]) is None


def test_refusals_are_known_by_their_words() -> None:
    assert is_refusal("I can't tell.")
    assert is_refusal("Not found in 3 minutes of video.")
    assert not is_refusal("No.")


def test_kinds_of_failures_take_turns_and_no_question_comes_twice() -> None:
    other = replace(WRONG, question=replace(WRONG.question, kind="when", text="When?"))
    more = replace(WRONG, question=replace(WRONG.question, text="Is there a bag?"))
    assert choose([WRONG, WRONG, more, other], 2) == [WRONG, other]
    assert choose([WRONG, WRONG, more, other], 9) == [WRONG, other, more]
    assert moments_s(WRONG) == [12.0]


def test_failures_become_a_picture_and_success_none(tmp_path: Path) -> None:
    path = tmp_path / "failures.png"
    assert write_failures(path, [replace(WRONG, is_right=True)]) == 0
    assert not path.exists()
    assert write_failures(path, [WRONG]) == 1
    with Image.open(path) as sheet:
        assert sheet.width > 300


def test_tables_hold_every_figure_with_its_count_and_interval() -> None:
    kinds = {"code": {**share([True] * 19 + [False]), "evidence": 1.0}}
    text = as_markdown(
        {
            "date": "2026-11-21",
            "machine": "somewhere",
            "own_world": [{"frames": 64, "recall": "by wording", "kinds": kinds}],
        }
    )
    assert "| code | 0.95 (0.76-0.99), n 20; evidence 1.00 |" in text
    assert "| question | 64 frames, by wording |" in text
