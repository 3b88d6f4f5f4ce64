"""The settings page: an admin changes what may be changed, a viewer sees it."""

import sqlite3
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from app.config.settings import FILE_NAME
from app.services.benchmarks.web import RunningServer
from storage.catalog import open_catalog
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


def test_admin_is_asked_before_videos_leave(page: Any, stage: RunningServer) -> None:
    database_file = stage.home / "longwatch.db"
    with open_catalog(f"sqlite:///{database_file}") as catalog:
        video = catalog.videos.add(name="old lobby", uri="/nowhere/old lobby.mp4")
        catalog.videos.set_status(video.id, "failed")
        with sqlite3.connect(database_file) as database:
            database.execute("UPDATE videos SET created_at = '2020-01-01 00:00:00.000000'")
        opened(page)
        page.fill("[name='retention.days']", "400")
        page.click("form.values button")
        page.wait_for_selector("dialog button.danger")
        assert "old lobby" in page.inner_text("dialog")
        page.click("dialog button.quiet")
        page.wait_for_selector("dialog", state="detached")
        file = stage.home / FILE_NAME
        assert not file.exists() or "days" not in file.read_text()
        catalog.videos.remove(video.id)


def test_admin_without_a_password_is_told_to_set_one(page: Any) -> None:
    opened(page)
    page.wait_for_selector("[aria-label='Your password']")
    assert "You have no password" in page.inner_text("[aria-label='Your password']")
    page.click("[aria-label='Your password'] button")
    page.wait_for_selector("dialog [name=new]")
    assert page.query_selector("dialog [name=current]") is None
    page.click("dialog button.quiet")


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
