"""Watch and ask as a person uses it: citations in the words, missing videos, keys, what is kept."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.config.settings import load_settings
from app.services.benchmarks.web import RunningServer, draw_clip
from app.services.context import ServiceContext
from app.worker.foreground import ingest_now
from tests.browser.stage import (
    ANSWER,
    QUESTION,
    add_viewer,
    enter_by_link,
    enter_by_password,
    open_page,
    open_stage,
)

SECONDS = 100.0
PASSWORD = "correct horse battery"
TIME = "document.querySelector('video')?.currentTime"


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Two recordings, read; nothing observes them, so that the model answers."""
    work = tmp_path_factory.mktemp("watch")
    context = ServiceContext(load_settings({"sight.observers": []}, home=work / "home"))
    for name, seed, seconds in (("gate", 42, SECONDS), ("yard", 11, 30.0)):
        draw_clip(work / f"{name}.mp4", seed=seed, seconds=seconds, height_px=180)
        ingest_now(context, [str(work / f"{name}.mp4")])
    context.close()
    with open_stage(work / "home", observers=[]) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(server: RunningServer, browser: Any) -> Iterator[Any]:
    """A signed-in page."""
    clipboard = ["clipboard-read", "clipboard-write"]
    with open_page(browser, server, permissions=clipboard) as opened:
        enter_by_link(opened, server)
        yield opened


def gate(page: Any) -> str:
    """Open the longer video; its id."""
    videos = page.evaluate("fetch('/api/v1/videos').then((answer) => answer.json())")["videos"]
    video = next(item["video_id"] for item in videos if item["name"] == "gate")
    page.goto(f"/ui/watch?v={video}")
    page.wait_for_function("document.querySelector('video')?.readyState >= 1")
    return str(video)


def ask(page: Any, question: str) -> None:
    n_before = page.locator(".turn .basis").count()
    page.fill(QUESTION, question)
    page.press(QUESTION, "Enter")
    page.locator(".turn .basis").nth(n_before).wait_for(timeout=60_000)


def test_citation_in_the_words_seeks_without_a_word_to_the_server(page: Any) -> None:
    gate(page)
    ask(page, "How many people come by?")
    cite = page.locator(f"{ANSWER} a").first
    assert cite.inner_text() == "[1]"
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "_api/" in request.url else 0)
    cite.click()
    page.wait_for_function(f"{TIME} > 0.5")
    assert not sent
    assert len(page.context.pages) == 1
    page.wait_for_function("location.search.includes('c=')")


def test_answer_is_copied_as_it_reads(page: Any) -> None:
    page.locator(".turn [data-copy]").last.click()
    page.wait_for_selector("text=The answer is copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.splitlines()[1].startswith("[1] gate, 0:")


def test_question_can_be_asked_again(page: Any) -> None:
    page.evaluate(
        """() => new MutationObserver(() => {
          window.wasTakenAway ||= !document.querySelector(".turn .basis");
        }).observe(document.body, { childList: true, subtree: true })"""
    )
    page.locator("button[aria-label='Retry']").last.click()
    # The new answer may stand there before anybody looks again.
    page.wait_for_function("window.wasTakenAway")
    page.wait_for_selector(".turn .basis")
    assert page.locator(".user-row").count() == 1


def test_markup_in_a_question_stays_text(page: Any) -> None:
    gate(page)
    trap = "Is <img src=x onerror=alert(1)> [here](http://evil.example) **bold** ${1+1}?"
    ask(page, trap)
    assert page.locator(".user-row .message").last.inner_text() == trap
    assert not page.locator(".user-row img, .user-row a, .user-row strong").count()


def test_no_picture_can_be_put_beside_what_nano_answers(page: Any) -> None:
    gate(page)
    assert page.locator(QUESTION).is_visible()
    assert not page.locator("#lw-question .upload-button, #lw-question input[type=file]").count()


def test_arrows_go_five_seconds_whatever_the_length(page: Any) -> None:
    gate(page)
    page.focus("video")
    page.keyboard.press("l")
    page.wait_for_function(f"{TIME} >= 9.9")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{TIME} > 14")
    assert page.evaluate(TIME) == pytest.approx(15, abs=0.2)
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"{TIME} < 11")
    assert page.evaluate(TIME) == pytest.approx(10, abs=0.2)


def test_link_to_a_video_that_is_not_there_shows_no_other(
    browser: Any, page: Any, server: RunningServer
) -> None:
    video = gate(page)
    page.goto("/ui/watch?v=nonexistent&t=10")
    page.wait_for_selector("text=This video is gone")
    assert not page.locator("video").is_visible()
    add_viewer(server.home, "hugo", PASSWORD)
    with open_page(browser, server) as other:
        enter_by_password(other, "hugo", PASSWORD, f"/ui/watch?v={video}")
        other.wait_for_selector("text=Nothing to watch yet")
        assert not other.locator("video").is_visible()


def test_earlier_conversation_is_opened_and_deleted(page: Any) -> None:
    gate(page)
    page.click("text=Earlier")
    rows = page.locator("#lw-kept tbody tr")
    rows.first.wait_for()
    n_kept = rows.count()
    page.locator("#lw-kept [data-action=open]").first.click()
    page.wait_for_selector(".user-row")
    page.wait_for_function("location.search.includes('c=')")
    page.click("text=Earlier")
    # A slip of the hand deletes nothing.
    page.locator("#lw-kept .danger[popovertarget]:not([data-action])").first.click()
    page.click("#lw-kept :popover-open >> text=Leave it")
    assert rows.count() == n_kept
    page.locator("#lw-kept .danger[popovertarget]:not([data-action])").first.click()
    page.click("#lw-kept :popover-open [data-action=delete]")
    page.wait_for_function(
        f"document.querySelectorAll('#lw-kept tbody tr').length === {n_kept - 1}"
    )


def test_another_video_is_chosen_and_back_returns(page: Any) -> None:
    gate(page)
    page.click("#lw-video input")
    page.get_by_role("option", name="yard").click()
    page.wait_for_function("document.querySelector('#lw-title h1').textContent === 'yard'")
    page.go_back()
    page.wait_for_function("document.querySelector('#lw-title h1').textContent === 'gate'")
