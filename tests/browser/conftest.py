"""One server and one browser for all: starting either takes seconds.

Both end with this package: while Playwright is open its event loop runs in the thread of the tests,
and nothing that starts a loop of its own could be tested after it in the same process.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from app.services.benchmarks.web import RunningServer
from tests.browser.axe import AXE, fetch_axe
from tests.browser.stage import FLAGS, find_chromium, open_stage, sign_in

INSTALL = "install it with `apt-get install chromium`, or name one in LONGWATCH_TEST_CHROMIUM"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a browser and says so."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The checker's script."""
    script = fetch_axe(tmp_path_factory.mktemp("axe"))
    if script is None:
        pytest.skip(f"{AXE} cannot be fetched: no npm, no network, or no such release")
    return script


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
def stage(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with the shipped model and an empty library, which the first test fills."""
    with open_stage(tmp_path_factory.mktemp("home")) as opened:
        yield opened


@pytest.fixture(scope="package")
def state(browser: Any, stage: RunningServer) -> Any:
    """The cookies of someone who came in by the one-time link."""
    return sign_in(browser, stage)


def _go_without(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
