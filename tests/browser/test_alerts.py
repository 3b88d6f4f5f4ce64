"""The alerts page: what was raised is seen and answered, a rule is drawn, tried and saved."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.config.settings import load_settings
from app.schemas.alerts import AlertCondition
from app.services.benchmarks.web import RunningServer
from app.services.context import ServiceContext
from app.worker.foreground import ingest_now
from tests.browser.stage import (
    add_viewer,
    enter_by_password,
    open_page,
    open_stage,
    ready,
    sign_in,
)
from tests.support.observations import track
from tests.support.site import draw_clip
from tests.support.watched import add_rules, look

PASSWORD = "correct horse battery"
PATH = "/ui/alerts"


@pytest.fixture(scope="module")
def raised(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose library has a recording, a rule, and what it raised."""
    home = tmp_path_factory.mktemp("raised")
    clip = draw_clip(home / "gate.mp4", seed=1)
    context = ServiceContext(load_settings({"limits.disk_reserve_bytes": "1MB"}, home=home))
    item = ingest_now(context, [str(clip)]).videos[0]
    add_rules(context, door=AlertCondition(kind="object", words="a person", cooldown_s=0))
    video = context.catalog.videos.resolve(item.video_id)
    rows = [track("person", 2, 6), track("person", 12, 18, x=(0.2, 0.8), number=2)]
    assert len(look(context, video, 24.0, rows)) == 2
    context.close()
    with open_stage(home) as server:
        yield server


@pytest.fixture(scope="module")
def admin(browser: Any, raised: RunningServer) -> Any:
    """The cookies of the admin."""
    return sign_in(browser, raised)


@pytest.fixture
def page(browser: Any, raised: RunningServer, admin: Any) -> Iterator[Any]:
    with open_page(browser, raised, admin, height=900) as opened:
        yield opened


# Timers of several seconds never end: what changes, changes by what somebody does.
WITHOUT_TIMERS = (
    "window.begin = window.setTimeout;"
    "window.setTimeout = (act, ms, ...rest) => ms >= 5000 ? 0 : begin(act, ms, ...rest);"
)


def test_alert_is_answered_and_counts_for_its_rule(page: Any) -> None:
    page.add_init_script(WITHOUT_TIMERS)
    ready(page, PATH)
    page.wait_for_selector("#lw-alerts .alert >> nth=1")
    page.wait_for_selector("nav .count:visible:text-is('2')")
    assert "door" in page.inner_text("#lw-alerts .alert >> nth=0")
    # Pictures are there, not only their places.
    page.wait_for_function(
        "[...document.querySelectorAll('#lw-alerts img')].every((img) => img.naturalWidth > 0)"
    )
    page.click("#lw-alerts .alert >> nth=0 >> text=It was right")
    page.wait_for_selector("#lw-alerts .alert >> nth=1", state="detached")
    page.wait_for_selector("nav .count:visible:text-is('1')")
    page.wait_for_selector("#lw-rule-table >> text=100% of 1 answered")
    page.click("#lw-alerts .alert >> nth=0 >> text=False alarm")
    page.wait_for_selector("#lw-rule-table >> text=50% of 2 answered")
    page.click("#lw-alerts-shown >> text=All")
    page.wait_for_selector("#lw-alerts .alert.false_alarm")


def test_zone_is_drawn_tried_and_saved(page: Any) -> None:
    ready(page, PATH)
    page.click("#lw-rules >> text=Write a rule")
    page.fill("#lw-rule-words [data-testid=textbox]", "a person")
    page.check("#lw-rule-place >> text=In a zone")
    frame = page.wait_for_selector("#lw-rule-zone .zone-frame img")
    page.wait_for_function(
        "document.querySelector('#lw-rule-zone .zone-frame img').naturalWidth > 0"
    )
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    wanted = ((0.5, 0.1), (0.9, 0.1), (0.9, 0.9), (0.5, 0.9))
    for x, y in wanted:
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    corners = "#lw-rule-corners [data-testid=textbox]"
    page.wait_for_function(
        f"document.querySelector('{corners}')?.value?.trim().split(' ').length === 4"
    )
    drawn = [tuple(map(float, word.split(","))) for word in page.input_value(corners).split()]
    assert drawn == [pytest.approx(corner, abs=0.01) for corner in wanted]
    # A corner that has the focus goes where the arrows say.
    page.focus("#lw-rule-zone [data-corner='0']")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"document.querySelector('{corners}')?.value?.startsWith('0.49')")
    page.click("#lw-rule-try")
    # The first stands inside, the second comes across half a minute too soon for another alert.
    page.wait_for_selector("#lw-rule-answer [role=status]:has-text('1 alert in 24 seconds')")
    assert "of 2 events 1 came within the cool-down" in page.inner_text("#lw-rule-answer")
    page.fill("#lw-rule-name [data-testid=textbox]", "zone")
    page.click("#lw-rule-save")
    page.wait_for_selector("#lw-rule-table >> text=zone")
    # Opened again, the rule has its zone; corners that are typed are drawn.
    ready(page, PATH)
    page.click("#lw-rule-table tr:has-text('zone') [data-action=edit]")
    page.wait_for_selector("#lw-rule-zone [data-corner='3']")
    page.fill(corners, "0.2,0.2 0.8,0.2 0.5,0.8")
    page.press(corners, "Enter")
    page.wait_for_selector("#lw-rule-zone [data-corner='3']", state="detached")
    assert page.locator("#lw-rule-zone [data-corner]").count() == 3
    # Saved under another name it is the same rule, and not a second one.
    n_rules = page.locator("#lw-rule-table [data-action=edit]").count()
    page.fill("#lw-rule-name [data-testid=textbox]", "threshold")
    page.click("#lw-rule-save:has-text('Save changes')")
    page.wait_for_selector("#lw-rule-answer [role=status]:has-text('threshold is saved')")
    page.wait_for_selector("#lw-rule-table tr:has-text('threshold')")
    assert page.locator("#lw-rule-table [data-action=edit]").count() == n_rules


def test_viewer_sees_no_rules_and_no_alert_of_what_was_not_granted(
    browser: Any, raised: RunningServer
) -> None:
    add_viewer(Path(raised.home), "vera", PASSWORD)
    with open_page(browser, raised) as page:
        enter_by_password(page, "vera", PASSWORD, PATH)
        ready(page, PATH)
        page.wait_for_selector("#lw-alerts >> text=Nothing is unanswered")
        page.click("#lw-alerts-shown >> text=All")
        page.wait_for_selector("#lw-alerts >> text=No such alert")
        assert page.locator("#lw-rules").count() == 0
        assert page.locator("nav .count").is_hidden()


def test_alert_that_is_raised_meanwhile_is_told_in_title_and_notification(
    page: Any, raised: RunningServer
) -> None:
    page.add_init_script(
        "window.told = []; window.Notification = class extends EventTarget {"
        " static permission = 'granted';"
        " constructor(title, { body }) { super(); told.push(`${title}: ${body}`); } }"
    )
    ready(page, "/ui/jobs")
    n_before = int(page.text_content("nav .count"))
    # The first answer is what was there before.
    page.wait_for_timeout(2_000)
    context = ServiceContext(load_settings({}, home=raised.home))
    look(context, context.catalog.videos.list()[0], 60.0, [track("person", 40, 44, number=3)])
    context.close()
    page.wait_for_function(
        f"parseInt(document.title.slice(1)) > {n_before} && /Jobs/.test(document.title)",
        timeout=30_000,
    )
    assert page.title().startswith(f"({page.inner_text('nav .count')}) ")
    assert "door: person, seen 86% sure" in page.evaluate("told")


def test_hidden_page_asks_nothing_and_catches_up_when_it_is_shown(page: Any) -> None:
    page.clock.install()
    page.add_init_script(
        "window.isAway = false;"
        "Object.defineProperty(document, 'hidden', { get: () => window.isAway });"
        "window.turn = (isAway) => {"
        " window.isAway = isAway; document.dispatchEvent(new Event('visibilitychange')); }"
    )
    ready(page, PATH)
    page.evaluate("turn(true)")
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.fast_forward(60_000)
    # An answer of the server is behind all that the timers would have asked for.
    page.evaluate("fetch('/healthz').then((answer) => answer.text())")
    assert [url.rpartition("/")[2] for url in asked] == ["healthz"]
    with page.expect_request("**/gradio_api/**"):
        page.evaluate("turn(false)")
    # One question for alerts, of the header: no script of its own asks beside it.
    page.clock.fast_forward(60_000)
    page.evaluate("fetch('/healthz').then((answer) => answer.text())")
    assert not [url for url in asked if "/api/v1/alerts" in url and "picture" not in url]
