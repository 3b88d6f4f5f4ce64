"""Conversations over HTTP: whose they are, and what they show later."""

from collections.abc import Iterator

import anyio

from app.api.model_queue import ModelQueue
from app.services.ask import ask_stream, recent_turns
from app.services.conversations import keep_turn
from engine.protocols import TokenCounter
from engine.records import ALL_TIME, Answer, AnswerTiming, Evidence, TimeSpan, Turn, VideoId
from engine.tensors import Token
from storage.records import UserId
from tests.support.site import Site

QUESTION = "What color is the car?"


def answered(site: Site, name: str, question: str, *evidence: tuple[VideoId, float]) -> str:
    """Keep a question of a user whose answer rests on these moments; the conversation's id.

    The tiny model finds no moment that it would vouch for.
    """
    user = site.services.catalog.accounts.user(name)
    assert user is not None
    answer = Answer(
        text="Red.",
        evidence=tuple(
            Evidence(
                video=video,
                span=TimeSpan(start_s=start_s, end_s=start_s + 4),
                score=0.9,
                origin="retrieval",
                keyframe_s=start_s + 1,
            )
            for video, start_s in evidence
        ),
        searched_s=24.0,
        recalled_chunks=2,
        recall="top",
        card=site.services.engine.model.card,
        timing=AnswerTiming(retrieve_ms=1.0, first_token_ms=2.0, total_ms=3.0),
    )
    videos = [video for video, _ in evidence]
    return keep_turn(site.services, user.id, None, videos, question, answer).conversation_id


def test_conversation_shows_nothing_of_a_video_that_was_taken_away(site: Site) -> None:
    address = f"/api/v1/conversations/{answered(site, 'vera', QUESTION, (site.gate, 8.0))}"
    before = site.viewer.get(address).json()
    assert [item["video_id"] for item in before["turns"][0]["evidence"]] == [site.gate]
    assert before["videos"] == [site.gate]

    assert site.admin.patch("/api/v1/users/vera", json={"videos": []}).status_code == 200
    after = site.viewer.get(address).json()
    assert after["turns"][0]["evidence"] == []
    assert after["videos"] == []
    assert site.gate not in site.viewer.get("/api/v1/conversations").text


def test_chapters_are_the_users_own_questions_about_this_video(site: Site) -> None:
    answered(site, "vera", "When does it leave?", (site.gate, 16.0))
    answered(site, "vera", QUESTION, (site.gate, 8.0), (site.gate, 0.0))
    answered(site, "ada", "Who is in the yard?", (site.yard, 4.0), (site.gate, 0.0))

    assert site.viewer.get(f"/media/{site.gate}/chapters.vtt").text == (
        "WEBVTT\n\n"
        f"00:00:08.000 --> 00:00:12.000\n{QUESTION}\n\n"
        "00:00:16.000 --> 00:00:20.000\nWhen does it leave?\n"
    )
    assert site.admin.get(f"/media/{site.yard}/chapters.vtt").text == (
        "WEBVTT\n\n00:00:04.000 --> 00:00:08.000\nWho is in the yard?\n"
    )
    # Neither what others asked, nor what only the second evidence of an answer is about.
    assert site.admin.get(f"/media/{site.gate}/chapters.vtt").text == "WEBVTT\n"


def test_question_of_too_many_tokens_is_refused_before_the_model_is_held(site: Site) -> None:
    question = "a" + "\u0301" * 3900
    assert len(question) < site.services.settings.limits.question_chars
    body = {"question": question, "videos": [site.gate]}
    for accept in ("application/json", "text/event-stream"):
        refused = site.viewer.post("/api/v1/ask", json=body, headers={"accept": accept})
        assert refused.status_code == 413
        assert "tokens, the limit is 2048 tokens" in refused.json()["error"]["message"]
    messages = [{"role": "user", "content": question}]
    for stream in (False, True):
        chat = {"messages": messages, "stream": stream}
        assert site.viewer.post("/v1/chat/completions", json=chat).status_code == 413


def test_turns_that_do_not_fit_the_prompt_are_left_out_oldest_first(site: Site) -> None:
    model = site.services.engine.model
    assert isinstance(model, TokenCounter)
    turns = tuple(Turn(question=f"{name} " * 300, answer="No.") for name in "abcdef")
    n_tokens = [model.count_tokens(turn.question + turn.answer) for turn in turns]
    kept = recent_turns(site.services, QUESTION, turns)
    assert kept == turns[-len(kept) :]
    most, used = 2048 - model.count_tokens(QUESTION), len(kept) * n_tokens[0]
    assert used <= most < used + n_tokens[0]
    flood = (Turn(question="x" * 2_000_000, answer="No."), *turns[-2:])
    assert recent_turns(site.services, QUESTION, flood) == turns[-2:]
    assert recent_turns(site.services, QUESTION, (*turns, flood[0])) == ()


def test_answers_that_take_turns_are_those_of_answers_alone(site: Site) -> None:
    context, texts = site.services, dict[str, str]()
    scopes = {
        name: ((video, ALL_TIME),) for name, video in (("ada", site.gate), ("bea", site.yard))
    }

    def start(name: str) -> Iterator[Token | Answer]:
        return ask_stream(context, QUESTION, scopes[name], recall="all")

    async def listen(queue: ModelQueue, name: str) -> None:
        async for step in queue.answer(UserId(name), lambda: start(name)):
            if isinstance(step, Answer):
                texts[name] = step.text

    async def both() -> None:
        queue = ModelQueue(9, turn_s=lambda: 0.0)
        async with anyio.create_task_group() as tasks:
            for name in scopes:
                tasks.start_soon(listen, queue, name)

    anyio.run(both)
    for name in scopes:
        (*_, alone) = start(name)
        assert isinstance(alone, Answer)
        assert texts[name] == alone.text
