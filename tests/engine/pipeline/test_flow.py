"""The whole way: frames in, an answer with its moment out."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from engine.errors import NotFoundError
from engine.pipeline.answer import answer
from engine.pipeline.config import RetrievalConfig
from engine.pipeline.engine import Engine
from engine.pipeline.ingest import ingest
from engine.pipeline.search import search
from engine.records import Answer, TimeSpan, Turn, VideoId
from engine.tensors import Token
from tests.engine.pipeline.conftest import CAMERA
from tests.support.fakes import CARD, ColourModel, story

DAY = "grey*30 red grey*20 blue*6 grey*40"


def ask(engine: Engine, question: str, **how: object) -> Answer:
    *tokens, last = answer(engine, question, **how)  # type: ignore[arg-type]
    assert all(isinstance(token, Token) for token in tokens)
    assert isinstance(last, Answer)
    return last


def test_the_answer_comes_with_the_moment_that_proves_it(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story(DAY)))
    reply = ask(engine, "What colour is the red flash?")
    assert reply.text == "It is red."
    assert reply.recall == "top"
    assert reply.evidence[0].span == TimeSpan(start_s=29.5, end_s=30.5)
    assert reply.evidence[0].keyframe_s == 30
    assert reply.searched_s == 97


def test_an_event_over_several_chunks_is_one_moment(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story(DAY)))
    result = search(engine, "blue")
    assert result.moments[0].span == TimeSpan(start_s=50.5, end_s=56.5)


def test_evidence_begins_and_ends_between_frames_and_follows_an_event_across_chunks(
    build: Callable[..., Engine],
) -> None:
    engine = build()
    # Chunks of four frames: the red lies in the last two of one and the first of the next.
    list(ingest(engine, CAMERA, story("grey*22 red*3 grey*40")))
    result = search(engine, "red")
    assert result.moments[0].span == TimeSpan(start_s=21.5, end_s=24.5)
    to_the_end = build(home="other")
    list(ingest(to_the_end, CAMERA, story("grey*40 red*2")))
    assert search(to_the_end, "red").moments[0].span == TimeSpan(start_s=39.5, end_s=42.0)


def test_evidence_does_not_reach_behind_its_scope(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*22 red*3 grey*40")))
    scope = [(CAMERA, TimeSpan(start_s=24.0, end_s=60.0))]
    assert search(engine, "red", scope=scope).moments[0].span.start_s == 24.0


@pytest.mark.parametrize("signals", ["vectors", "attention", "both"])
def test_every_signal_finds_what_is_there(build: Callable[..., Engine], signals: str) -> None:
    config = RetrievalConfig(top_chunks=1, signals=signals)  # type: ignore[arg-type]
    engine = build(retrieval=config)
    list(ingest(engine, CAMERA, story(DAY)))
    reply = ask(engine, "What colour is the red flash?")
    assert reply.evidence[0].span.contains(30.0)
    assert reply.evidence[0].origin == ("attention" if signals == "attention" else "retrieval")


def test_what_never_happened_is_not_found_in_so_much_video(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*180")))
    reply = ask(engine, "When does the red flash appear?")
    assert reply.text == "Not found in 3 minutes of video."
    assert reply.evidence == ()


def test_a_scope_hides_everything_outside_it(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story(DAY)))
    list(ingest(engine, VideoId("other"), story("grey*50 red grey*9")))
    scope = [(VideoId("other"), TimeSpan(start_s=0.0, end_s=60.0))]
    reply = ask(engine, "What colour is the red flash?", scope=scope)
    assert [moment.video for moment in reply.evidence] == [VideoId("other")]
    assert reply.searched_s == 60
    early = [(CAMERA, TimeSpan(start_s=0.0, end_s=20.0))]
    assert ask(engine, "When is the red flash?", scope=early).evidence == ()


def test_a_question_about_the_whole_gets_an_even_overview(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story(DAY)))
    reply = ask(engine, "How many red flashes are there?")
    assert reply.recall == "overview"
    assert reply.recalled_chunks > 5


def test_a_family_without_text_vectors_answers_by_attention(build: Callable[..., Engine]) -> None:
    engine = build(ColourModel(knows_text=False))
    list(ingest(engine, CAMERA, story(DAY)))
    reply = ask(engine, "What colour is the red flash?")
    assert reply.text == "It is red."
    assert reply.evidence[0].origin == "attention"
    assert reply.evidence[0].span.contains(30.0)


def test_nothing_ingested_is_said_in_one_sentence(build: Callable[..., Engine]) -> None:
    with pytest.raises(NotFoundError, match="no video"):
        ask(build(), "What happens?")


def test_a_comparison_recalls_the_moments_of_both(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*30 red grey*50 blue grey*40")))
    reply = ask(engine, "Which came first, the red flash or the blue flash?")
    assert reply.recall == "top"
    assert reply.recalled_chunks == 2
    assert sorted(moment.keyframe_s for moment in reply.evidence) == [30.0, 81.0]


def test_every_occurrence_is_recalled_for_counting(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*40 red " * 4 + "grey*40")))
    reply = ask(engine, "How many red flashes are there?")
    assert reply.recall == "overview"
    assert sorted(moment.keyframe_s for moment in reply.evidence) == [40.0, 81.0, 122.0, 163.0]


def test_a_question_that_names_nothing_claims_no_hit(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story(DAY)))
    reply = ask(engine, "What do you see?")
    assert reply.recall == "overview"
    assert all(moment.origin == "attention" for moment in reply.evidence)


def test_a_follow_up_is_answered_where_the_last_question_was(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story(DAY)))
    history = [Turn(question="When does the red flash come?", answer="At the moment shown.")]
    reply = ask(engine, "What colour is it?", history=history)
    assert reply.evidence[0].keyframe_s == 30.0


def test_all_of_a_past_that_fits_is_recalled(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story(DAY)))
    reply = ask(engine, "What colour is the red flash?", recall="all")
    assert (reply.recall, reply.recalled_chunks) == ("all", 25)


def test_a_past_beyond_the_models_positions_gets_an_overview(build: Callable[..., Engine]) -> None:
    engine = build(ColourModel(card=replace(CARD, max_positions=300)))
    list(ingest(engine, CAMERA, story("grey*900 red grey*20")))
    reply = ask(engine, "What colour is the red flash?", recall="all")
    assert reply.recall == "overview"
    assert reply.recalled_chunks * 4 < 300
    assert reply.text == "It is red."


def test_asked_for_by_recall_the_model_answers_and_says_that_nothing_supports_it(
    build: Callable[..., Engine],
) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*180")))
    reply = ask(engine, "What colour is the red flash?", recall="top")
    assert reply.text.endswith(" (Nothing in 3 minutes of video supports this.)")
    assert reply.evidence == ()
