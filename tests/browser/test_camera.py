"""A live camera has pictures: its card, the player, the strip and the evidence show stills."""

import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from app.services.benchmarks.web import RunningServer, draw_clip
from tests.browser.stage import PATIENCE_MS, QUESTION, enter_by_link, open_page, open_stage
from tests.support.rtsp_camera import open_rtsp_camera
from tests.support.visits import as_stream

SHOWN = "element => element.complete && element.naturalWidth > 0"


def peek_at(page: Any, line: Any) -> None:
    """Move over the timeline until its picture shows: one that grows is drawn anew meanwhile."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    picture = page.locator(".tl-peek img[src*='/frame.jpg?t=']")
    for step in count():
        line.hover(position={"x": 200 + step % 8, "y": 30})
        page.wait_for_timeout(500)
        if picture.is_visible():
            return
        assert time.monotonic() < deadline, "no picture of the moment under the pointer"


@pytest.fixture
def server(tmp_path: Path, browser: Any) -> Any:
    with open_stage(tmp_path / "home") as opened:
        yield opened


def test_a_camera_shows_what_it_saw(browser: Any, server: RunningServer, tmp_path: Path) -> None:
    clip = tmp_path / "yard.mp4"
    draw_clip(clip, seed=11, seconds=60.0)
    part = as_stream(clip)
    with (
        open_page(browser, server) as page,
        open_rtsp_camera([part] * 4) as camera,
    ):
        enter_by_link(page, server)
        page.evaluate(
            """async (source) => {
              const { csrf } = await (await fetch("/api/v1/session")).json();
              const headers = { "X-CSRF-Token": csrf, "Content-Type": "application/json" };
              const body = JSON.stringify({ source, name: "Yard" });
              await fetch("/api/v1/videos", { method: "POST", headers, body });
            }""",
            camera.address(""),
        )
        page.goto("/ui/")
        cover = page.wait_for_selector(".card img")
        page.wait_for_function(SHOWN, arg=cover)
        page.screenshot(path=tmp_path / "library.png")
        page.click(".card .top a")
        page.wait_for_selector('.page[aria-busy="false"]')
        page.fill(QUESTION, "Is there a red car?")
        page.press(QUESTION, "Enter")
        page.wait_for_selector(".turn details")
        line = page.locator(".timeline .tl-over")
        peek_at(page, line)
        poster = page.wait_for_selector("video[poster*='/frame.jpg?t=']").get_attribute("poster")
        assert page.request.get(server.address + poster).headers["content-type"] == "image/jpeg"
        line.click(position={"x": 200, "y": 30})
        page.wait_for_selector(".player .word", state="hidden")
        page.wait_for_selector(f"video:not([poster='{poster}'])")
        page.screenshot(path=tmp_path / "watch.png")
