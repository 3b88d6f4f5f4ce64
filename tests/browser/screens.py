"""Pictures of every page for the README: `python -m tests.browser.screens [FOLDER]`.

Video, questions and needles are drawn by the project, what the camera films too; the answers are
nano's own.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from app.services.benchmarks.web import draw_clip
from engine.media.encode import write_video
from engine.synthetic.story import draw_story
from tests.browser.stage import (
    FLAGS,
    QUESTION,
    enter_by_link,
    find_chromium,
    open_page,
    open_stage,
    ready,
    sign_in,
    wait_until_read,
)
from tests.support.clock_camera import open_clock_camera

CLIPS = (("Camera 1", 11, 150.0), ("Camera 2", 23, 120.0), ("Camera 3", 42, 180.0))
DAYS = (1, 2, 2)
YARD_S = 300.0
"""The camera films while its pictures are taken."""
THEMES = ("light", "dark")
SIZES = (((1280, 800), ""), ((375, 760), "-phone"))
SHOTS = {
    "library": "/ui/",
    "search": "/ui/search?q=a+red+car",
    "moments": "/ui/moments?day=2026-03-02&with=2026-03-01",
    "probe": "/ui/probe",
    "alerts": "/ui/alerts",
    "jobs": "/ui/jobs",
    "settings": "/ui/settings",
    "models": "/ui/models",
}
MAX_BYTES = 300_000
WORK_S = 3600.0
"""Longest wait for reading, observing and probing: minutes where nothing else runs."""
PICTURES_SHOWN = """() => [...document.querySelectorAll("img")]
  .filter((image) => image.checkVisibility() && image.getBoundingClientRect().top < innerHeight)
  .every((image) => image.complete)"""


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
            for theme in THEMES:
                _walk(browser, stage, state, theme, asked, folder)
        _film(browser, work, folder)
        browser.close()


def _prepare(browser: Any, stage: Any, work: Path) -> Any:
    """Sign in and fill the library; the state of the signed-in browser."""
    with open_page(browser, stage) as page:
        enter_by_link(page, stage)
        _fill(page, work)
        return page.context.storage_state()


def _fill(page: Any, work: Path) -> None:
    """Write a rule, have the clips read, and run a probe."""
    rule = {"name": "Something moves", "condition": {"kind": "motion", "cooldown_s": 20}}
    _post(page, "/api/v1/alert-rules", rule)
    for hour, (day, (title, _, _)) in enumerate(zip(DAYS, CLIPS, strict=True), 9):
        source, start_at = str(work / f"{title}.mp4"), f"2026-03-{day:02d}T{hour:02d}:15"
        _post(page, "/api/v1/videos", {"source": source, "start_at": start_at})
    wait_until_read(page, len(CLIPS))
    order = {"lengths": [32, 64, 128], "depths": [0, 0.25, 0.5, 0.75, 1], "seeds": 3}
    _post(page, "/api/v1/probes", order)
    _wait_for_jobs(page)


def _wait_for_jobs(page: Any) -> None:
    """Wait until nothing is read or observed any more: a picture shows what there is to see."""
    deadline = time.monotonic() + WORK_S
    while True:
        jobs = page.evaluate("fetch('/api/v1/jobs').then((answer) => answer.json())")["jobs"]
        failed = [job for job in jobs if job["state"] == "failed"]
        if failed:
            raise RuntimeError(f"job {failed[0]['job_id']} failed: {failed[0]['error']}")
        going = [job for job in jobs if job["state"] != "done"]
        if not going:
            return
        if time.monotonic() > deadline:
            kinds = ", ".join(job["kind"] for job in going)
            raise TimeoutError(f"after {WORK_S:.0f} s these jobs are not done: {kinds}")
        time.sleep(1)


def _film(browser: Any, work: Path, folder: Path) -> None:
    """Show a camera while it films, from a server that may open its address."""
    yard = work / "yard.mp4"
    fps, n_frames = 2.0, round(2 * YARD_S)
    story = draw_story(5, YARD_S, fps, height_px=180, width_px=320, events_per_minute=6.0)
    # As cameras do, so that whoever connects soon has a picture.
    write_video(yard, (story.frame(index / fps) for index in range(n_frames)), fps, gop_frames=4)
    with (
        open_clock_camera((yard, yard)) as camera,
        open_stage(work / "yard", allows_network=True) as stage,
    ):
        state = sign_in(browser, stage)
        with open_page(browser, stage, state) as page:
            ready(page, "/ui/cameras")
            _post(page, "/api/v1/cameras", {"name": "Yard", "address": camera.address})
            page.wait_for_selector("#lw-cameras .stills a", timeout=180_000)
        for theme in THEMES:
            for (width, height), suffix in SIZES:
                size = {"width": width, "height": height}
                with open_page(browser, stage, state, color_scheme=theme, **size) as page:
                    ready(page, "/ui/cameras")
                    page.wait_for_selector("#lw-cameras .stills a")
                    _shoot(page, folder / f"cameras-{theme}{suffix}.png")


def _walk(browser: Any, stage: Any, state: Any, theme: str, asked: str, folder: Path) -> None:
    for (width, height), suffix in SIZES:
        size = {"width": width, "height": height}
        with open_page(browser, stage, state, color_scheme=theme, **size) as page:
            for name, path in SHOTS.items():
                ready(page, path)
                if name == "probe" and page.query_selector(".heat button"):
                    page.locator(".heat button").nth(4).click()
                    page.wait_for_selector(".trial")
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
    _shoot(page, target)


def _shoot(page: Any, target: Path) -> None:
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(800)
    page.wait_for_function(PICTURES_SHOWN)
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
