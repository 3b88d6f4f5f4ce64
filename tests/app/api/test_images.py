"""Images beside a question over HTTP: kept with the conversation, for whoever asked alone."""

import base64
import io
from typing import Any

import pytest
from PIL import Image

from engine.models.video_xl.model import VideoXl
from tests.support.site import Site

QUESTION = "What is this?"


def address(width_px: int, height_px: int) -> str:
    """An image as its sender's device writes it: with the place where it was taken."""
    packed = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    Image.new("RGB", (width_px, height_px), (9, 90, 200)).save(packed, "JPEG", exif=exif)
    return f"data:image/jpeg;base64,{base64.b64encode(packed.getvalue()).decode()}"


@pytest.fixture
def seeing(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The site with a model that reads still images."""
    model = site.services.engine.model
    assert isinstance(model, VideoXl)
    monkeypatch.setattr(model, "_image_sizes", ((64, 32),))
    return site


def ask(site: Site, *images: str, **more: object) -> dict[str, Any]:
    body = {"question": QUESTION, "images": images, **more}
    answer = site.viewer.post("/api/v1/ask", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_images_are_kept_with_their_conversation_and_without_what_their_files_hold(
    seeing: Site,
) -> None:
    asked = ask(seeing, address(40, 30), address(4000, 2000))
    talk = f"/api/v1/conversations/{asked['conversation_id']}"
    (turn,) = seeing.viewer.get(talk).json()["turns"]
    assert turn["image_urls"] == asked["image_urls"]
    sizes = []
    for url in turn["image_urls"]:
        kept = seeing.viewer.get(url)
        assert kept.headers["content-type"] == "image/jpeg"
        assert b"taken at home" not in kept.content
        sizes.append(Image.open(io.BytesIO(kept.content)).size)
    assert sizes == [(40, 30), (1024, 512)]
    assert seeing.viewer.delete(talk).status_code == 204
    assert seeing.viewer.get(turn["image_urls"][0]).status_code == 404


def test_images_of_a_question_exist_for_nobody_else(seeing: Site) -> None:
    (url,) = ask(seeing, address(40, 30))["image_urls"]
    assert seeing.viewer.get(url).status_code == 200
    assert seeing.admin.get(url).status_code == 404
    assert seeing.anonymous.get(url).status_code == 401
    for other in ("turns/0/images/1.jpg", "turns/1/images/0.jpg"):
        assert seeing.viewer.get(url.replace("turns/0/images/0.jpg", other)).status_code == 404


def test_whole_library_is_searched_beside_an_image_where_that_is_said(seeing: Site) -> None:
    image = address(40, 30)
    assert ask(seeing, image)["searched_s"] == 0
    beside = ask(seeing, image, images_alone=False)
    assert beside["searched_s"] == 24
    assert beside["images"] == 1
    assert ask(seeing, image, videos=[seeing.gate], images_alone=True)["searched_s"] == 0
    refused = seeing.viewer.post("/api/v1/ask", json={"question": QUESTION, "images_alone": True})
    assert refused.status_code == 422
    assert "no image" in refused.json()["error"]["message"]
