"""The probe page with needles of the user's own: upload them, plant them, see them in a cell."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.services.benchmarks.web import RunningServer
from tests.browser.stage import open_page, ready


@pytest.fixture(params=[1280, 375])
def page(
    request: pytest.FixtureRequest, browser: Any, stage: RunningServer, state: Any
) -> Iterator[Any]:
    """The probe page, wide and narrow."""
    with open_page(browser, stage, state, width=request.param, height=900) as opened:
        ready(opened, "/ui/probe")
        yield opened


def packed(folder: Path, name: str, line: dict[str, str]) -> Path:
    """A zip of one picture and this line about it."""
    picture = io.BytesIO()
    Image.new("RGB", (320, 180), (200, 30, 30)).save(picture, "PNG")
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("sign.png", picture.getvalue())
        archive.writestr("needles.jsonl", json.dumps(line))
    return folder / name


def choose_lengths(page: Any, *wanted: str) -> None:
    """Tick exactly these lengths."""
    boxes = page.locator("#lw-lengths label")
    for index in range(boxes.count()):
        box = boxes.nth(index)
        box.locator("input").set_checked(box.inner_text().strip() in wanted)


def test_own_needles_are_uploaded_planted_and_shown(page: Any, tmp_path: Path) -> None:
    width = page.viewport_size["width"]
    bad = packed(tmp_path, f"bad{width}.zip", {"image": "sign.png", "question": "What?"})
    page.set_input_files("#lw-archive input", bad)
    page.wait_for_selector("#lw-archive .wrong:has-text('line 1: answer is missing')")
    line = {"image": "sign.png", "question": "Which colour is the sign?", "answer": "red"}
    page.set_input_files("#lw-archive input", packed(tmp_path, f"signs{width}.zip", line))
    page.wait_for_function(f"document.querySelector('#lw-needles input')?.value === 'signs{width}'")
    page.wait_for_selector("#lw-seeds input[disabled]")
    choose_lengths(page, "16")
    page.click("#lw-run")
    page.wait_for_function(
        """async (name) => {
          const found = await (await fetch("/api/v1/probes")).json();
          return found.runs.some(
            (run) => run.settings.needles === name && run.cells.length === 3);
        }""",
        arg=f"upload/signs{width}",
        polling=1000,
    )
    # The run that was ordered here is opened by itself.
    page.wait_for_function("location.search.includes('run=')")
    page.wait_for_function("document.querySelectorAll('.heat button').length === 6")
    page.locator(".heat button").first.click()
    page.wait_for_selector(".trial img[src*='/needles/0.png']")
    # The picture comes after the table that holds it, which may be drawn anew meanwhile.
    page.wait_for_function("document.querySelector('.trial img')?.naturalWidth === 320")
    assert "Which colour is the sign?" in page.inner_text(".trial")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_cells_are_walked_by_arrows_and_kept_in_the_address(page: Any) -> None:
    page.wait_for_selector(".heat button")
    cells = page.locator(".heat").first.locator("button")
    assert cells.evaluate_all("(all) => all.filter((cell) => cell.tabIndex === 0).length") <= 1
    cells.first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector(".trial")
    page.wait_for_function("location.search.includes('cell=')")
    ready(page, page.url)
    page.wait_for_selector(".trial")
    page.locator(".heat").first.locator("button[aria-pressed=true]").wait_for()
