"""Conversations over HTTP: whose they are, and what they show later."""

from app.services.conversations import keep_turn
from engine.records import Answer, AnswerTiming, Evidence, TimeSpan, VideoId
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
    return keep_turn(site.services, user.id, None, videos, question, answer)


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
