"""The settings page: an admin changes what may be changed, a viewer sees it."""

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from app.config.settings import FILE_NAME
from app.services.benchmarks.web import RunningServer
from tests.browser.stage import add_viewer

PASSWORD = "correct horse battery"
PATH = "/ui/settings"


@pytest.fixture(params=[1280, 375])
def page(
    request: pytest.FixtureRequest, browser: Any, stage: RunningServer, state: Any
) -> Iterator[Any]:
    """A signed-in admin, wide and narrow."""
    context = browser.new_context(
        base_url=stage.address,
        storage_state=state,
        viewport={"width": request.param, "height": 900},
    )
    yield context.new_page()
    context.close()


def opened(page: Any) -> Any:
    """The settings page once its parts are there."""
    page.goto(PATH)
    page.wait_for_selector("form.values")
    return page


def test_admin_changes_settings_and_is_told_what_waits(page: Any, stage: RunningServer) -> None:
    opened(page)
    assert page.is_disabled("[name='limits.disk_reserve_bytes']"), "the environment holds it"
    assert "LONGWATCH_LIMITS__DISK_RESERVE_BYTES" in page.inner_text("form.values")
    page.fill("[name='cache.host_bytes']", "much")
    page.click("form.values button")
    page.wait_for_function("document.querySelector('form.values [role=alert]').textContent")
    assert "cache.host_bytes" in page.inner_text("form.values [role=alert]")
    page.fill("[name='cache.host_bytes']", "3GiB")
    page.fill("[name='retention.days']", "400")
    page.click("form.values button")
    page.click("dialog button.danger")
    page.wait_for_selector(".notice")
    assert "Budget in memory 3GiB" in page.inner_text(".notice")
    kept = tomllib.loads((stage.home / FILE_NAME).read_text())
    assert kept["cache"]["host_bytes"] == "3GiB"
    assert kept["retention"]["days"] == 400
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    opened(page)
    assert page.input_value("[name='cache.host_bytes']") == "3GiB"
    page.fill("[name='cache.host_bytes']", "")
    page.fill("[name='retention.days']", "")
    page.click("form.values button")
    page.wait_for_selector(".notice", state="detached")
    kept = tomllib.loads((stage.home / FILE_NAME).read_text())
    assert not kept["cache"]
    assert not kept["retention"]


def test_viewer_sees_them_without_a_field(browser: Any, stage: RunningServer) -> None:
    add_viewer(stage.home, "hugo", PASSWORD)
    context = browser.new_context(base_url=stage.address)
    page = context.new_page()
    page.goto(f"/sign-in?next={PATH}")
    page.fill("[name=name]", "hugo")
    page.fill("[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector("section[aria-label='Model, budgets and retention'] td")
    assert "nano" in page.inner_text("section[aria-label='Model, budgets and retention']")
    assert not page.query_selector("form.values")
    context.close()
