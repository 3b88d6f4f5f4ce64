"""Pages end with their tests, whatever becomes of those."""

from pathlib import Path
from typing import Any

import pytest

from app.services.benchmarks.web import RunningServer
from tests.browser.stage import open_page

HERE = Path(__file__).parent


def test_page_of_a_failed_test_is_closed(browser: Any, stage: RunningServer) -> None:
    def fail() -> None:
        with open_page(browser, stage) as page:
            page.goto("/sign-in")
            raise AssertionError("of the test")

    open_before = browser.contexts
    with pytest.raises(AssertionError, match="of the test"):
        fail()
    assert browser.contexts == open_before


def test_error_in_the_console_fails_a_test(browser: Any, stage: RunningServer) -> None:
    def fail() -> None:
        with open_page(browser, stage) as page:
            page.goto("/sign-in")
            with page.expect_event("pageerror"):
                page.evaluate("setTimeout(() => { throw new Error('boom'); })")

    with pytest.raises(AssertionError, match="boom"):
        fail()


def test_pages_are_opened_in_one_place() -> None:
    """A context of its own would be left open where its test fails."""
    files = (path for path in HERE.glob("*.py") if path != Path(__file__))
    opening = [path.name for path in files if ".new_context(" in path.read_text()]
    assert opening == ["stage.py"]
