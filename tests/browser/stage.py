"""A server in a process of its own with a drawn library, and a browser to look at it."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.services.credentials import hash_password
from engine.media.encode import write_video
from engine.synthetic.questions import Question, questions
from engine.synthetic.story import Story, draw_story
from storage.catalog import open_catalog

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
_LINK = re.compile(r"http\S+/sign-in\?token=\S+")
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A running server."""

    address: str
    link: str
    """Signs in once."""
    home: Path
    process: "subprocess.Popen[str]"


def find_chromium() -> str | None:
    """The browser of this machine, if it has one."""
    named = os.environ.get("LONGWATCH_TEST_CHROMIUM")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


def draw_clip(
    path: Path, *, seed: int, seconds: float, fps: float = 5.0, height_px: int = 360
) -> tuple[Question, ...]:
    """A drawn recording, and what can be asked of it."""
    story: Story = draw_story(
        seed, seconds, fps, height_px=height_px, width_px=height_px * 16 // 9, events_per_minute=6.0
    )
    n_frames = round(seconds * fps)
    write_video(path, (story.frame(place / fps) for place in range(n_frames)), fps)
    return questions(story)


@contextmanager
def open_stage(home: Path, *, model: str = "nano", roots: Path | None = None) -> Iterator[Stage]:
    """Start `longwatch serve` on a free port; it is stopped at the end."""
    environment = {
        **os.environ,
        "LONGWATCH_HOME": str(home),
        "LONGWATCH_LIMITS__DISK_RESERVE_BYTES": "1MB",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",
    }
    if roots is not None:
        environment["LONGWATCH_PATHS__MEDIA_ROOTS"] = f'["{roots}"]'
    # A file, because nobody reads the log while the tests run, and a full pipe stops the server.
    log = home / "server.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve", "--port", "0", "--model", model],
            env=environment,
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        link = _read_link(process, log)
        address = link.split("/sign-in")[0]
        yield Stage(address=address, link=link, home=home, process=process)
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def add_viewer(home: Path, name: str, password: str) -> None:
    """An account beside the running server's own."""
    with open_catalog(f"sqlite:///{home / 'longwatch.db'}") as catalog:
        catalog.accounts.add_user(name, "viewer", password_hash=hash_password(password))


def _read_link(process: "subprocess.Popen[str]", log: Path) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if found := _LINK.search(line):
            return found.group()
    raise RuntimeError(f"the server did not start:\n{log.read_text()}")


def wait_until_read(page: Any, n_videos: int, *, within_s: float = 120.0) -> list[dict[str, Any]]:
    """Wait until so many videos are ready, and say what they are."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        videos = page.evaluate("fetch('/api/v1/videos').then((answer) => answer.json())")["videos"]
        if sum(video["status"] == "ready" for video in videos) >= n_videos:
            return list(videos)
        time.sleep(0.5)
    raise TimeoutError(f"{n_videos} videos were not read within {within_s:.0f} s: {videos}")
