"""One server and one browser for all: starting either takes seconds."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from app.services.benchmarks.web import RunningServer
from tests.browser.stage import FLAGS, find_chromium, open_stage

INSTALL = "install it with `apt-get install chromium`, or name one in LONGWATCH_TEST_CHROMIUM"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a browser and says so."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium; without one the tests fail where CI is set, and skip elsewhere."""
    chromium = find_chromium()
    if chromium is None:
        _go_without(f"no Chromium: {INSTALL}")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _go_without("no playwright: pip install playwright")
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def stage(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with the shipped model and an empty library, which the first test fills."""
    with open_stage(tmp_path_factory.mktemp("home")) as opened:
        yield opened


@pytest.fixture(scope="session")
def state(browser: Any, stage: RunningServer) -> Any:
    """The cookies of someone who came in by the one-time link."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(stage.link)
    page.wait_for_selector(".lw .bar")
    kept = context.storage_state()
    context.close()
    return kept


def _go_without(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
