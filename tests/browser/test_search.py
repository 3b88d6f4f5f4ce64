"""The search page as a person uses it: filters, the address, Back, likeness, keys."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.services.benchmarks.web import RunningServer, draw_clip
from tests.browser.stage import enter_by_link, open_page, open_stage, ready, wait_until_read

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
    """A signed-in page of a library with one video."""
    with open_page(browser, server) as opened:
        enter_by_link(opened, server)
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


def search(page: Any, words: str) -> None:
    page.fill(BOX, words)
    page.press(BOX, "Enter")


def test_back_returns_to_the_search_before(page: Any) -> None:
    ready(page, "/ui/search")
    search(page, "a card")
    page.wait_for_url("**/ui/search?q=a+card")
    page.wait_for_selector(".results .shot")
    search(page, "a person")
    page.wait_for_url("**/ui/search?q=a+person")
    page.locator(".moment button[data-event=similar]").first.click()
    page.wait_for_url("**/ui/search?like=*")
    page.wait_for_function(f"document.querySelector('{BOX}')?.value === ''")
    page.go_back()
    page.wait_for_url("**/ui/search?q=a+person")
    page.wait_for_function(f"document.querySelector('{BOX}')?.value === 'a person'")
    page.go_back()
    page.wait_for_function(f"document.querySelector('{BOX}')?.value === 'a card'")
    page.wait_for_selector(".results .shot")


def test_filter_that_means_nothing_searches_nothing(page: Any) -> None:
    ready(page, "/ui/search")
    for words in ("a card camera:zzz", "a card after:2026-13-45"):
        search(page, words)
        page.wait_for_selector("#lw-found .note")
        assert "Nothing was searched" in page.inner_text("#lw-found")
        assert not page.locator(".results").count()
        assert page.input_value(BOX) == words
    ready(page, "/ui/search?q=a+card&v=nothing")
    page.wait_for_selector("#lw-found .note:has-text('gone, or was not shared')")


def test_name_of_a_video_is_never_run(page: Any) -> None:
    ready(page, "/ui/search?q=a+card")
    page.wait_for_function("document.title === 'Search · Longwatch'")
    assert TRAP in page.locator(".moment .about").first.inner_text()


def test_arrows_walk_the_results(page: Any) -> None:
    ready(page, "/ui/search?q=a+card")
    shots = page.locator(".results .shot")
    shots.nth(1).wait_for()
    shots.first.focus()
    page.keyboard.press("ArrowRight")
    assert shots.nth(1).evaluate("shot => shot === document.activeElement")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/watch?v=*")


def test_part_that_cannot_be_loaded_says_so(page: Any, browser: Any, server: RunningServer) -> None:
    # What a browser has kept is never asked for, and so cannot fail: this one has kept nothing.
    state = page.context.storage_state()
    with open_page(browser, server, state) as fresh:
        fresh.route("**/site.js", lambda route: route.abort())
        fresh.goto("/ui/search")
        fresh.wait_for_selector(".lw-broken:has-text('could not be loaded')")
