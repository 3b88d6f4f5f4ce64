"""Pages of a video that observers look at: progress, what was seen, questions, answers, proof."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from app.config.settings import load_settings
from app.services.benchmarks.web import RunningServer
from app.services.context import ServiceContext
from app.worker.foreground import ingest_now
from tests.browser.stage import ANSWER, QUESTION, open_page, open_stage, ready, sign_in
from tests.support.visits import VISITS_S, write_visits

SHOWN = [f"0:{start_s:02.0f}\N{EN DASH}0:{end_s:02.0f}" for start_s, end_s in VISITS_S]
PERSON = ".seen .chip:has-text('person')"
OBSERVERS = ["objects"]
WIDTHS = {"desktop": (1280, 800), "phone": (375, 812)}


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A recording of two visits, read; its observing waits for the server's worker."""
    folder = tmp_path_factory.mktemp("observed")
    home = folder / "home"
    context = ServiceContext(load_settings({"sight.observers": OBSERVERS}, home=home))
    ingest_now(context, [str(write_visits(folder / "lobby.mp4"))], observes=False)
    context.close()
    with open_stage(home, observers=OBSERVERS) as opened:
        yield opened


@pytest.fixture(scope="module")
def signed_in(browser: Any, server: RunningServer) -> Any:
    return sign_in(browser, server)


@pytest.fixture(params=WIDTHS)
def page(
    request: pytest.FixtureRequest, browser: Any, server: RunningServer, signed_in: Any
) -> Iterator[Any]:
    """The video's page."""
    width, height = WIDTHS[request.param]
    with open_page(browser, server, signed_in, width=width, height=height) as opened:
        ready(opened, "/ui/watch")
        yield opened


def ask(page: Any, question: str) -> Any:
    """Ask and wait for the answer; its turn."""
    page.fill(QUESTION, question)
    page.press(QUESTION, "Enter")
    turn = page.locator(".turn").last
    turn.locator(".basis").wait_for(timeout=30_000)
    return turn


def test_chips_appear_while_the_page_is_open_and_seek(page: Any) -> None:
    # The second visit is found while the page is open.
    chip = page.locator(".seen .chip", has_text=re.compile(r"person\s*2"))
    chip.wait_for(timeout=90_000)
    page.wait_for_function("document.querySelector('video')?.readyState >= 1")
    chip.click()
    page.wait_for_selector(".seen .evidence .moment")
    assert page.locator(".seen .moment .stamp").all_inner_texts() == SHOWN
    page.wait_for_function("document.querySelector('video')?.currentTime >= 4.9")
    page.locator(".seen").get_by_role("button", name="Observe again").wait_for()


def test_film_leaves_most_of_a_phone_to_its_answers(page: Any) -> None:
    page.wait_for_function("document.querySelector('video')?.readyState >= 1")
    height_px = page.viewport_size["height"]
    share = page.locator(".film").bounding_box()["height"] / height_px
    # It stays there while everything else scrolls below it.
    assert share < (0.36 if page.viewport_size["width"] < 760 else 0.8)


def test_chapters_are_pictures_with_titles_below_a_summary(page: Any) -> None:
    page.wait_for_selector(PERSON)
    page.locator(".seen .chip", has_text="chapters").click()
    page.wait_for_selector(".seen .evidence .moment")
    # The colour of the clothes is told where the pixels are sure of one.
    assert re.search(r"a person( in \w+)? from 0:05 to 0:08", page.inner_text(".seen .body p"))
    assert "person" in page.locator(".seen .moment").filter(has_text=SHOWN[0]).inner_text()


def test_starter_question_is_of_this_video_and_answered_with_pictures(page: Any) -> None:
    starter = page.wait_for_selector(".starters button")
    assert starter.inner_text() == "How many people come by?"
    starter.click()
    page.wait_for_selector(".turn .basis")
    assert page.inner_text(".turn .basis") == "Answered from objects"
    page.locator(ANSWER, has_text=re.compile("^2 visits")).wait_for()
    stills = page.locator(".turn .evidence img")
    assert stills.count() == 2
    if page.viewport_size["width"] > 1000:
        # Above the fold: nobody has to scroll to the proof.
        box = stills.last.bounding_box()
        assert box["y"] + box["height"] <= page.viewport_size["height"]
    for number in range(2):
        stills.nth(number).scroll_into_view_if_needed()
        page.wait_for_function(
            "(image) => image.naturalWidth > 0", arg=stills.nth(number).element_handle()
        )


def test_refusal_cites_nothing_and_folds_the_nearest_moments(page: Any) -> None:
    page.wait_for_selector(PERSON)
    turn = ask(page, "Is there a unicorn?")
    assert turn.locator(".basis").inner_text() == "Nothing here answers this"
    assert turn.locator(".number").count() == 0
    folded = turn.locator("details.nearest")
    assert "not confirmed" in folded.locator("summary").inner_text()
    assert not folded.locator(".moment").first.is_visible()
    folded.locator("summary").click()
    assert folded.locator(".moment.unsure .badge").first.inner_text() == "not confirmed"


def test_model_of_a_narrow_world_says_so_on_every_page_where_it_answers(page: Any) -> None:
    sentence = "only the footage that Longwatch draws itself"
    for path in ("/ui/watch", "/ui/search", "/ui/probe"):
        ready(page, path)
        page.wait_for_selector(f".model-note:has-text('{sentence}')")


def test_jobs_name_what_observes(page: Any) -> None:
    page.wait_for_selector(PERSON)
    ready(page, "/ui/jobs")
    row = page.locator("tr", has_text="observe").first
    row.wait_for()
    assert "lobby" in row.inner_text()
    row.locator("text=everything observed").wait_for(timeout=30_000)


def test_search_keeps_what_is_found_apart_from_what_is_merely_near(page: Any) -> None:
    page.wait_for_selector(PERSON)
    ready(page, "/ui/search?q=a+person")
    page.wait_for_selector(".results .moment")
    found = page.locator(".group").filter(has_text=re.compile("^Found"))
    assert found.locator(".moment.unsure").count() == 0
    assert found.locator(".moment .badge").first.inner_text() in {"look", "object"}
    assert "Pictures were looked at by" in page.inner_text("details summary")
    page.get_by_label("Found by").click()
    page.get_by_role("option", name="object").click()
    page.wait_for_function("location.search.includes('kind=object')")
    # What was found before stands there until the next answer.
    page.wait_for_function(
        """() => {
          const badges = [...document.querySelectorAll(".results .badge")];
          return badges.length && badges.every((badge) => badge.innerText.startsWith("object"));
        }"""
    )


def test_search_for_what_is_not_there_claims_nothing(page: Any) -> None:
    page.wait_for_selector(PERSON)
    ready(page, "/ui/search?q=a+unicorn")
    page.wait_for_selector(".results .moment, .empty")
    assert page.locator(".results .moment:not(.unsure)").count() == 0
