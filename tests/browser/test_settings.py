"""The settings page: an admin changes what may be changed, a viewer sees it."""

import sqlite3
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from app.config.settings import FILE_NAME
from app.services.benchmarks.web import RunningServer
from storage.catalog import open_catalog
from tests.browser.stage import add_viewer, enter_by_password, open_page, ready

PASSWORD = "correct horse battery"
PATH = "/ui/settings"


@pytest.fixture(params=[1280, 375])
def page(
    request: pytest.FixtureRequest, browser: Any, stage: RunningServer, state: Any
) -> Iterator[Any]:
    """A signed-in admin, wide and narrow."""
    with open_page(browser, stage, state, width=request.param, height=900) as opened:
        yield opened


def field(setting: str) -> str:
    """The box of a setting."""
    return f"#lw-{setting.replace('.', '-')} [data-testid=textbox]"


def opened(page: Any) -> Any:
    """The settings page once its parts are there."""
    ready(page, PATH)
    page.wait_for_selector("#lw-save")
    page.wait_for_selector("#lw-people table")
    return page


def test_admin_changes_settings_and_is_told_what_waits(page: Any, stage: RunningServer) -> None:
    opened(page)
    # What the environment holds is not changed here.
    page.wait_for_selector(f"{field('limits.disk_reserve_bytes')}:disabled")
    page.wait_for_selector("#lw-values :text('LONGWATCH_LIMITS__DISK_RESERVE_BYTES')")
    page.fill(field("cache.host_bytes"), "much")
    page.click("#lw-save")
    page.wait_for_selector("#lw-values-answer [role=alert]:has-text('cache.host_bytes')")
    page.fill(field("cache.host_bytes"), "3GiB")
    page.fill(field("retention.days"), "400")
    page.click("#lw-save")
    page.wait_for_selector(".notice:has-text('Budget in memory 3GiB')")
    kept = tomllib.loads((stage.home / FILE_NAME).read_text())
    assert kept["cache"]["host_bytes"] == "3GiB"
    assert kept["retention"]["days"] == 400
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    # A command is named, but not in the signs of another notation.
    assert "the command “longwatch models pull”" in page.inner_text("#lw-main")
    assert "`" not in page.inner_text("#lw-main")
    opened(page)
    page.wait_for_function(
        f"document.querySelector('{field('cache.host_bytes')}').value === '3GiB'"
    )
    page.fill(field("cache.host_bytes"), "")
    page.fill(field("retention.days"), "")
    page.click("#lw-save")
    page.wait_for_selector(".notice", state="detached")
    kept = tomllib.loads((stage.home / FILE_NAME).read_text())
    assert not kept["cache"]
    assert not kept["retention"]


def test_retention_that_is_no_number_is_refused_before_anybody_is_asked(page: Any) -> None:
    opened(page)
    page.fill(field("retention.days"), "banana")
    page.click("#lw-save")
    page.wait_for_selector("#lw-values-answer [role=alert]")
    assert not page.is_visible("#lw-ask-first")


def test_admin_is_asked_before_videos_leave(page: Any, stage: RunningServer) -> None:
    database_file = stage.home / "longwatch.db"
    with open_catalog(f"sqlite:///{database_file}") as catalog:
        video = catalog.videos.add(name="old lobby", uri="/nowhere/old lobby.mp4")
        catalog.videos.set_status(video.id, "failed")
        with sqlite3.connect(database_file) as database:
            database.execute("UPDATE videos SET created_at = '2020-01-01 00:00:00.000000'")
        opened(page)
        page.fill(field("retention.days"), "400")
        page.click("#lw-save")
        page.wait_for_selector("#lw-ask-first")
        page.wait_for_selector("#lw-values-answer:has-text('old lobby')")
        page.click("text=Keep them")
        page.wait_for_selector("#lw-ask-first", state="hidden")
        file = stage.home / FILE_NAME
        assert not file.exists() or "days" not in file.read_text()
        catalog.videos.remove(video.id)


def test_admin_without_a_password_is_told_to_set_one(page: Any) -> None:
    opened(page)
    page.wait_for_selector("#lw-password:has-text('You have no password')")


def test_token_is_made_shown_once_and_ended(page: Any) -> None:
    opened(page)
    page.click("text=New token")
    page.get_by_label("What is it for").fill("notebook")
    page.click("#lw-make-token")
    secret = page.wait_for_selector("#lw-tokens .secret").inner_text()
    session = page.request.get(
        "/api/v1/session", headers={"Authorization": f"Bearer {secret}", "Cookie": ""}
    )
    assert session.status == 200
    opened(page)
    assert not page.locator("#lw-tokens .secret").count()
    # Other tokens may stand beside it: the server is shared.
    row = page.locator("#lw-tokens tr", has_text="notebook")
    row.get_by_role("button", name="End notebook", exact=True).click()
    row.locator(":popover-open [data-action=revoke]").click()
    row.wait_for(state="detached")


def test_person_is_added_changed_and_removed(page: Any) -> None:
    opened(page)
    page.click("text=Add someone")
    page.fill("#lw-new-name [data-testid=textbox]", "mira")
    page.fill("#lw-new-password input", PASSWORD)
    page.click("#lw-add-user")
    page.wait_for_selector("#lw-people tr:has-text('mira')")
    page.click("button[aria-label='Change mira']")
    page.wait_for_selector("#lw-change-user")
    page.click("text=Remove this account")
    page.click(":popover-open [data-action=remove]")
    page.wait_for_selector("#lw-people tr:has-text('mira')", state="detached")


def test_viewer_sees_them_without_a_field(browser: Any, stage: RunningServer) -> None:
    add_viewer(stage.home, "hugo", PASSWORD)
    with open_page(browser, stage) as page:
        enter_by_password(page, "hugo", PASSWORD, PATH)
        page.wait_for_selector("#lw-readable td:has-text('nano')")
        assert not page.is_visible("#lw-save")
        assert not page.is_visible("#lw-people")


def test_refusal_of_a_password_is_shown(page: Any, stage: RunningServer) -> None:
    opened(page)
    page.click("#lw-password button:has-text('Change it')")
    page.fill("#lw-new input", "short")
    page.click("#lw-password button:has-text('Change the password')")
    page.wait_for_selector(".toast-body:has-text('10 to 1024 characters')")
