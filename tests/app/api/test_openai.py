"""OpenAI's routes as its clients expect them: usage, limits, stop words, refusals, embeddings."""

import base64
import io
import json
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.services.chat import TextCutter
from engine.models.video_xl.model import VideoXl
from tests.support.site import Site

QUESTION = "What color is the car?"


def chat(site: Site, content: Any = QUESTION, *before: Any, **more: Any) -> Any:
    messages = [*before, {"role": "user", "content": content}]
    return site.viewer.post("/v1/chat/completions", json={"messages": messages, **more})


def events(answer: Any) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def part(kind: str, url: str) -> list[Any]:
    return [{"type": kind, kind: {"url": url}}, {"type": "text", "text": QUESTION}]


def test_answer_tells_its_tokens(site: Site) -> None:
    answer = chat(site).json()
    usage = answer["usage"]
    assert usage["prompt_tokens"] > 0
    assert usage["completion_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    longer = chat(site, QUESTION, {"role": "user", "content": "Hm?"}, _said("No.")).json()
    assert longer["usage"]["prompt_tokens"] > usage["prompt_tokens"]


def test_stream_ends_with_usage_where_it_is_asked_for(site: Site) -> None:
    whole = chat(site).json()
    plain = events(chat(site, stream=True))
    assert not any("usage" in event for event in plain)
    told = events(chat(site, stream=True, stream_options={"include_usage": True}))
    assert told[-1]["choices"] == []
    assert told[-1]["usage"] == whole["usage"]
    assert all(event["usage"] is None for event in told[:-1])
    words = "".join(event["choices"][0]["delta"].get("content", "") for event in plain)
    assert words.strip() == whole["choices"][0]["message"]["content"]
    assert plain[-1]["choices"][0]["finish_reason"] == "stop"
    assert plain[-1]["longwatch"]["searched_s"] == whole["longwatch"]["searched_s"]


def test_most_tokens_are_honoured(site: Site) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        short = chat(site, **{name: 2}).json()
        assert short["choices"][0]["finish_reason"] == "length"
        assert short["usage"]["completion_tokens"] <= 2
    assert chat(site, max_tokens=0).status_code == 422


def test_answer_ends_before_a_stop_word(site: Site) -> None:
    text = chat(site).json()["choices"][0]["message"]["content"]
    word = text[3:6]
    cut = chat(site, stop=word).json()["choices"][0]
    assert cut["message"]["content"] == text[: text.index(word)].strip()
    assert cut["finish_reason"] == "stop"
    streamed = events(chat(site, stop=["never said", word], stream=True))
    words = "".join(event["choices"][0]["delta"].get("content", "") for event in streamed)
    assert words.strip() == cut["message"]["content"]


@pytest.mark.parametrize("pieces", [["red c", "ar"], [*"red car"], ["red car"]])
def test_stop_word_is_found_across_pieces_and_nothing_of_it_is_shown(
    site: Site, pieces: list[str]
) -> None:
    cutter = TextCutter(site.services, [" car"], 100)
    shown = "".join(cutter.feed(piece) for piece in [*pieces, " and more"]) + cutter.close()
    assert shown == cutter.text == "red"
    open_ended = TextCutter(site.services, [" cart"], 100)
    shown = "".join(open_ended.feed(piece) for piece in pieces) + open_ended.close()
    assert shown == "red car"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"n": 2}, "one answer"),
        ({"tools": [{"type": "function"}]}, "tools are not called"),
        ({"response_format": {"type": "json_object"}}, "answers are text"),
        ({"model": "gpt-4o"}, "the model 'gpt-4o' is not loaded here"),
    ],
)
def test_what_is_not_done_here_is_refused_in_the_shape_of_openai(
    site: Site, more: dict[str, Any], said: str
) -> None:
    answer = chat(site, **more)
    error = answer.json()["error"]
    assert said in error["message"]
    assert error["type"] in {"invalid_request_error", "not_found_error"}
    assert set(error) >= {"message", "type", "param", "code"}
    assert answer.status_code in {404, 422}


@pytest.mark.parametrize(
    ("more", "param", "said"),
    [
        ({"stop": [*"abcdef"]}, "stop", "at most 4 items"),
        ({"stop": 7}, "stop", "valid"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content", "valid"),
        ({"messages": [{"role": "user"}]}, "messages.0.content", "required"),
        ({"messages": []}, "messages", "at least 1 item"),
    ],
)
def test_malformed_field_is_named_by_its_place_and_its_own_fault(
    site: Site, more: dict[str, Any], param: str, said: str
) -> None:
    body = {"messages": [{"role": "user", "content": QUESTION}], **more}
    error = site.viewer.post("/v1/chat/completions", json=body).json()["error"]
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert said in error["message"]


@pytest.mark.parametrize("body", ['[{"role": "user"}]', '"hello"'])
def test_body_that_is_no_object_is_told_what_to_be(site: Site, body: str) -> None:
    for headers in ({"content-type": "application/json"}, {}):
        answer = site.viewer.post("/v1/chat/completions", content=body, headers=headers)
        assert "JSON object, sent with Content-Type" in answer.json()["error"]["message"]


def test_body_that_is_no_json_is_said_to_be_none(site: Site) -> None:
    headers = {"content-type": "application/json"}
    answer = site.viewer.post("/v1/chat/completions", content=b'{"model":', headers=headers)
    assert answer.json()["error"]["message"].startswith("the body is not JSON: ")


def test_program_that_is_not_signed_in_is_told_so_in_the_shape_of_openai(site: Site) -> None:
    answer = site.anonymous.get("/v1/models")
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert error["type"] == "authentication_error"
    assert set(error) >= {"message", "type", "param", "code"}


def test_assistant_without_words_is_part_of_a_conversation(site: Site) -> None:
    before = ({"role": "user", "content": QUESTION}, {"role": "assistant", "content": None})
    assert chat(site, QUESTION, *before).status_code == 200


def test_what_is_allowed_of_these_is_answered(site: Site) -> None:
    name = site.services.settings.model
    allowed: list[dict[str, Any]] = [{"n": 1}, {"tools": []}, {"model": name}]
    for more in [*allowed, {"response_format": {"type": "text"}}]:
        assert chat(site, **more).status_code == 200


def test_sound_and_messages_of_tools_are_refused_with_a_sentence(site: Site) -> None:
    sound = chat(site, part("input_audio", "data:audio/wav;base64,AAAA"))
    assert sound.status_code == 422
    assert "'input_audio' are not read" in sound.json()["error"]["message"]
    tool = chat(site, QUESTION, {"role": "tool", "content": "42", "tool_call_id": "1"})
    assert "messages of tools are not read" in tool.json()["error"]["message"]
    malformed = chat(site, temperature=9).json()["error"]
    assert malformed["param"] == "temperature"


def test_images_are_shown_and_never_fetched(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = io.BytesIO()
    Image.new("RGB", (40, 30), (9, 90, 200)).save(packed, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(packed.getvalue()).decode()}"
    refused = chat(site, part("image_url", url))
    assert refused.status_code == 501
    assert "reads no still images" in refused.json()["error"]["message"]
    model = site.services.engine.model
    assert isinstance(model, VideoXl)
    monkeypatch.setattr(model, "_image_sizes", ((64, 32),))
    answer = chat(site, part("image_url", url)).json()
    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert (answer["longwatch"]["images"], answer["longwatch"]["searched_s"]) == (1, 0.0)
    for address in ("https://example.org/a.png", "file:///etc/passwd"):
        fetched = chat(site, part("image_url", address))
        assert fetched.status_code == 422
        assert "nothing is fetched" in fetched.json()["error"]["message"]
    both = [*part("video_url", f"video://{site.gate}")[:1], *part("image_url", url)]
    beside = chat(site, both).json()["longwatch"]
    assert beside["images"] == 1
    assert beside["searched_s"] > 0
    asked = site.viewer.post("/api/v1/ask", json={"question": QUESTION, "images": [url]}).json()
    assert (asked["images"], asked["evidence"]) == (1, [])


def test_video_is_named_by_id_or_by_name(site: Site) -> None:
    by_id = chat(site, part("video_url", f"video://{site.gate}")).json()
    row = site.services.catalog.videos.get(site.gate)
    by_name = chat(site, part("video_url", f"video://{row.name}")).json()
    assert by_name["longwatch"]["searched_s"] == by_id["longwatch"]["searched_s"]
    less = chat(site, part("video_url", f"video://{row.name}#t=0,4")).json()
    assert less["longwatch"]["searched_s"] < by_id["longwatch"]["searched_s"]
    hidden = site.services.catalog.videos.get(site.yard)
    # A part of a name is none: what is asked of must never be guessed.
    for name in (hidden.id, hidden.name, "nobody", row.name[:-1]):
        assert chat(site, part("video_url", f"video://{name}")).status_code == 404
    assert chat(site, part("video_url", "https://example.org/a.mp4")).status_code == 422


def test_system_message_stands_before_the_question(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    model, generate = site.services.engine.model, site.services.engine.model.generate

    def listen(question: str, *rest: Any, **more: Any) -> Any:
        asked.append(question)
        return generate(question, *rest, **more)

    monkeypatch.setattr(model, "generate", listen, raising=False)
    told = {"role": "system", "content": "Answer in one word."}
    answer = chat(site, QUESTION, told)
    assert answer.status_code == 200
    assert all(re.match(r"Answer in one word\.\n", text) for text in asked)
    assert answer.json()["usage"]["prompt_tokens"] > chat(site).json()["usage"]["prompt_tokens"]


def test_models_are_listed_and_found_by_name(site: Site) -> None:
    (model,) = site.viewer.get("/v1/models").json()["data"]
    assert site.viewer.get(f"/v1/models/{model['id']}").json() == model
    assert site.viewer.get("/v1/models/gpt-4o").status_code == 404


def test_embeddings_of_texts_and_frames_share_the_space_of_search(site: Site) -> None:
    wanted = {"input": ["a red car", f"video://{site.gate}#t=2"]}
    answer = site.viewer.post("/v1/embeddings", json=wanted).json()
    text, frame = (np.asarray(one["embedding"]) for one in answer["data"])
    assert text.shape == frame.shape
    assert np.linalg.norm(text) == pytest.approx(1, abs=1e-3)
    assert np.linalg.norm(frame) == pytest.approx(1, abs=1e-2)
    assert answer["usage"]["prompt_tokens"] > 0
    packed = site.viewer.post("/v1/embeddings", json={**wanted, "encoding_format": "base64"})
    first = base64.b64decode(packed.json()["data"][0]["embedding"])
    assert np.frombuffer(first, "<f4") == pytest.approx(text, abs=1e-6)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"input": ""}, 422),
        ({"input": []}, 422),
        ({"input": "car", "model": "text-embedding-3-small"}, 404),
        ({"input": "car", "dimensions": 7}, 422),
        ({"input": "video://{gate}"}, 422),
        ({"input": "video://{yard}#t=1"}, 404),
        ({"input": "video://{gate}#t=99999"}, 404),
    ],
)
def test_embeddings_that_cannot_be_made_are_refused(
    site: Site, body: dict[str, Any], status: int
) -> None:
    named = json.loads(json.dumps(body).replace("{gate}", site.gate).replace("{yard}", site.yard))
    answer = site.viewer.post("/v1/embeddings", json=named)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def _said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}
