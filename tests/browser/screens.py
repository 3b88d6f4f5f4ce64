"""Pictures of every page for the README: `python -m tests.browser.screens [FOLDER]`.

Video, questions and needles are drawn by the project; the answers are nano's own.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from app.services.benchmarks.web import draw_clip
from tests.browser.stage import (
    FLAGS,
    QUESTION,
    enter_by_link,
    find_chromium,
    open_page,
    open_stage,
    ready,
    wait_until_read,
)

CLIPS = (("Camera 1", 11, 150.0), ("Camera 2", 23, 120.0), ("Camera 3", 42, 180.0))
WIDE, NARROW = (1280, 800), (375, 760)
SHOTS = {
    "library": "/ui/",
    "search": "/ui/search?q=a+red+car",
    "moments": "/ui/moments",
    "probe": "/ui/probe",
    "jobs": "/ui/jobs",
    "settings": "/ui/settings",
}
MAX_BYTES = 300_000


def main() -> None:
    """Draw a library, walk through the pages in both themes and both widths."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "assets/screens")
    folder.mkdir(parents=True, exist_ok=True)
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name, sync_playwright() as play:
        work = Path(name)
        asked = ""
        for title, seed, seconds in CLIPS:
            found = draw_clip(work / f"{title}.mp4", seed=seed, seconds=seconds)
            if title == "Camera 3":
                asked = next((one.text for one in found if one.kind == "code"), found[0].text)
        browser = play.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        with open_stage(work / "home", roots=work) as stage:
            state = _prepare(browser, stage, work)
            for theme in ("light", "dark"):
                _walk(browser, stage, state, theme, asked, folder)
        browser.close()


def _prepare(browser: Any, stage: Any, work: Path) -> Any:
    """Sign in, add the clips, run a probe; the state of the signed-in browser."""
    with open_page(browser, stage) as page:
        enter_by_link(page, stage)
        _fill(page, work)
        return page.context.storage_state()


def _fill(page: Any, work: Path) -> None:
    """Have the clips read, and run a probe."""
    for hour, (title, _, _) in enumerate(CLIPS, 9):
        source = str(work / f"{title}.mp4")
        _post(page, "/api/v1/videos", {"source": source, "start_at": f"2026-03-01T{hour:02d}:15"})
    wait_until_read(page, len(CLIPS))
    order = {"lengths": [32, 64, 128], "depths": [0, 0.25, 0.5, 0.75, 1], "seeds": 3}
    _post(page, "/api/v1/probes", order)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        jobs = page.evaluate("fetch('/api/v1/jobs').then((answer) => answer.json())")["jobs"]
        if all(job["state"] in {"done", "failed"} for job in jobs):
            break
        time.sleep(1)


def _walk(browser: Any, stage: Any, state: Any, theme: str, asked: str, folder: Path) -> None:
    for (width, height), suffix in ((WIDE, ""), (NARROW, "-phone")):
        size = {"width": width, "height": height}
        with open_page(browser, stage, state, color_scheme=theme, **size) as page:
            for name, path in SHOTS.items():
                ready(page, path)
                if name == "probe" and page.query_selector(".heat button"):
                    page.locator(".heat button").nth(4).click()
                    page.wait_for_selector(".trial")
                page.wait_for_timeout(1500)
                _shoot(page, folder / f"{name}-{theme}{suffix}.png")
            _watch(page, asked, folder / f"watch-{theme}{suffix}.png")
    with open_page(browser, stage, color_scheme=theme) as page:
        page.goto("/sign-in")
        _shoot(page, folder / f"sign-in-{theme}.png")


def _watch(page: Any, asked: str, target: Path) -> None:
    videos = page.evaluate("fetch('/api/v1/videos').then((answer) => answer.json())")["videos"]
    camera = next(video for video in videos if video["name"] == "Camera 3")
    ready(page, f"/ui/watch?v={camera['video_id']}")
    page.fill(QUESTION, asked)
    page.press(QUESTION, "Enter")
    page.wait_for_selector(".turn details")
    if page.query_selector(".turn .evidence .shot"):
        page.locator(".turn .evidence .shot").first.click()
        page.wait_for_timeout(2500)
        page.evaluate("document.querySelector('video').pause()")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(800)
    _shoot(page, target)


def _shoot(page: Any, target: Path) -> None:
    page.screenshot(path=target)
    with Image.open(target) as picture:
        small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(target, optimize=True)
    if target.stat().st_size > MAX_BYTES:
        raise ValueError(f"{target} has {target.stat().st_size} bytes, more than {MAX_BYTES}")


def _post(page: Any, path: str, body: object) -> Any:
    return page.evaluate(
        """async ([path, body]) => {
          const { csrf } = await (await fetch("/api/v1/session")).json();
          const headers = { "X-CSRF-Token": csrf, "Content-Type": "application/json" };
          const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
          if (!answer.ok) throw new Error(await answer.text());
          return answer.json();
        }""",
        [path, body],
    )


if __name__ == "__main__":
    main()
