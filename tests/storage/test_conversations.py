"""Conversations: answers come back with the moments that support them."""

from dataclasses import replace

import pytest

from engine.errors import NotFoundError
from engine.records import (
    Answer,
    AnswerTiming,
    Evidence,
    Fingerprint,
    ModelCard,
    Observation,
    TimeSpan,
    VideoId,
)
from storage.catalog import Catalog
from storage.records import MOST_GROUNDS
from tests.storage.conftest import Clock

CARD = ModelCard(
    family="video_xl",
    variant="nano",
    fingerprint=Fingerprint("f"),
    chunk_frames=10,
    tokens_per_frame=16,
    compression_ratio=8,
    latent_bytes=1024,
    vector_dim=64,
    max_positions=4096,
)


def evidence(video: VideoId, start_s: float) -> Evidence:
    return Evidence(
        video=video,
        span=TimeSpan(start_s=start_s, end_s=start_s + 10),
        score=0.75,
        origin="attention",
        keyframe_s=start_s + 3,
    )


def answer(*support: Evidence) -> Answer:
    return Answer(
        text="a red van",
        evidence=support,
        card=CARD,
        timing=AnswerTiming(retrieve_ms=3.5, first_token_ms=40.0, total_ms=90.0),
        searched_s=3600.0,
        recalled_chunks=4,
        recall="top",
    )


def test_turn_comes_out_as_it_went_in(catalog: Catalog) -> None:
    lobby, gate = (catalog.videos.add(name=name, uri="x").id for name in ("lobby", "gate"))
    talk = catalog.conversations.add("vans", videos=[lobby, gate])
    reply = answer(evidence(gate, 50.0), evidence(lobby, 10.0))
    turn = catalog.conversations.add_turn(talk.id, "what stood there?", reply)
    assert catalog.conversations.turns(talk.id) == (turn,)
    assert (turn.question, turn.answer) == ("what stood there?", "a red van")
    assert (turn.evidence, turn.timing) == (reply.evidence, reply.timing)
    assert (turn.model, turn.recall, turn.recalled_chunks) == ("video_xl/nano", "top", 4)
    assert catalog.conversations.get(talk.id).videos == (lobby, gate)


def test_what_an_answer_rests_on_comes_out_as_it_went_in(catalog: Catalog) -> None:
    gate = catalog.videos.add(name="gate", uri="x").id
    seen = Observation(
        video=gate,
        kind="object",
        span=TimeSpan(start_s=50.0, end_s=58.0),
        label="van",
        text="",
        confidence=0.9,
        model="detector",
        peak_s=53.0,
        colours=("red",),
    )
    proof = replace(evidence(gate, 50.0), observations=(seen,) * (MOST_GROUNDS + 1))
    reply = replace(answer(proof), answered_by="observations")
    open_ended = replace(answer(), answered_by="nothing", nearest=(evidence(gate, 10.0),))
    talk = catalog.conversations.add("vans").id
    for given in (reply, open_ended):
        catalog.conversations.add_turn(talk, "?", given)
    grounded, left_open = catalog.conversations.turns(talk)
    assert grounded.answered_by == "observations"
    assert grounded.evidence == (replace(proof, observations=(seen,) * MOST_GROUNDS),)
    assert grounded.nearest == ()
    assert (left_open.answered_by, left_open.evidence) == ("nothing", ())
    assert left_open.nearest == open_ended.nearest


def test_turns_keep_their_order_and_move_the_conversation_up(
    catalog: Catalog, clock: Clock
) -> None:
    first, second = catalog.conversations.add("a"), catalog.conversations.add("b")
    clock.advance(5)
    for question in ("one", "two", "three"):
        catalog.conversations.add_turn(first.id, question, answer())
    turns = catalog.conversations.turns(first.id)
    assert [turn.question for turn in turns] == ["one", "two", "three"]
    assert [talk.id for talk in catalog.conversations.list()] == [first.id, second.id]
    assert len(catalog.conversations.list(limit=1)) == 1


def test_evidence_leaves_with_its_video(catalog: Catalog) -> None:
    lobby, gate = (catalog.videos.add(name=name, uri="x").id for name in ("lobby", "gate"))
    talk = catalog.conversations.add("vans")
    reply = answer(evidence(lobby, 10.0), evidence(gate, 50.0))
    catalog.conversations.add_turn(talk.id, "?", reply)
    catalog.videos.remove(lobby)
    late = catalog.conversations.add_turn(talk.id, "and now?", reply)
    assert late.evidence == (evidence(gate, 50.0),)
    turns = catalog.conversations.turns(talk.id)
    assert [turn.evidence for turn in turns] == [(evidence(gate, 50.0),)] * 2


def test_images_of_a_question_leave_with_its_conversation(catalog: Catalog) -> None:
    talk = catalog.conversations.add("vans").id
    catalog.conversations.add_turn(talk, "?", answer())
    turn = catalog.conversations.add_turn(talk, "is it this?", answer(), images=[b"one", b"two"])
    assert [row.n_images for row in catalog.conversations.turns(talk)] == [0, 2]
    kept = [catalog.conversations.image(talk, turn.ordinal, place) for place in range(2)]
    assert kept == [b"one", b"two"]
    for ordinal, place in ((0, 0), (1, 2)):
        with pytest.raises(NotFoundError, match="no image"):
            catalog.conversations.image(talk, ordinal, place)
    catalog.conversations.remove(talk)
    with pytest.raises(NotFoundError, match="no image"):
        catalog.conversations.image(talk, turn.ordinal, 0)


def test_conversation_belongs_to_one_user(catalog: Catalog) -> None:
    ada = catalog.accounts.add_user("ada", "viewer").id
    mine, open_to_all = catalog.conversations.add("a", user=ada), catalog.conversations.add("b")
    assert catalog.conversations.list(ada) == (mine,)
    assert catalog.conversations.list() == (open_to_all,)
    assert {*catalog.conversations.latest()} == {mine, open_to_all}


def test_removed_conversation_is_gone(catalog: Catalog) -> None:
    talk = catalog.conversations.add("a")
    catalog.conversations.add_turn(talk.id, "?", answer())
    assert catalog.conversations.rename(talk.id, "b").title == "b"
    catalog.conversations.remove(talk.id)
    assert catalog.conversations.turns(talk.id) == ()
    with pytest.raises(NotFoundError):
        catalog.conversations.get(talk.id)
