"""What stands where the film is before it plays, and where there is none."""

import wave
from collections.abc import Iterator
from typing import Any

import pytest

from app.config.settings import load_settings
from app.services.benchmarks.web import RunningServer, draw_clip
from app.services.context import ServiceContext
from app.worker.foreground import ingest_now
from tests.browser.stage import open_page, open_stage, ready, sign_in

WIDTHS = {"desktop": (1280, 800), "phone": (375, 760)}


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A clip, and three seconds of silence without a picture."""
    folder = tmp_path_factory.mktemp("film")
    draw_clip(folder / "gate.mp4", seed=4, seconds=20.0, height_px=180)
    with wave.open(str(folder / "voice.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(bytes(3 * 2 * 16_000))
    home = folder / "home"
    context = ServiceContext(load_settings({"sight.observers": ["speech"]}, home=home))
    files = [str(folder / name) for name in ("gate.mp4", "voice.wav")]
    ingest_now(context, files, observes=False)
    context.close()
    with open_stage(home, observers=["speech"]) as opened:
        yield opened


@pytest.fixture(scope="module")
def signed_in(browser: Any, server: RunningServer) -> Any:
    return sign_in(browser, server)


@pytest.fixture(params=WIDTHS)
def page(
    request: pytest.FixtureRequest, browser: Any, server: RunningServer, signed_in: Any
) -> Iterator[Any]:
    width, height = WIDTHS[request.param]
    with open_page(browser, server, signed_in, width=width, height=height) as opened:
        yield opened


def address_of(page: Any, name: str) -> str:
    """The page of a video."""
    ready(page, "/ui/")
    key = page.locator(f".card[aria-label='{name}'] .pick input").get_attribute("value")
    return f"/ui/watch?v={key}"


def test_still_stands_there_until_the_film_plays(page: Any) -> None:
    address = address_of(page, "gate")
    # A network so slow that nothing of the film comes.
    page.route("**/play.mp4", lambda route: None)
    page.goto(f"{address}&t=7.5")
    page.wait_for_function("document.querySelector('video')?.poster.includes('frame.jpg?t=7.5')")
    poster = page.evaluate("document.querySelector('video').poster")
    assert page.request.get(poster).headers["content-type"] == "image/jpeg"


def test_sound_alone_says_that_there_is_no_picture(page: Any) -> None:
    ready(page, address_of(page, "voice"))
    page.wait_for_selector(".word:has-text('Sound alone')")
    # Its words stand over the film, and take no click from it.
    page.click("video")
    page.wait_for_function("!document.querySelector('video').paused")
    assert page.locator(".word").is_visible()


def test_film_on_a_phone_leaves_when_it_rests(page: Any) -> None:
    ready(page, address_of(page, "gate"))
    page.wait_for_function("document.querySelector('video')?.readyState >= 1")
    place = "getComputedStyle(document.querySelector('.watch > .film')).position === 'sticky'"
    page.mouse.move(5, 5)
    rests = page.evaluate(place)
    page.evaluate("document.querySelector('video').play()")
    page.wait_for_selector(".playing")
    is_phone = page.viewport_size["width"] < 760
    assert (rests, page.evaluate(place)) == (False, is_phone)
