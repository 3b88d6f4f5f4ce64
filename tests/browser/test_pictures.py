"""Pictures beside a question: picked, pasted, dropped, taken away, asked about, and kept."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.config.settings import load_settings
from app.services.benchmarks.web import RunningServer, draw_clip
from app.services.context import ServiceContext
from app.worker.foreground import ingest_now
from engine.models.smolvlm.model import write_tiny
from tests.browser.axe import serious_violations
from tests.browser.stage import QUESTION, open_page, open_stage, ready, sign_in

WIDTHS = {"desktop": 1280, "phone": 375}
THUMBNAILS = "#lw-question .thumbnail-item img"
KEPT = ".user-row .beside img"
SHOWN = "(selector) => [...document.querySelectorAll(selector)].every((it) => it.naturalWidth > 0)"
HANDED_OVER = """([selector, kind, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const handed = new DataTransfer();
  handed.items.add(new File([bytes], `${kind}.png`, { type: "image/png" }));
  const more = { bubbles: true, cancelable: true };
  document.querySelector(selector).dispatchEvent(kind === "paste"
    ? new ClipboardEvent("paste", { clipboardData: handed, ...more })
    : new DragEvent("drop", { dataTransfer: handed, ...more }));
}"""


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A recording, read by a tiny model that reads still images, and answers at random."""
    work = tmp_path_factory.mktemp("pictures")
    write_tiny(work / "smolvlm")
    settings = {"sight.observers": [], "model": str(work / "smolvlm")}
    context = ServiceContext(load_settings(settings, home=work / "home"))
    draw_clip(work / "gate.mp4", seed=42, seconds=20.0, height_px=180)
    ingest_now(context, [str(work / "gate.mp4")])
    context.close()
    with open_stage(work / "home", model=str(work / "smolvlm"), observers=[]) as opened:
        yield opened


@pytest.fixture(scope="module")
def signed_in(browser: Any, server: RunningServer) -> Any:
    return sign_in(browser, server)


@pytest.fixture(params=WIDTHS)
def page(
    request: pytest.FixtureRequest, browser: Any, server: RunningServer, signed_in: Any
) -> Iterator[Any]:
    """The page at one of the widths."""
    with open_page(browser, server, signed_in, width=WIDTHS[request.param], height=800) as opened:
        # Choosers are told of from now on: one that opens while that is asked for is lost.
        opened.on("filechooser", lambda chooser: None)
        ready(opened, "/ui/watch")
        yield opened


def picture(shade: int, size: tuple[int, int] = (64, 48)) -> bytes:
    packed = io.BytesIO()
    Image.new("RGB", size, (shade, 90, 200)).save(packed, "PNG")
    return packed.getvalue()


def pick(page: Any, *paths: Path) -> None:
    """Pick files by the button, reached and pressed by keys alone."""
    # What is not enabled yet takes no focus.
    page.locator(f"{QUESTION}:enabled").focus()
    page.keyboard.press("Shift+Tab")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(list(map(str, paths)))


def shown(page: Any, selector: str, count: int) -> None:
    """Wait until so many pictures are there and drawn."""
    page.locator(selector).nth(count - 1).wait_for()
    page.wait_for_function(SHOWN, arg=selector)
    assert page.locator(selector).count() == count


def test_box_with_pictures_has_no_serious_violation(
    browser: Any, server: RunningServer, signed_in: Any, axe: str
) -> None:
    with open_page(browser, server, signed_in, bypass_csp=True) as page:
        ready(page, "/ui/watch")
        handed = base64.b64encode(picture(10)).decode()
        page.evaluate(HANDED_OVER, [QUESTION, "paste", handed])
        shown(page, THUMBNAILS, 1)
        assert not serious_violations(page, axe)


def test_pictures_are_picked_pasted_dropped_and_asked_about(page: Any, tmp_path: Path) -> None:
    paths = [tmp_path / f"{shade}.png" for shade in (10, 120)]
    for path in paths:
        path.write_bytes(picture(int(path.stem)))
    pick(page, *paths)
    shown(page, THUMBNAILS, 2)
    for number, kind in enumerate(("paste", "drop"), start=3):
        data = base64.b64encode(picture(20 * number)).decode()
        page.evaluate(HANDED_OVER, [QUESTION, kind, data])
        shown(page, THUMBNAILS, number)
    remove = page.get_by_role("button", name="Remove file").first
    remove.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(f"document.querySelectorAll('{THUMBNAILS}').length === 3")
    page.fill(QUESTION, "What is this?")
    page.press(QUESTION, "Enter")
    page.locator(".turn .basis").wait_for()
    shown(page, KEPT, 3)
    assert page.locator(THUMBNAILS).count() == 0
    kept = page.locator(KEPT).first.get_attribute("src")
    assert kept.startswith("/api/v1/conversations/")
    assert page.locator(".user-row .prose").inner_text() == "What is this?"
    page.wait_for_function("location.search.includes('c=')")
    page.reload()
    shown(page, KEPT, 3)
    page.locator("button[aria-label='Retry']").last.click()
    page.wait_for_function(f"document.querySelector('{KEPT}').getAttribute('src') !== '{kept}'")
    page.locator(".turn .basis").wait_for()
    shown(page, KEPT, 3)


def test_too_many_are_refused_with_a_sentence_and_stay_in_the_box(
    page: Any, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(9)]
    for number, path in enumerate(paths):
        path.write_bytes(picture(20 * number))
    pick(page, *paths)
    shown(page, THUMBNAILS, 9)
    page.fill(QUESTION, "What are these?")
    page.press(QUESTION, "Enter")
    page.locator(".bot-row", has_text="the number of images").wait_for()
    shown(page, THUMBNAILS, 9)
    assert page.input_value(QUESTION) == "What are these?"
    page.get_by_role("button", name="Remove file").first.click()
    page.press(QUESTION, "Enter")
    page.locator(".turn .basis").wait_for()
    # Those of the question that was refused stay where it stands.
    shown(page, KEPT, 9 + 8)


def test_question_about_pictures_alone_searches_nothing(page: Any, tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    path.write_bytes(picture(50))
    pick(page, path)
    shown(page, THUMBNAILS, 1)
    page.click("#lw-where input")
    page.get_by_role("option", name="the pictures alone").click()
    page.fill(QUESTION, "What is this?")
    page.press(QUESTION, "Enter")
    page.locator(".turn .plan", has_text="searched 0").wait_for()
    shown(page, KEPT, 1)
