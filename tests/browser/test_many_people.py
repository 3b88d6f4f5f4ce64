"""Ten people at once on one server: each asks and searches, and gets their own answers."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from app.config.settings import load_settings
from app.services.benchmarks.web import RunningServer, draw_clip
from app.services.context import ServiceContext
from app.worker.foreground import ingest_now
from storage.catalog import open_catalog
from tests.browser.stage import QUESTION, add_viewer, enter_by_password, open_page, open_stage

N_PEOPLE = 10
PASSWORD = "correct horse battery"
PATIENCE_MS = 240_000


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Two recordings; of ten viewers, every other one may see the first, the rest the second."""
    work = tmp_path_factory.mktemp("people")
    context = ServiceContext(load_settings({"sight.observers": []}, home=work / "home"))
    for seed, name in enumerate(("gate", "yard"), 1):
        draw_clip(work / f"{name}.mp4", seed=seed, seconds=20.0, height_px=180)
        ingest_now(context, [str(work / f"{name}.mp4")])
    context.close()
    with open_stage(work / "home", observers=[]) as opened:
        for number in range(N_PEOPLE):
            add_viewer(opened.home, person(number), PASSWORD)
        with open_catalog(f"sqlite:///{opened.home / 'longwatch.db'}") as catalog:
            users = {user.name: user.id for user in catalog.accounts.users()}
            for number in range(N_PEOPLE):
                video = catalog.videos.resolve(own_video(number)).id
                catalog.accounts.grant(users[person(number)], video)
        yield opened


def person(number: int) -> str:
    """The name of a viewer."""
    return f"person{number}"


def own_video(number: int) -> str:
    """The video that a viewer may see."""
    return ("gate", "yard")[number % 2]


@pytest.fixture(scope="module")
def pages(server: RunningServer, browser: Any) -> Iterator[list[Any]]:
    """A page of each, signed in; an error in a console or an answer of the server is a failure."""
    broken: list[str] = []
    with ExitStack() as stack:
        opened = [stack.enter_context(open_page(browser, server)) for _ in range(N_PEOPLE)]
        for number, page in enumerate(opened):
            page.set_default_timeout(PATIENCE_MS)
            page.on(
                "response",
                lambda answer: (
                    broken.append(f"{answer.url} broke") if answer.status > 499 else None
                ),
            )
            enter_by_password(page, person(number), PASSWORD, "/ui/watch")
        yield opened
    assert not broken


def test_each_asks_and_gets_an_answer_of_their_own(pages: list[Any]) -> None:
    questions = [f"How many people come by, asks {person(number)}?" for number in range(N_PEOPLE)]
    for page, question in zip(pages, questions, strict=True):
        page.wait_for_function(f"document.querySelector('{QUESTION}')?.disabled === false")
        page.fill(QUESTION, question)
    # All are asked before the first is answered.
    for page in pages:
        page.press(QUESTION, "Enter")
    for number, (page, question) in enumerate(zip(pages, questions, strict=True)):
        page.wait_for_selector(".turn .basis")
        assert page.locator(".user-row").count() == 1
        assert page.locator(".user-row .message").last.inner_text() == question
        assert page.inner_text("#lw-title h1") == own_video(number)
        assert not page.locator(".toast-body.error").count()
    kept = [
        page.evaluate("fetch('/api/v1/conversations').then((answer) => answer.json())")
        for page in pages
    ]
    assert [len(document["conversations"]) for document in kept] == [1] * N_PEOPLE


def test_each_searches_and_finds_moments_of_their_own_videos(pages: list[Any]) -> None:
    for page in pages:
        page.goto("/ui/search?q=a+card", wait_until="commit")
    for number, page in enumerate(pages):
        page.wait_for_selector(".moment .shot")
        names = page.locator(".moment .about > [title]").evaluate_all(
            "(all) => all.map((span) => span.title)"
        )
        other = own_video(number + 1)
        assert names
        assert not [name for name in names if other in name]
        assert page.locator(".lw-broken, .toast-body.error").count() == 0
