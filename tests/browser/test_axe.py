"""axe-core finds no serious violation on any page, in either theme."""

from typing import Any

import pytest

from app.services.benchmarks.web import RunningServer
from tests.browser.axe import serious_violations
from tests.browser.stage import open_page, ready

PAGES = (
    "/ui/",
    "/ui/watch",
    "/ui/moments",
    "/ui/search?q=a+car",
    "/ui/probe",
    "/ui/alerts",
    "/ui/jobs",
    "/ui/cameras",
    "/ui/settings",
    "/ui/models",
)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_serious_violation(
    browser: Any, stage: RunningServer, state: Any, axe: str, theme: str
) -> None:
    found = []
    with open_page(browser, stage, state, color_scheme=theme, bypass_csp=True) as page:
        for path in (*PAGES, "/sign-in"):
            if path == "/sign-in":
                page.goto(path)
            else:
                ready(page, path)
            found += [f"{path}: {one}" for one in serious_violations(page, axe)]
    assert not found
