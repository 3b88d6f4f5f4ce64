"""One answer of several: what stands, what is added up, and what is said to be missing."""

from pathlib import Path

import pytest

from app.schemas.common import AwayStretch, describe_left_out
from app.services.nodes import spread_scope
from app.services.servers import takes_turn
from app.services.spread import merge_answers
from engine.records import ALL_TIME, Answer, AnswerTiming, Evidence, TimeSpan, VideoId
from tests.support.fakes import CARD
from tests.support.site import open_library

GATE, YARD = VideoId("gate"), VideoId("yard")
NAMES = {GATE: "North gate", YARD: "Yard"}
MINUTE = TimeSpan(start_s=0.0, end_s=60.0)
AWAY = AwayStretch(video=YARD, span=MINUTE)


def said(text: str, *evidence: tuple[VideoId, float], answered_by: str = "model") -> Answer:
    """An answer over a minute of video."""
    moments = tuple(
        Evidence(video=video, span=MINUTE, score=score, origin="retrieval", keyframe_s=1.0)
        for video, score in evidence
    )
    return Answer(
        text=text,
        evidence=moments,
        card=CARD,
        timing=AnswerTiming(retrieve_ms=1.0, first_token_ms=1.0, total_ms=1.0),
        searched_s=60.0,
        recalled_chunks=4,
        recall="top",
        answered_by=answered_by,  # type: ignore[arg-type]
    )


def test_supported_answer_stands_before_one_that_found_nothing() -> None:
    silent = said("Not found in 1 minute of video.", answered_by="nothing")
    merged = merge_answers([silent, said("A red van.", (YARD, 0.8))], NAMES, (), CARD)
    assert (merged.text, merged.answered_by) == ("A red van.", "model")
    assert (merged.searched_s, merged.recalled_chunks) == (120.0, 8)


def test_answers_that_differ_stand_beside_their_videos_the_best_first() -> None:
    answers = [said("Two.", (GATE, 0.4)), said("One.", (YARD, 0.9), (YARD, 0.2))]
    merged = merge_answers(answers, NAMES, (), CARD)
    assert merged.text == "Yard: One.\nNorth gate: Two."
    assert [item.score for item in merged.evidence] == [0.9, 0.4, 0.2]


def test_answers_that_agree_are_said_once() -> None:
    answers = [said("Yes.", (GATE, 0.4)), said("yes. ", (YARD, 0.9))]
    assert merge_answers(answers, NAMES, (), CARD).text == "yes. "


def test_nothing_found_names_all_that_was_searched_and_what_was_not() -> None:
    silent = said("Not found in 1 minute of video.", answered_by="nothing")
    assert merge_answers([silent, silent], NAMES, (), CARD).text == (
        "Not found in 2 minutes of video."
    )
    merged = merge_answers([silent], NAMES, (AWAY,), CARD)
    assert merged.text == (
        "Not found in 1 minute of video; another 1 minute could not be searched."
    )
    assert merged.left_out == (AWAY,)


def test_no_answer_at_all_says_so() -> None:
    merged = merge_answers([], NAMES, (AWAY,), CARD)
    assert merged.text == "None of 1 minute of video could be searched."
    assert (merged.answered_by, merged.searched_s) == ("nothing", 0.0)
    (item,) = describe_left_out(merged.left_out, {})
    assert item.reason == "away"
    assert item.hint.startswith("ask again once the server or store that holds it answers")


@pytest.mark.parametrize("address", [None, "http://127.0.0.1:7860"])
def test_on_one_machine_nothing_is_cut_and_every_turn_is_its_own(
    tmp_path: Path, address: str | None
) -> None:
    context = open_library(tmp_path, **{"server.node_address": address})
    assert spread_scope(context, [(GATE, ALL_TIME)]) is None
    assert takes_turn(context, "retention", lease_s=60)
    context.close()
