"""An answerer of one's own: what is sent to it, what comes back, and what fails."""

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.config.settings import load_settings
from app.schemas.ask import AnswerResponse
from app.services.answerer import BESIDE
from app.services.ask import ask
from app.services.context import ServiceContext
from app.services.scope import resolve_scope
from app.worker.foreground import ingest_now
from engine.errors import MissingCapabilityError, SettingsError
from tests.app.services.conftest import open_library

Reply = Callable[[BaseHTTPRequestHandler], None]


class StandIn:
    """A server that keeps what it is sent and replies as it is told."""

    def __init__(self, reply: Reply) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        seen = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                seen.requests.append(json.loads(body))
                seen.headers.append({k.lower(): v for k, v in self.headers.items()})
                reply(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def streamed(*texts: str, is_whole: bool = True) -> Reply:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.end_headers()
        for text in texts:
            event = {"choices": [{"delta": {"content": text}, "finish_reason": None}]}
            handler.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            handler.wfile.flush()
        if is_whole:
            handler.wfile.write(b"data: [DONE]\n\n")

    return reply


def refused(handler: BaseHTTPRequestHandler) -> None:
    body = json.dumps({"error": {"message": "no model 'seer' here"}}).encode()
    handler.send_response(404)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def silent(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.flush()
    time.sleep(2.5)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, clip: Path) -> Path:
    """A library with one clip, for every server to be asked about."""
    folder = tmp_path_factory.mktemp("home")
    context = open_library(folder, checkpoint)
    ingest_now(context, [str(clip)])
    context.close()
    return folder


@pytest.fixture
def ask_server(
    home: Path, checkpoint: Path, tmp_path: Path
) -> Iterator[Callable[[Reply], tuple[AnswerResponse, StandIn, list[str]]]]:
    opened: list[StandIn | ServiceContext] = []

    def run(reply: Reply) -> tuple[AnswerResponse, StandIn, list[str]]:
        server = StandIn(reply)
        key = tmp_path / "key"
        key.write_text("sk-secret\n")
        context = open_library(
            home,
            checkpoint,
            answer__base_url=server.base_url,
            answer__model="seer",
            answer__api_key_file=str(key),
            answer__timeout_s=1,
            answer__stills=2,
        )
        opened.extend((server, context))
        words: list[str] = []
        scope = resolve_scope(context)
        document = ask(context, "What is he doing?", scope, on_token=words.append)
        return document, server, words

    yield run
    for item in opened:
        item.close()


Ask = Callable[[Reply], tuple[AnswerResponse, StandIn, list[str]]]


def test_moments_go_along_with_times_and_stills_and_nothing_else(ask_server: Ask) -> None:
    _, server, _ = ask_server(streamed("Nothing."))
    (request,) = server.requests
    assert (request["model"], request["stream"]) == ("seer", True)
    assert request["max_tokens"] > 0
    *_, last = request["messages"]
    texts = [part["text"] for part in last["content"] if part["type"] == "text"]
    assert texts[0].startswith("[1] front door at 0:")
    assert texts[-1] == "What is he doing?"
    pictures = [part for part in last["content"] if part["type"] == "image_url"]
    assert 1 <= len(pictures) <= 2
    assert all(part["image_url"]["url"].startswith("data:image/jpeg;base64,") for part in pictures)
    assert server.headers[0]["authorization"] == "Bearer sk-secret"
    # No path of this machine is told.
    assert "/" not in texts[0]


def test_answer_streams_and_its_citations_are_the_moments_sent(ask_server: Ask) -> None:
    document, server, words = ask_server(streamed("He ", "waves [2], ", "then sits [9]."))
    assert words == ["He ", "waves [2], ", "then sits [9]."]
    assert document.answer == "He waves [2], then sits [9]."
    assert document.answered_by == "model"
    assert document.model == "seer at 127.0.0.1"
    content = server.requests[0]["messages"][-1]["content"]
    second = next(part["text"] for part in content if part.get("text", "").startswith("[2]"))
    (evidence,) = document.evidence
    minutes, seconds = divmod(int(evidence.keyframe_s + 0.5), 60)
    assert f"at {minutes}:{seconds:02d}" in second


def test_answer_without_a_citation_has_moments_and_no_evidence(ask_server: Ask) -> None:
    document, _, _ = ask_server(streamed("I cannot tell."))
    assert document.evidence == []
    assert document.nearest


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (refused, "No answer: 127.0.0.1 refused with status 404: no model 'seer' here."),
        (silent, "No answer: 127.0.0.1 was silent for 1 s."),
        (
            streamed("He waves", is_whole=False),
            "He waves (127.0.0.1 stopped in mid-answer.)",
        ),
        (streamed(), "No answer: 127.0.0.1 sent no words."),
    ],
    ids=["refused", "silent", "cut off", "no words"],
)
def test_failure_is_a_sentence_with_the_nearest_moments(
    ask_server: Ask, reply: Reply, text: str
) -> None:
    document, _, words = ask_server(reply)
    assert document.answer == text
    assert "".join(words) == text
    assert document.answered_by == "nothing"
    assert document.nearest
    assert "sk-secret" not in document.model_dump_json()


PICTURES = (np.full((30, 40, 3), 200, np.uint8), np.full((20, 90, 3), 10, np.uint8))


@pytest.mark.parametrize("is_alone", [False, True], ids=["beside video", "alone"])
def test_images_of_a_question_are_sent_as_stills_are(
    home: Path, checkpoint: Path, is_alone: bool
) -> None:
    server = StandIn(streamed("It is he [1]."))
    flags = {"answer__base_url": server.base_url, "answer__model": "seer", "answer__stills": 2}
    with closing(open_library(home, checkpoint, **flags)) as context, closing(server):
        # The loaded model reads none: it is not asked.
        scope = () if is_alone else resolve_scope(context)
        document = ask(context, "Is it him?", scope, pictures=PICTURES)
        assert (document.images, document.model) == (2, "seer at 127.0.0.1")
        assert len(document.evidence) == (0 if is_alone else 1)
        assert (document.searched_s == 0) is is_alone
        system, user = server.requests[0]["messages"]
        assert ("moments" in system["content"]) is not is_alone
        content = user["content"]
        assert content[-1] == {"type": "text", "text": "Is it him?"}
        sizes = []
        for part in content[-3:-1]:
            head, data = part["image_url"]["url"].split(",")
            assert head == "data:image/jpeg;base64"
            sizes.append(Image.open(io.BytesIO(base64.b64decode(data))).size)
        assert sizes == [(40, 30), (90, 20)]
        # Footage stands before them, numbered, and apart.
        texts = [part["text"] for part in content if part["type"] == "text"]
        assert texts[-2:-1] == ([] if is_alone else [BESIDE])
        with pytest.raises(MissingCapabilityError, match="reads no still images"):
            ask(context, "Is it him?", scope, pictures=PICTURES, recall="top")


def test_other_hosts_have_to_be_named(tmp_path: Path) -> None:
    flags = {"answer.base_url": "http://vision.example/v1", "answer.model": "seer"}
    with pytest.raises(SettingsError, match=r"vision\.example is not this machine"):
        load_settings(flags, home=tmp_path)
    named = load_settings({**flags, "answer.allow_hosts": ["vision.example"]}, home=tmp_path)
    assert named.answer.host == "vision.example"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_this_machine_needs_no_name(tmp_path: Path, host: str) -> None:
    flags = {"answer.base_url": f"http://{host}:8000/v1", "answer.model": "seer"}
    assert load_settings(flags, home=tmp_path).answer.host is not None


def test_no_server_is_asked_unless_one_is_configured(tmp_path: Path) -> None:
    assert load_settings(home=tmp_path).answer.base_url is None
