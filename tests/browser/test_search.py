"""The search page as a person uses it: filters, the address, Back, likeness, keys."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.services.benchmarks.web import RunningServer, draw_clip
from tests.browser.stage import open_stage, wait_until_read

BOX = "#lw-query [data-testid=textbox]"
# A name that Gradio's templates would run as a script.
TRAP = "gate ${document.title='run'} <b>{{x}}</b>"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[RunningServer]:
    work = tmp_path_factory.mktemp("search")
    draw_clip(work / "gate.mp4", seed=4, seconds=40.0, height_px=180)
    with open_stage(work / "home", roots=work) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(server: RunningServer, browser: Any) -> Iterator[Any]:
    """A signed-in page of a library with one video; an error in its console is a failure."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, base_url=server.address)
    opened = context.new_page()
    broken: list[str] = []
    opened.on("pageerror", lambda error: broken.append(str(error)))
    opened.goto(server.link)
    opened.click("button[type=submit]")
    opened.wait_for_selector(".lw .bar")
    opened.evaluate(
        """async ([source, name]) => {
          const { csrf } = await (await fetch("/api/v1/session")).json();
          const headers = { "X-CSRF-Token": csrf, "Content-Type": "application/json" };
          await fetch("/api/v1/videos",
            { method: "POST", headers, body: JSON.stringify({ source, name }) });
        }""",
        [str(Path(server.home).parent / "gate.mp4"), TRAP],
    )
    wait_until_read(opened, 1)
    yield opened
    context.close()
    assert not broken


def search(page: Any, words: str) -> None:
    page.fill(BOX, words)
    page.press(BOX, "Enter")


def ready(page: Any, path: str) -> None:
    page.goto(path)
    page.wait_for_selector('.page[aria-busy="false"]')
    page.wait_for_selector("#lw-found .empty, #lw-found .results, #lw-found .note")


def test_back_returns_to_the_search_before(page: Any) -> None:
    ready(page, "/ui/search")
    search(page, "a card")
    page.wait_for_url("**/ui/search?q=a+card")
    page.wait_for_selector(".results .shot")
    search(page, "a person")
    page.wait_for_url("**/ui/search?q=a+person")
    page.locator(".moment button[data-event=similar]").first.click()
    page.wait_for_url("**/ui/search?like=*")
    assert page.input_value(BOX) == ""
    page.go_back()
    page.wait_for_url("**/ui/search?q=a+person")
    page.wait_for_function(f"document.querySelector('{BOX}')?.value === 'a person'")
    page.go_back()
    page.wait_for_function(f"document.querySelector('{BOX}')?.value === 'a card'")
    assert page.locator(".results .shot").count()


def test_filter_that_means_nothing_searches_nothing(page: Any) -> None:
    ready(page, "/ui/search")
    for words in ("a card camera:zzz", "a card after:2026-13-45"):
        search(page, words)
        page.wait_for_selector("#lw-found .note")
        assert "Nothing was searched" in page.inner_text("#lw-found")
        assert not page.locator(".results").count()
        assert page.input_value(BOX) == words
    ready(page, "/ui/search?q=a+card&v=nothing")
    assert "gone, or was not shared" in page.inner_text("#lw-found .note")


def test_name_of_a_video_is_never_run(page: Any) -> None:
    ready(page, "/ui/search?q=a+card")
    assert page.title() == "Search · Longwatch"
    assert TRAP in page.locator(".moment .about").first.inner_text()


def test_arrows_walk_the_results(page: Any) -> None:
    ready(page, "/ui/search?q=a+card")
    shots = page.locator(".results .shot")
    assert shots.count() > 1
    shots.first.focus()
    page.keyboard.press("ArrowRight")
    assert shots.nth(1).evaluate("shot => shot === document.activeElement")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/watch?v=*")


def test_part_that_cannot_be_loaded_says_so(page: Any, browser: Any, server: RunningServer) -> None:
    # What a browser has kept is never asked for, and so cannot fail: this one has kept nothing.
    state = page.context.storage_state()
    context = browser.new_context(base_url=server.address, storage_state=state)
    fresh = context.new_page()
    fresh.route("**/site.js", lambda route: route.abort())
    fresh.goto("/ui/search")
    assert "could not be loaded" in fresh.wait_for_selector(".lw-broken").inner_text()
    context.close()
