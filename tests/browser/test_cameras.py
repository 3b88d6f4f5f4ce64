"""The page of cameras: one is added, tried, seen and switched off; a viewer sees what is theirs."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from app.services.benchmarks.web import RunningServer
from tests.browser.stage import enter_by_link, open_page, open_stage, ready
from tests.support.camera import NAME, PASSWORD, QUOTED_PASSWORD
from tests.support.clock_camera import drawn_clock, open_clock_camera
from tests.support.onvif_device import open_onvif_device

SHOWN = "element => element.complete && element.naturalWidth > 0"


@pytest.fixture
def server(tmp_path: Path, browser: Any) -> Any:
    with open_stage(tmp_path / "home", allows_network=True) as opened:
        yield opened


def field(name: str) -> str:
    return f"#lw-camera-{name} input, #lw-camera-{name} textarea"


def test_admin_adds_a_camera_and_sees_it_film(
    browser: Any, server: RunningServer, tmp_path: Path
) -> None:
    with (
        open_page(browser, server, height=900) as page,
        open_clock_camera(drawn_clock(tmp_path / "clock")) as camera,
    ):
        enter_by_link(page, server)
        ready(page, "/ui/cameras")
        page.wait_for_selector("#lw-cameras .empty")
        page.fill(field("name"), "Gate")
        page.fill(field("address"), "http://127.0.0.1:9/live.ts")
        page.click("#lw-camera-test")
        page.wait_for_selector("#lw-camera-answer :text('nobody answers there')")
        page.fill(field("address"), camera.address)
        page.click("#lw-camera-test")
        page.wait_for_selector("#lw-camera-answer :text('It answers: H264 160x96')")
        page.click("#lw-camera-save")
        page.wait_for_selector("#lw-cameras .card :text('live')")
        cover = page.wait_for_selector("#lw-cameras .cover img")
        page.wait_for_function(SHOWN, arg=cover)
        page.screenshot(path=tmp_path / "cameras.png", full_page=True)
        # The form is ready for the next one.
        page.wait_for_function(
            "field => document.querySelector(field).value === ''", arg=field("name")
        )
        # What it films plays on the page of the part, while it films.
        page.click("#lw-cameras .stills a")
        page.wait_for_function(
            "() => { const video = document.querySelector('video');"
            " return video && video.readyState >= 2 && video.videoWidth === 160; }",
        )
        page.screenshot(path=tmp_path / "plays.png")
        page.goto("/ui/cameras")
        camera.is_silent = True
        page.wait_for_selector("#lw-cameras :text('sends nothing')")
        page.click("#lw-cameras button[data-action=off]")
        page.wait_for_selector("#lw-cameras :text('it is switched off')")
        page.click("#lw-cameras button[data-action=edit]")
        page.wait_for_selector(":text('Change Gate')")
        page.fill(field("name"), "Front gate")
        page.click("#lw-camera-save")
        page.wait_for_selector("#lw-cameras h2:text('Front gate')")
        page.set_viewport_size({"width": 375, "height": 800})
        page.screenshot(path=tmp_path / "phone.png", full_page=True)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 375, "nothing sticks out on a phone"


def test_fields_of_the_form_stand_apart_on_a_phone(browser: Any, server: RunningServer) -> None:
    with open_page(browser, server, width=390, height=844) as page:
        enter_by_link(page, server)
        ready(page, "/ui/cameras")
        page.wait_for_selector(field("name"))
        boxes = page.eval_on_selector_all(
            "#lw-camera-form .form > .block",
            "blocks => blocks.map(block => block.getBoundingClientRect().toJSON())",
        )
    assert len(boxes) > 6
    rows = sorted({(round(box["top"]), round(box["bottom"])) for box in boxes})
    gaps = [below[0] - above[1] for above, below in itertools.pairwise(rows)]
    assert min(gaps) >= 8, gaps
    assert all(box["left"] >= 0 and box["right"] <= 390 for box in boxes)


def test_camera_that_is_found_is_taken_into_the_form(
    browser: Any, server: RunningServer, tmp_path: Path
) -> None:
    with open_page(browser, server, height=900) as page, open_onvif_device() as device:
        enter_by_link(page, server)
        ready(page, "/ui/cameras")
        page.click("#lw-camera-find")
        found = "#lw-found-cameras"
        page.wait_for_selector(f"{found} :text('No camera answers'), {found} button")
        page.fill("#lw-found-device textarea, #lw-found-device input", device.address)
        page.click("#lw-found-ask")
        page.wait_for_selector("#lw-found-streams :text('wants a name and a password')")
        page.fill("#lw-found-user textarea, #lw-found-user input", NAME)
        page.fill("#lw-found-password input", PASSWORD)
        page.click("#lw-found-ask")
        page.wait_for_selector("#lw-found-streams button:text('main stream')")
        page.screenshot(path=tmp_path / "found.png")
        page.click("#lw-found-streams button:text('sub stream')")
        page.wait_for_selector("#lw-camera-answer :text('taken over')")
        taken = page.input_value(field("address"))
        assert taken == f"rtsp://{NAME}:{QUOTED_PASSWORD}@127.0.0.1:8554/sub"
        # Closed, it leaves the page with the password that was in it.
        page.wait_for_selector("#lw-find-cameras", state="detached")
