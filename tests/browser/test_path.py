"""The main path, as a person walks it: upload, ask, watch the proof, search, probe, leave."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.services.benchmarks.web import RunningServer, draw_clip
from tests.browser.stage import (
    ANSWER,
    QUESTION,
    add_viewer,
    enter_by_password,
    open_page,
    ready,
    wait_until_read,
)

SEED, SECONDS = 4, 40.0
PASSWORD = "correct horse battery"
SEARCH = "#lw-query [data-testid=textbox]"
WIDTHS = {"desktop": (1280, 800), "phone": (375, 760)}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A drawn recording, and a question that a card in it answers."""
    path = tmp_path_factory.mktemp("clip") / "camera.mp4"
    found = draw_clip(path, seed=SEED, seconds=SECONDS, height_px=180)
    return path, next(one.text for one in found if one.kind == "code")


@pytest.fixture(params=WIDTHS)
def page(
    request: pytest.FixtureRequest, browser: Any, stage: RunningServer, state: Any
) -> Iterator[Any]:
    """A signed-in page at one of the widths, which asks no other host."""
    width, height = WIDTHS[request.param]
    left: list[str] = []
    with open_page(browser, stage, state, width=width, height=height) as opened:
        opened.on(
            "request", lambda asked: left.append(asked.url) if _leaves(asked.url, stage) else 0
        )
        yield opened
    assert not left


def _leaves(url: str, stage: RunningServer) -> bool:
    return not url.startswith((stage.address, "data:", "blob:"))


def test_interrupted_upload_is_resumed_and_read(page: Any, clip: tuple[Path, str]) -> None:
    path, _ = clip
    ready(page, "/ui/")
    # As a tab leaves it that was closed after the first thousand bytes.
    stat = os.stat(path)
    first = page.evaluate(
        """async ([key, size, part]) => {
          const { csrf } = await (await fetch("/api/v1/session")).json();
          const headers = { "X-CSRF-Token": csrf, "Tus-Resumable": "1.0.0" };
          const made = await fetch("/api/v1/uploads", { method: "POST", headers: { ...headers,
            "Upload-Length": String(size), "Upload-Metadata": `filename ${btoa("camera.mp4")}` } });
          const address = made.headers.get("Location");
          const sent = await fetch(address, { method: "PATCH", body: new Uint8Array(part),
            headers: { ...headers, "Upload-Offset": "0",
              "Content-Type": "application/offset+octet-stream" } });
          const opening = indexedDB.open("lw-unfinished", 1);
          await new Promise((done) => (opening.onsuccess = done));
          const files = opening.result.transaction("files", "readwrite").objectStore("files");
          const kept = files.put({ key, size, url: address, name: "camera.mp4" });
          await new Promise((done) => (kept.onsuccess = done));
          return sent.headers.get("Upload-Offset");
        }""",
        [
            f"{path.name}:{stat.st_size}:{stat.st_mtime_ns // 1_000_000}",
            stat.st_size,
            list(path.read_bytes()[:1000]),
        ],
    )
    assert first == "1000"
    with page.expect_response(lambda answer: answer.request.method == "PATCH") as part:
        page.set_input_files("#lw-files", path)
    assert part.value.request.headers["upload-offset"] == "1000"
    assert part.value.status == 204
    page.wait_for_selector(".card:has(img):not(:has(.going))")
    assert len(wait_until_read(page, 1)) == 1


def test_citation_seeks_to_the_moment_that_proves_the_answer(
    page: Any, clip: tuple[Path, str]
) -> None:
    _, question = clip
    ready(page, "/ui/watch")
    page.fill(QUESTION, question)
    page.press(QUESTION, "Enter")
    cite = page.wait_for_selector(".turn .evidence .shot")
    words = page.locator(ANSWER).last.inner_text()
    assert words.strip()
    page.wait_for_function("document.querySelector('video')?.readyState >= 1")
    said: list[str] = []
    # The stream of results belongs to the question; every event begins with a POST.
    page.on("request", lambda asked: said.append(asked.url) if asked.method == "POST" else None)
    cite.click()
    page.wait_for_function("document.querySelector('video')?.currentTime > 0")
    start = float(cite.get_attribute("data-start"))
    time = page.evaluate("document.querySelector('video').currentTime")
    assert start <= time + 0.05 <= start + 4
    assert not said
    # Any moment is a link: what the address says now opens the same conversation and moment.
    page.wait_for_function("location.search.includes('t=')")
    link = page.url
    ready(page, link)
    page.wait_for_selector(".turn .evidence .shot")
    page.locator(ANSWER, has_text=words).wait_for()


def test_answer_and_search_name_what_they_could_not_search(page: Any, stage: RunningServer) -> None:
    """A chunk goes missing below a running server, and comes back."""
    ready(page, "/ui/watch")
    chunk = next(stage.home.glob("latents/*/*/00000001.safetensors"))
    hidden = chunk.with_suffix(".hidden")
    chunk.rename(hidden)
    try:
        page.fill(QUESTION, "What happens?")
        page.press(QUESTION, "Enter")
        line = page.wait_for_selector(".turn .left-out").inner_text()
        assert "Not searched: " in line
        assert "longwatch videos reindex" in line
        ready(page, "/ui/search")
        page.fill(SEARCH, "a card")
        page.press(SEARCH, "Enter")
        page.wait_for_selector(".left-out")
    finally:
        hidden.rename(chunk)


def test_keys_work_only_while_the_player_has_focus(page: Any) -> None:
    ready(page, "/ui/watch")
    page.wait_for_function("document.querySelector('video')?.readyState >= 1")
    page.focus("video")
    page.keyboard.press("l")
    page.wait_for_function("document.querySelector('video')?.currentTime >= 9.9")
    page.focus(QUESTION)
    page.keyboard.type("jj")
    assert page.input_value(QUESTION) == "jj"
    assert page.evaluate("document.querySelector('video').currentTime") >= 9.9


def test_search_opens_the_player_at_the_moment(page: Any) -> None:
    ready(page, "/ui/search")
    page.fill(SEARCH, "a card video:camera")
    page.press(SEARCH, "Enter")
    page.wait_for_selector(".results .moment")
    page.wait_for_selector("#lw-videos .token:has-text('camera')")
    page.locator(".results .shot").first.click()
    page.wait_for_selector(".timeline .tl-over")
    page.wait_for_url("**/ui/watch?v=*")
    page.wait_for_function("document.querySelector('video')?.readyState >= 1")


def test_cell_of_a_probe_shows_its_needle(page: Any) -> None:
    ready(page, "/ui/probe")
    if not page.query_selector(".heat button"):
        for length in ("32", "64", "16"):
            page.locator("#lw-lengths").get_by_label(length, exact=True).click()
        page.click("#lw-run")
    page.wait_for_selector(".heat button")
    page.locator(".heat button").first.click()
    page.wait_for_selector(".trial img")
    assert "asked" in page.inner_text(".trial")
    # A needle of one frame has a time, not an empty span.
    assert "0:00\N{EN DASH}0:00" not in page.inner_text(".trial")


def test_pages_fit_their_width(page: Any) -> None:
    for path in (
        "/ui/",
        "/ui/watch",
        "/ui/moments",
        "/ui/search?q=a+car",
        "/ui/probe",
        "/ui/jobs",
        "/ui/settings",
    ):
        ready(page, path)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
        assert not page.is_visible("footer")


def test_keyboard_alone_leads_from_the_door_to_an_answer(page: Any, clip: tuple[Path, str]) -> None:
    ready(page, "/ui/watch")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "TEXTAREA":
            break
    page.keyboard.type(clip[1])
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn .evidence .shot")


def test_signing_out_closes_the_door(browser: Any, stage: RunningServer, state: Any) -> None:
    add_viewer(stage.home, "vera", PASSWORD)
    with open_page(browser, stage) as page:
        page.goto(stage.link)
        page.click("button[type=submit]")
        page.wait_for_selector("main:has-text('was used')")
        enter_by_password(page, "vera", PASSWORD, "/ui/jobs")
        page.wait_for_url("**/ui/jobs")
        page.click("#lw-account")
        page.click("text=Sign out")
        page.wait_for_url("**/sign-in")
        page.goto("/ui/")
        page.wait_for_url("**/sign-in?next=*")
