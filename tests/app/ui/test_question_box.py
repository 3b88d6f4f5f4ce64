"""Pictures beside a question on the page: put there, asked about, kept, and asked about again."""

import io
from collections.abc import Iterator
from typing import Any

import anyio
import gradio as gr
import pytest
from PIL import Image
from starlette.requests import Request

from app.services.accounts import add_token
from app.services.conversations import show_conversation
from app.ui.asking import asked, stream_answer
from app.ui.conversation import Message, kept_messages, question_message
from app.ui.picture_uploads import MOST_WAITING
from app.ui.question_box import Asked, read_box, sources_of
from app.ui.talk import TalkPanel
from engine.models.video_xl.model import VideoXl
from tests.support.site import Library, Site, open_site

UPLOAD = "/ui/gradio_api/upload"
FILE = "/ui/gradio_api/file="
QUESTION = "Is *this* him?"


@pytest.fixture(scope="module")
def site(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with pages, whose model reads still images."""
    made = VideoXl.__init__

    def make(model: VideoXl, *parts: Any, **more: Any) -> None:
        made(model, *parts, **more)
        model._image_sizes = ((64, 32),)

    folder = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VideoXl, "__init__", make)
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        with open_site(library, folder / "site", with_pages=True) as opened:
            yield opened


def picture(shade: int = 90, size: tuple[int, int] = (40, 30)) -> bytes:
    packed = io.BytesIO()
    Image.new("RGB", size, (shade, 9, 200)).save(packed, "PNG")
    return packed.getvalue()


def upload(client: Any, *pictures: bytes, **headers: str) -> Any:
    files = [("files", (f"my face {n}.png", content)) for n, content in enumerate(pictures)]
    return client.post(UPLOAD, files=files, headers=headers)


def request_of(site: Site, name: str) -> gr.Request:
    state = {"principal": site.principal(name)}
    return gr.Request(Request({"type": "http", "headers": [], "state": state}))


def ask(site: Site, asking: Asked, **more: Any) -> tuple[list[Message], Any]:
    """The chat and the answer when it is complete."""

    async def run() -> tuple[list[Message], Any]:
        steps = stream_answer(
            site.app_context,
            request_of(site, "vera"),
            [],
            asking,
            **{"talk": "", "videos": [site.gate], **more},
        )
        return [step async for step in steps][-1]

    return anyio.run(run)


def test_uploaded_picture_is_shown_to_whoever_sent_it_alone(site: Site) -> None:
    sent = upload(site.viewer, picture())
    assert sent.status_code == 200
    (path,) = sent.json()
    shown = site.viewer.get(FILE + path)
    assert shown.content == picture()
    assert site.admin.get(FILE + path).status_code == 404
    assert site.anonymous.get(FILE + path).status_code == 401
    for other in ("/etc/passwd", f"{path}/../../../../../etc/passwd", "https://example.org/a.png"):
        assert site.viewer.get(FILE + other).status_code == 404


def test_token_sends_no_files_to_pages(site: Site) -> None:
    user = site.principal("vera").user
    _, secret = add_token(site.services, user.id, "script", days=1, scopes=["read"])
    sent = upload(site.anonymous, picture(), authorization=f"Bearer {secret}")
    assert sent.status_code == 404


def test_oldest_pictures_make_room(site: Site) -> None:
    (first,) = upload(site.admin, picture(1)).json()
    for shade in range(2, MOST_WAITING + 1):
        upload(site.admin, picture(shade))
    assert site.admin.get(FILE + first).status_code == 200
    upload(site.admin, picture(MOST_WAITING + 1))
    assert site.admin.get(FILE + first).status_code == 404


def test_picture_is_asked_about_kept_and_asked_about_again(site: Site) -> None:
    paths = upload(site.viewer, picture(), picture(10, (90, 20))).json()
    asking = read_box({"text": f" {QUESTION} ", "files": paths})
    assert asking.words == QUESTION
    messages, answer = ask(site, asking)
    assert answer.images == 2
    assert answer.searched_s == 24
    # What the page shows then is what it shows after it is opened anew.
    kept = site.viewer.get(f"/api/v1/conversations/{answer.conversation_id}").json()["turns"]
    assert sources_of(through_browser(messages[:1])[0]) == tuple(kept[0]["image_urls"])
    sizes = [Image.open(io.BytesIO(site.viewer.get(url).content)).size for url in answer.image_urls]
    assert sizes == [(40, 30), (90, 20)]
    again = Asked(words=QUESTION, pictures=tuple(answer.image_urls))
    _, repeated = ask(site, again, talk=answer.conversation_id, pictures_alone=True, videos=[])
    assert (repeated.images, repeated.searched_s) == (2, 0.0)
    # Kept ones cannot stand in the box again, and what was sent just now can.
    assert again.in_box == QUESTION
    assert asking.in_box == {"text": QUESTION, "files": paths}


def test_picture_of_somebody_else_is_none(site: Site) -> None:
    (path,) = upload(site.viewer, picture(33)).json()
    _, answer = ask(site, read_box({"text": QUESTION, "files": [path]}))
    stolen = Asked(words="Who is it?", pictures=tuple(answer.image_urls))

    async def run() -> tuple[list[Message], Any]:
        steps = stream_answer(
            site.app_context, request_of(site, "ada"), [], stolen, talk="", videos=[]
        )
        return [step async for step in steps][-1]

    messages, refused = anyio.run(run)
    assert refused is None
    assert "no conversation" in messages[-1]["content"][0]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (f"{FILE}/etc/passwd", "is gone"),
        ("https://example.org/a.png", "is gone"),
        ("/api/v1/conversations/none/turns/0/images/0.jpg", "no conversation"),
    ],
)
def test_address_that_is_no_picture_is_refused(site: Site, source: str, reason: str) -> None:
    messages, answer = ask(site, Asked(words=QUESTION, pictures=(source,)))
    assert answer is None
    assert reason in messages[-1]["content"][0]


def test_limits_are_those_of_every_question(site: Site) -> None:
    most = site.services.settings.limits.images
    paths = upload(site.viewer, *(picture(shade) for shade in range(most + 1))).json()
    messages, answer = ask(site, read_box({"text": QUESTION, "files": paths}))
    assert answer is None
    assert "the number of images" in messages[-1]["content"][0]
    messages, _ = ask(site, read_box({"text": QUESTION, "files": upload(site.viewer, b"x").json()}))
    assert "image 1" in messages[-1]["content"][0]
    messages, _ = ask(site, Asked(words=QUESTION), pictures_alone=True)
    assert "no image" in messages[-1]["content"][0]


def test_question_comes_back_from_the_browser_as_it_was_asked(site: Site) -> None:
    sources = (f"{FILE}/tmp/a/my%20face%20%26%20%22me%22.png", f"{FILE}/tmp/b/2.png")
    (message,) = through_browser([question_message(QUESTION, sources)])
    assert asked(message) == QUESTION
    assert sources_of(message) == sources
    (plain,) = through_browser([question_message(QUESTION)])
    assert (asked(plain), sources_of(plain)) == (QUESTION, ())


def test_box_and_places_are_of_the_model(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn() -> tuple[type, list[str]]:
        with gr.Blocks():
            panel = TalkPanel(site.app_context)
            panel.draw()
            return type(panel.box), [str(name) for name, _ in panel.where.choices]

    places = ["this video", "all videos"]
    assert drawn() == (gr.MultimodalTextbox, [*places, "the pictures alone"])
    monkeypatch.setattr(site.services.engine.model, "_image_sizes", ())
    assert drawn() == (gr.Textbox, places)


def through_browser(messages: Any) -> list[Any]:
    """Messages as a page gets them, and as it hands them back."""
    chat = gr.Chatbot(render=False)
    return list(chat.preprocess(chat.postprocess(messages)))


def test_kept_conversation_shows_its_pictures(site: Site) -> None:
    (path,) = upload(site.viewer, picture(77)).json()
    _, answer = ask(site, read_box({"text": QUESTION, "files": [path]}))
    principal = site.principal("vera")
    document = show_conversation(
        site.services, principal.user.id, principal, answer.conversation_id
    )
    question, _ = kept_messages(document.turns, lambda _: {})
    assert sources_of(through_browser([question])[0]) == tuple(answer.image_urls)
