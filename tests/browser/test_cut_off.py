"""Pages that are cut off: the session has ended, or nobody answers; both say so, and recover."""

import re
from typing import Any

from app.services.benchmarks.web import RunningServer
from tests.browser.stage import open_page, ready


def test_page_of_a_session_that_has_ended_says_so(
    browser: Any, stage: RunningServer, state: Any
) -> None:
    with open_page(browser, stage, state) as page:
        ready(page, "/ui/search")
        assert not page.locator(".signed-out").is_visible()
        page.context.clear_cookies()
        page.fill("#lw-query [data-testid=textbox]", "a car")
        page.press("#lw-query [data-testid=textbox]", "Enter")
        page.locator(".signed-out").wait_for()
        page.click("text=Sign in again")
        page.wait_for_url(re.compile(r"/sign-in\?next=.*search"))


def test_page_whose_server_is_away_says_so_until_it_is_back(
    browser: Any, stage: RunningServer, state: Any
) -> None:
    with open_page(browser, stage, state) as page:
        ready(page, "/ui/jobs")
        page.context.set_offline(True)
        page.locator(".lost").wait_for()
        page.context.set_offline(False)
        page.locator(".lost").wait_for(state="hidden")
