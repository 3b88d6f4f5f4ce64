"""Days by the wall clock, lists in step with the picture, and verdicts that are kept."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from app.config.settings import load_settings
from app.services.benchmarks.web import RunningServer, draw_clip
from app.services.context import ServiceContext
from app.services.wall_clock import ClockChange, change_clock
from app.worker.foreground import ingest_now
from engine.records import Observed, TimeSpan
from storage.catalog import open_catalog
from tests.browser.stage import (
    add_viewer,
    enter_by_password,
    open_page,
    open_stage,
    ready,
    sign_in,
)
from tests.support.observations import COCO, track

SECONDS = 40.0
PASSWORD = "correct horse battery"
TIME = "document.querySelector('video')?.currentTime"


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Two recordings of one day and one of the day after; a person in the first two."""
    work = tmp_path_factory.mktemp("moments")
    context = ServiceContext(load_settings({"sight.observers": []}, home=work / "home"))
    filmed = {
        "gate": datetime(2026, 3, 1, 9, 0, tzinfo=UTC),
        "yard": datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
        "lane": datetime(2026, 3, 2, 12, 0, tzinfo=UTC),
    }
    for seed, (name, start_at) in enumerate(filmed.items(), 1):
        draw_clip(work / f"{name}.mp4", seed=seed, seconds=SECONDS, height_px=180)
        ingest_now(context, [str(work / f"{name}.mp4")])
        video = context.catalog.videos.resolve(name)
        change_clock(context, video, ClockChange(start_at=start_at, timezone="UTC"))
        if name == "lane":
            continue
        whole = TimeSpan(start_s=0.0, end_s=SECONDS)
        context.catalog.observations.replace(
            video.id,
            "object",
            [track("person", 10, 14, video=video.id), track("person", 30, 33, video=video.id)],
            Observed(video=video.id, kind="object", model="by hand", labels=COCO, span=whole),
        )
    context.close()
    with open_stage(work / "home", observers=[]) as opened:
        yield opened


@pytest.fixture(scope="module")
def state(server: RunningServer, browser: Any) -> Any:
    """Cookies of this server."""
    return sign_in(browser, server)


@pytest.fixture(params=[1280, 375])
def page(
    request: pytest.FixtureRequest, server: RunningServer, browser: Any, state: Any
) -> Iterator[Any]:
    """A page, wide and narrow."""
    with open_page(browser, server, state, width=request.param, height=900) as opened:
        yield opened


def test_latest_day_is_opened_and_others_are_a_click_away(page: Any) -> None:
    ready(page, "/ui/moments")
    page.wait_for_selector("#lw-day h2:text-is('Monday 2 March 2026')")
    page.click("#lw-calendar [data-key='2026-03-01']")
    page.wait_for_function("document.querySelector('#lw-day h2')?.textContent.includes('Sunday 1')")
    page.wait_for_function("location.search.includes('day=2026-03-01')")
    names = page.locator("#lw-lanes .footage .tl-name")
    names.nth(1).wait_for()
    assert names.all_inner_texts() == ["gate", "yard"]
    page.go_back()
    page.wait_for_function("document.querySelector('#lw-day h2')?.textContent.includes('Monday 2')")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_two_days_are_compared_by_their_address(page: Any) -> None:
    ready(page, "/ui/moments?day=2026-03-01")
    page.click("#lw-other-day input")
    page.get_by_role("option", name="Monday 2 March 2026").click()
    page.wait_for_function("location.search.includes('with=2026-03-02')")
    ready(page, page.url)
    page.wait_for_selector("#lw-other-lanes .tl-name:text-is('lane')")
    rows = page.locator("#lw-compared tbody tr")
    rows.nth(4).wait_for()
    assert [row.split("\t")[:4] for row in rows.all_inner_texts()] == [
        ["gate", "filmed", "40 seconds", "nothing"],
        ["gate", "person", "1", "0"],
        ["yard", "filmed", "40 seconds", "nothing"],
        ["yard", "person", "1", "0"],
        ["lane", "filmed", "nothing", "40 seconds"],
    ]
    views = page.locator("#lw-lanes .timeline, #lw-other-lanes .timeline").evaluate_all(
        "(days) => days.map((day) => day.dataset.view)"
    )
    assert views[0] == views[1]
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    rect = page.locator("#lw-other-lanes .footage rect").bounding_box()
    page.mouse.click(rect["x"] + rect["width"] / 2, rect["y"] + rect["height"] / 2)
    page.wait_for_function("document.querySelector('#lw-video input')?.value === 'lane'")
    page.click("#lw-other-day input")
    page.get_by_role("option", name="no other day").click()
    page.wait_for_selector("#lw-compared table", state="detached")


def test_click_on_a_lane_plays_that_moment(page: Any) -> None:
    ready(page, "/ui/moments?day=2026-03-01")
    page.wait_for_selector("#lw-lanes .footage rect")
    rect = page.locator("#lw-lanes .footage rect").nth(1).bounding_box()
    over = page.locator("#lw-lanes .tl-over").bounding_box()
    page.mouse.click(rect["x"] + rect["width"] / 2, rect["y"] + rect["height"] / 2)
    page.wait_for_function("document.querySelector('#lw-video input')?.value === 'yard'")
    page.wait_for_function(f"{TIME} > 1")
    assert over["x"] <= rect["x"]
    page.wait_for_function("location.search.includes('v=')")


def test_day_is_walked_by_keys(page: Any) -> None:
    ready(page, "/ui/moments?day=2026-03-01")
    page.wait_for_selector("#lw-lanes [data-mounted] .lane rect", state="attached")
    page.focus("#lw-lanes .tl-over")
    # From span to span: the footage, then the person in it, and the footage after.
    page.keyboard.press("Home")
    assert page.get_attribute("#lw-lanes .tl-over", "aria-valuetext").startswith("09:00:00, gate")
    page.keyboard.press("PageDown")
    spoken = page.get_attribute("#lw-lanes .tl-over", "aria-valuetext")
    assert spoken.startswith("09:00:10")
    assert "person" in spoken
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#lw-video input')?.value === 'gate'")


def test_lists_are_in_step_with_the_picture(page: Any) -> None:
    ready(page, "/ui/moments?day=2026-03-01")
    page.wait_for_function("document.querySelector('video')?.readyState >= 1")
    page.click("#lw-lists [data-key=things]")
    times = page.locator("#lw-lists .things a")
    times.nth(1).wait_for()
    assert times.all_inner_texts() == ["0:10", "0:30"]
    times.nth(1).click()
    page.wait_for_function(f"{TIME} > 29.5")
    page.wait_for_selector("#lw-lists .things a.near")
    page.click("#lw-lists [data-key=chapters]")
    page.wait_for_selector("#lw-lists .happening-lines img")
    page.wait_for_function("location.search.includes('list=chapters')")


def test_what_is_observed_meanwhile_is_shown(page: Any, server: RunningServer) -> None:
    label = "dog" if page.viewport_size["width"] == 375 else "cat"
    ready(page, "/ui/moments?day=2026-03-02&list=things")
    page.wait_for_selector("#lw-lists .happenings")
    assert label not in page.inner_text("#lw-lists")
    with open_catalog(f"sqlite:///{server.home / 'longwatch.db'}") as catalog:
        video = catalog.videos.resolve("lane").id
        whole = TimeSpan(start_s=0.0, end_s=SECONDS)
        seen = [track(label, 10, 14, video=video), track("person", 20, 24, video=video)]
        count = 1 if label == "cat" else 2
        catalog.observations.replace(
            video,
            "object",
            seen[:count],
            Observed(video=video, kind="object", model="by hand", labels=COCO, span=whole),
        )
    page.wait_for_selector(f"#lw-lists dt:has-text('{label}')")
    page.wait_for_selector("#lw-strip .lane.object")
    page.wait_for_selector("#lw-lanes .lane.object")


@pytest.mark.parametrize("day", ["yesterday", "2030-99-99"])
def test_what_is_no_day_says_so(page: Any, day: str) -> None:
    ready(page, f"/ui/moments?day={day}")
    page.wait_for_selector("#lw-title:has-text('is no day')")
    assert not page.locator("video").is_visible()


def test_viewer_of_nothing_sees_no_day(page: Any, server: RunningServer, browser: Any) -> None:
    name = f"vera{page.viewport_size['width']}"
    add_viewer(server.home, name, PASSWORD)
    with open_page(browser, server) as other:
        enter_by_password(other, name, PASSWORD, "/ui/moments?day=2026-03-01")
        other.wait_for_selector("text=Nothing to watch yet")
        assert not other.locator("#lw-lanes rect").count()


def test_verdict_on_a_hit_is_kept_and_taken_back(page: Any) -> None:
    query = f"a person {page.viewport_size['width']}"
    ready(page, f"/ui/search?q={query.replace(' ', '+')}")
    right = page.locator(".results [data-judge=right]").first
    right.wait_for()
    right.click()
    given = """async (query) => {
      const { verdicts } = await (await fetch("/api/v1/verdicts")).json();
      return verdicts.filter((item) => item.query === query).map((item) => item.verdict).join();
    }"""
    page.wait_for_function(
        f"(query) => ({given})(query).then((words) => words === 'right')", arg=query
    )
    ready(page, page.url)
    page.wait_for_selector(".results [data-judge=right][aria-pressed=true]")
    page.locator(".results [data-judge=right][aria-pressed=true]").click()
    page.wait_for_function(f"(query) => ({given})(query).then((words) => words === '')", arg=query)
