"""A first visit: an empty library, the sample with one click, a true answer, few requests."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.services.benchmarks.web import RunningServer
from app.services.sample import sample_questions
from app.ui.frame import PAGES
from tests.browser.stage import (
    ANSWER,
    QUESTION,
    add_viewer,
    enter_by_password,
    open_page,
    open_stage,
    ready,
    sign_in,
)
from tests.browser.weight import MOST_REQUESTS, weigh

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with open_stage(tmp_path_factory.mktemp("first") / "home", observers=[]) as opened:
        yield opened


@pytest.fixture(scope="module")
def signed_in(browser: Any, server: RunningServer) -> Any:
    return sign_in(browser, server)


@pytest.fixture
def page(browser: Any, server: RunningServer, signed_in: Any) -> Iterator[Any]:
    with open_page(browser, server, signed_in) as opened:
        yield opened


@pytest.mark.parametrize("path", [path for _, _, path in PAGES])
def test_cold_page_asks_for_no_more_than_before(
    browser: Any, server: RunningServer, signed_in: Any, path: str
) -> None:
    urls = weigh(browser, server, signed_in, path).urls
    # The conversation brings Gradio's Markdown, and with that one more than before.
    assert len(urls) <= MOST_REQUESTS + (path == "/ui/watch"), "\n".join(urls)


def test_sample_answers_the_first_question(page: Any) -> None:
    ready(page, "/ui/")
    page.wait_for_selector("#lw-note:has-text('No video yet')")
    page.click("text=Try the sample")
    page.wait_for_selector("text=Drawing the sample")
    page.wait_for_selector(".card")
    page.wait_for_selector(".sample .chip")
    code = next(question for question in sample_questions() if "code" in question)
    page.click(f".sample .chip:has-text('{code}')")
    page.wait_for_function(
        "q => document.querySelector('#lw-question textarea')?.value === q", arg=code
    )
    page.press(QUESTION, "Enter")
    page.wait_for_selector(".turn .evidence .shot")
    page.locator(ANSWER, has_text="33").wait_for()
    # This server observes nothing, and does not offer to.
    page.wait_for_selector(".seen:has-text('Nothing is observed here')")
    assert not page.locator(".seen button:has-text('Observe')").count()


def test_viewer_is_told_that_nothing_was_shared(browser: Any, server: RunningServer) -> None:
    add_viewer(server.home, "vera", PASSWORD)
    with open_page(browser, server) as page:
        enter_by_password(page, "vera", PASSWORD, "/ui/")
        page.wait_for_selector("text=Nothing has been shared with you yet")
        assert not page.locator(".drop").is_visible()
        assert not page.locator("text=Try the sample").count()


def test_address_that_is_no_page_is_a_page(page: Any) -> None:
    page.goto("/ui/nothere")
    assert page.inner_text("h1") == "There is no such page"
    page.click("text=Open the library")
    page.wait_for_selector('.page[aria-busy="false"]')
    page.wait_for_function("document.title === 'Library · Longwatch'")


def test_colours_stay_as_they_were_chosen(page: Any) -> None:
    ready(page, "/ui/jobs")
    page.click("[aria-label='Use dark colours']")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    ready(page, "/ui/models")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.click("[aria-label='Use light colours']")


def test_models_page_says_what_can_be_seen_and_what_fits(page: Any) -> None:
    ready(page, "/ui/models")
    page.wait_for_selector("text=knows only the footage that Longwatch draws itself")
    row = page.locator("#lw-models tr:has-text('sy1998/Video_XL')")
    # The space between a number and its unit does not break.
    assert "16.8\u00a0GB" in row.inner_text()
    assert "longwatch models pull sy1998/Video_XL" in row.inner_text()


def test_two_servers_in_one_tab_load_their_own_files(
    browser: Any, server: RunningServer, signed_in: Any, tmp_path: Any
) -> None:
    with (
        open_stage(tmp_path / "home", observers=[]) as other,
        open_page(browser, server, signed_in) as page,
    ):
        # By another name of this machine: cookies do not tell ports apart.
        page.goto(other.link.replace("127.0.0.1", "localhost"))
        page.click("button[type=submit]")
        page.wait_for_selector('.page[aria-busy="false"]')
        # What its first page still asks for is its own.
        page.wait_for_load_state("networkidle")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto("/sign-in")
        ready(page, "/ui/jobs")
        assert not page.locator(".lw-broken").count()
        assert all(url.startswith(server.address) for url in asked), asked
