"""The library page over two thousand videos: pages, search, choice, panels, keyed updates."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.services.benchmarks.web import RunningServer
from storage.catalog import open_catalog
from tests.app.api.test_videos import N_VIDEOS, fill
from tests.browser.stage import open_page, open_stage, ready, sign_in

ON_A_PAGE = 48
NAMES = "[...document.querySelectorAll('.card .top > a')].map((link) => link.textContent)"


@pytest.fixture(scope="module")
def crowded(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose library is large from the start."""
    home: Path = tmp_path_factory.mktemp("crowded")
    file = home / "longwatch.db"
    with open_catalog(f"sqlite:///{file}") as catalog:
        fill(catalog, file, N_VIDEOS)
    with open_stage(home, observers=[]) as opened:
        yield opened


@pytest.fixture(scope="module")
def signed_in(browser: Any, crowded: RunningServer) -> Any:
    return sign_in(browser, crowded)


@pytest.fixture(params=[1280, 375])
def page(
    request: pytest.FixtureRequest, browser: Any, crowded: RunningServer, signed_in: Any
) -> Iterator[Any]:
    with open_page(browser, crowded, signed_in, width=request.param) as opened:
        ready(opened, "/ui/")
        opened.wait_for_selector(".card")
        yield opened
        assert opened.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def shown(page: Any, *names: str) -> None:
    """Wait until these cards are shown, and no others."""
    page.wait_for_function(f"names => String({NAMES}) === String(names)", arg=[*names])


def test_large_library_is_shown_page_by_page(page: Any) -> None:
    page.wait_for_function("document.title === 'Library · Longwatch'")
    names = page.evaluate(NAMES)
    assert (len(names), names[0]) == (ON_A_PAGE, f"camera {N_VIDEOS - 1}")
    page.wait_for_selector(".more span:text-is('1\u201348 of 2,000')")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.click(".more button:has-text('Next')")
    page.wait_for_function(f"{NAMES}[0] === 'camera {N_VIDEOS - 1 - ON_A_PAGE}'")
    assert page.locator(".card").count() == ON_A_PAGE
    page.wait_for_function("location.search === '?p=2'")
    assert not [url for url in asked if "/api/v1/videos" in url]
    page.go_back()
    page.wait_for_function(f"{NAMES}[0] === 'camera {N_VIDEOS - 1}'")
    ready(page, "/ui/?p=42")
    page.wait_for_function(f"{NAMES}.at(-1) === 'camera 0'")


def test_search_and_order_are_the_servers(page: Any) -> None:
    page.fill("#lw-find textarea", "camera 1234")
    shown(page, "camera 1234")
    page.wait_for_function("location.search.includes('q=camera+1234')")
    page.fill("#lw-find textarea", "nowhere")
    page.click("text=Show all videos")
    page.wait_for_function(f"{NAMES}.length === {ON_A_PAGE}")
    ready(page, "/ui/?sort=name&q=camera+100")
    first = ["camera 100", "camera 1000", "camera 1001"]
    page.wait_for_function(f"names => String({NAMES}.slice(0, 3)) === String(names)", arg=first)


def test_what_is_pasted_is_searched_too(page: Any) -> None:
    page.evaluate(
        """() => {
          const other = document.createElement("textarea");
          other.value = "camera 1234";
          document.body.append(other);
          other.select();
        }"""
    )
    page.keyboard.press("Control+C")
    page.focus("#lw-find textarea")
    page.keyboard.press("Control+V")
    shown(page, "camera 1234")


def test_name_that_is_pasted_into_a_menu_is_looked_up(page: Any) -> None:
    """By mouse, without a key: as the browser tells it. The menu offers the newest 200 itself."""
    ready(page, "/ui/watch")
    page.click("#lw-video input")
    page.locator("#lw-video input").evaluate(
        """(field) => {
          field.value = "camera 1017";
          const how = { bubbles: true, inputType: "insertFromPaste" };
          field.dispatchEvent(new InputEvent("input", how));
        }"""
    )
    page.click("[role=option]:has-text('camera 1017')")
    page.wait_for_selector("#lw-title h1:has-text('camera 1017')")


def test_long_words_stay_on_the_page(page: Any) -> None:
    """A name and a tag without a place to break, beside the page and in it."""
    number = page.viewport_size["width"]
    page.evaluate(
        """async ([video, word]) => {
          const { csrf } = await (await fetch("/api/v1/session")).json();
          const headers = { "X-CSRF-Token": csrf, "Content-Type": "application/json" };
          const body = JSON.stringify({ name: `${word}${video}`, tags: [word.slice(0, 40)] });
          await fetch(`/api/v1/videos/${video}`, { method: "PATCH", headers, body });
        }""",
        [f"v{number:05d}", "recording" * 12],
    )
    ready(page, "/ui/?q=recordingrecording&sort=name")
    page.wait_for_selector(".card .tag")
    card = page.locator(".card").first.bounding_box()
    for selector in (".card .tag", ".card .top > a"):
        box = page.locator(selector).first.bounding_box()
        assert box["x"] + box["width"] <= card["x"] + card["width"], selector
    ready(page, f"/ui/watch?v=v{number:05d}")
    page.wait_for_selector("#lw-title h1:has-text('recording')")
    title, menu = (page.locator(name).bounding_box() for name in ("#lw-title h1", "#lw-video"))
    aside = title["x"] + title["width"] <= menu["x"] + 1
    assert aside or title["y"] + title["height"] <= menu["y"] + 1, "the menu covers the name"


def test_day_that_is_none_is_named_and_nothing_else_is_shown(page: Any) -> None:
    ready(page, "/ui/?since=yesterday")
    page.wait_for_selector("#lw-note:has-text(\"'yesterday' is no day\")")
    assert not page.locator(".card").count()


def test_several_are_chosen_tagged_and_filtered(page: Any) -> None:
    tag = f"case {page.viewport_size['width']}"
    ready(page, "/ui/?q=camera+77")
    page.wait_for_selector(".card")
    names = page.evaluate(NAMES)[:2]
    for n_chosen, name in enumerate(names, start=1):
        page.check(f"[aria-label='Choose {name}']", force=True)
        page.wait_for_selector(f".chosen:has-text('{n_chosen} chosen')")
    page.click(".chosen [data-action=tag]")
    page.wait_for_selector("#lw-tag h2:has-text('Tags of 2 videos')")
    page.keyboard.type(tag)
    page.keyboard.press("Enter")
    page.click("#lw-tag [data-mounted] .lw-go")
    page.wait_for_selector("#lw-tag", state="detached")
    page.wait_for_selector(f".card .tag:has-text('{tag}') >> nth=1")
    page.locator(f".card .tag:has-text('{tag}')").first.click()
    shown(page, *names)
    page.wait_for_function("location.search.includes('tag=')")
    ready(page, page.url)
    shown(page, *names)


def test_deleting_asks_first_and_says_what_goes(page: Any) -> None:
    width = page.viewport_size["width"]
    ready(page, f"/ui/?q=camera+15{'1' if width == 375 else '2'}")
    page.wait_for_selector(".card")
    names = page.evaluate(NAMES)
    for n_chosen, name in enumerate(names[:2], start=1):
        page.check(f"[aria-label='Choose {name}']", force=True)
        page.wait_for_selector(f".chosen:has-text('{n_chosen} chosen')")
    page.click(".chosen [data-action=remove]")
    page.wait_for_selector("#lw-sure h2:has-text('Delete 2 videos?')")
    page.wait_for_selector(f"#lw-sure:has-text('{names[0]}'):has-text('stay where they are')")
    page.keyboard.press("Escape")
    page.wait_for_selector("#lw-sure", state="detached")
    assert page.evaluate(NAMES) == names, "asking deletes nothing"
    page.click(".chosen [data-action=remove]")
    page.click("#lw-sure [data-mounted] .lw-go")
    page.wait_for_function(f"{NAMES}.length === {len(names) - 2}")
    page.wait_for_selector(".chosen", state="detached")


def test_change_of_a_card_leaves_the_others_alone(page: Any) -> None:
    width = page.viewport_size["width"]
    ready(page, f"/ui/?q=camera+18{'1' if width == 375 else '2'}")
    page.wait_for_selector(".card")
    first, second = page.evaluate(NAMES)[:2]
    page.evaluate("window.kept = document.querySelectorAll('.card')[1]")
    page.focus(f"[aria-label='More for {first}']")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#lw-edit")
    page.wait_for_function("document.activeElement.matches('#lw-edit textarea')")
    page.fill("#lw-edit textarea >> nth=0", f"{first} renamed")
    page.click("#lw-edit [data-mounted] .lw-go")
    page.wait_for_selector("#lw-edit", state="detached")
    page.wait_for_function(f"name => {NAMES}.includes(name)", arg=f"{first} renamed")
    assert page.evaluate("window.kept === document.querySelectorAll('.card')[1]")
    # The button of the menu that led here has the focus again.
    page.wait_for_function("document.activeElement.id.startsWith('menu-')")
    assert page.evaluate(NAMES)[1] == second


def test_menu_is_walked_by_keys(page: Any) -> None:
    page.focus(".card .menu > button")
    page.keyboard.press("ArrowDown")
    first = page.locator(".card .menu li > *").first
    assert first.evaluate("item => item === document.activeElement")
    page.keyboard.press("ArrowUp")
    assert "Delete" in page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Escape")
    first.wait_for(state="hidden")
    page.wait_for_function("document.activeElement.getAttribute('aria-haspopup') === 'true'")


def test_camera_and_server_file_are_both_offered(page: Any) -> None:
    page.click("[data-do=other]")
    page.wait_for_selector("#lw-add h2:has-text('Add a camera')")
    page.click("#lw-add [data-mounted] .lw-go")
    page.wait_for_selector("text=there is nothing to add")
    page.fill("#lw-add textarea >> nth=0", "rtsp://127.0.0.1:9/live")
    page.click("#lw-add [data-mounted] .lw-go")
    page.wait_for_selector("text=127.0.0.1:9")
    page.click("#lw-add [data-event=leave]")
    page.wait_for_selector("#lw-add", state="detached")


def test_bar_lies_over_what_scrolls_below_it(page: Any) -> None:
    top = page.evaluate(
        """() => {
          const label = document.querySelector(".filters [data-testid=block-info]");
          scrollTo(0, scrollY + label.getBoundingClientRect().top - 20);
          const { left, top, width, height } = label.getBoundingClientRect();
          const over = document.elementFromPoint(left + width / 2, top + height / 2);
          return Boolean(over.closest(".lw-head"));
        }"""
    )
    assert top
