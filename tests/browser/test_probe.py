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


@pytest.fixture(params=[1280, 375])
def page(
    request: pytest.FixtureRequest, browser: Any, stage: RunningServer, state: Any
) -> Iterator[Any]:
    """The probe page, wide and narrow."""
    context = browser.new_context(
        base_url=stage.address,
        storage_state=state,
        viewport={"width": request.param, "height": 900},
    )
    opened = context.new_page()
    opened.goto("/ui/probe")
    opened.wait_for_selector('.page[aria-busy="false"]')
    yield opened
    context.close()


def packed(folder: Path, name: str, line: dict[str, str]) -> Path:
    """A zip of one picture and this line about it."""
    picture = io.BytesIO()
    Image.new("RGB", (320, 180), (200, 30, 30)).save(picture, "PNG")
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("sign.png", picture.getvalue())
        archive.writestr("needles.jsonl", json.dumps(line))
    return folder / name


def test_own_needles_are_uploaded_planted_and_shown(page: Any, tmp_path: Path) -> None:
    width = page.viewport_size["width"]
    bad = packed(tmp_path, f"bad{width}.zip", {"image": "sign.png", "question": "What?"})
    page.set_input_files("[name=archive]", bad)
    page.wait_for_selector("#needles-said .wrong")
    assert "line 1: answer is missing" in page.inner_text("#needles-said")
    line = {"image": "sign.png", "question": "Which colour is the sign?", "answer": "red"}
    page.set_input_files("[name=archive]", packed(tmp_path, f"signs{width}.zip", line))
    page.wait_for_function("document.querySelector('[name=needles]').value.startsWith('upload/')")
    assert page.is_disabled("[name=seeds]")
    page.evaluate(
        "document.querySelectorAll('[name=lengths]').forEach((box) => {"
        " box.checked = box.value === '16'; })"
    )
    with page.expect_response("**/api/v1/probes") as ordered:
        page.click("form button.primary")
    assert ordered.value.status == 202
    job = ordered.value.json()["job_id"]
    page.wait_for_function(
        """async (job) => {
          const found = await (await fetch("/api/v1/probes")).json();
          return found.runs.find((run) => run.job?.job_id === job)?.cells.length === 3;
        }""",
        arg=job,
        timeout=90_000,
        polling=1000,
    )
    page.wait_for_selector(".heat button", timeout=10_000)
    page.locator(".heat button").first.click()
    page.wait_for_selector(".trial img[src*='/needles/0.png']")
    # The picture comes after the table that holds it, which may be drawn anew meanwhile.
    page.wait_for_function("document.querySelector('.trial img')?.naturalWidth === 320")
    assert "Which colour is the sign?" in page.inner_text(".trial")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
