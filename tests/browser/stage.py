"""A server in a process of its own with a drawn library, and a browser to look at it."""

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.services.benchmarks.web import RunningServer, start_server
from app.services.credentials import hash_password
from storage.catalog import open_catalog

QUESTION = "#lw-question [data-testid=textbox]"
ANSWER = "#lw-chat .bot-row .message:not(.component) .prose"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE_MS = 120_000
"""Longest wait for anything on a page: a machine that does other work is slow, not wrong."""
FLAGS = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]


def find_chromium() -> str | None:
    """The browser of this machine, if it has one."""
    named = os.environ.get("LONGWATCH_TEST_CHROMIUM")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def open_stage(
    home: Path,
    *,
    model: str = "nano",
    roots: Path | None = None,
    observers: Sequence[str] | None = None,
    allows_network: bool = False,
) -> Iterator[RunningServer]:
    """Start a server that leaves processor and disk to the tests beside it."""
    environment = {
        **os.environ,
        "LONGWATCH_LIMITS__DISK_RESERVE_BYTES": "1MB",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",
    }
    if roots is not None:
        environment["LONGWATCH_PATHS__MEDIA_ROOTS"] = f'["{roots}"]'
    if allows_network:
        environment["LONGWATCH_ALLOW_NETWORK"] = "true"
    if observers is not None:
        environment["LONGWATCH_SIGHT__OBSERVERS"] = json.dumps([*observers])
    with start_server(home, model=model, environment=environment) as server:
        yield server


@contextmanager
def open_page(
    browser: Any,
    server: RunningServer,
    state: Any = None,
    *,
    width: int = 1280,
    height: int = 800,
    **options: Any,
) -> Iterator[Any]:
    """Open a page that is closed whatever happens to its test; an error in its console fails that.

    A page that was left open would ask its server every few seconds for as long as that runs.

    Args:
        state: Cookies to begin with.
        options: Further ones of the browser's context.
    """
    broken: list[str] = []
    viewport = {"width": width, "height": height}
    with browser.new_context(
        base_url=server.address, storage_state=state, viewport=viewport, **options
    ) as context:
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("pageerror", lambda error: broken.append(str(error)))
        yield page
    assert not broken, broken


def sign_in(browser: Any, server: RunningServer) -> Any:
    """Come in by the one-time link of a server; the cookies of whoever did."""
    with open_page(browser, server) as page:
        enter_by_link(page, server)
        return page.context.storage_state()


def enter_by_link(page: Any, server: RunningServer) -> None:
    """Come in by the one-time link of a server."""
    page.goto(server.link)
    page.click("button[type=submit]")
    page.wait_for_selector(".lw .bar")


def enter_by_password(page: Any, name: str, password: str, path: str) -> None:
    """Come in with a name and a password, to a page."""
    page.goto(f"/sign-in?next={path}")
    page.fill("[name=name]", name)
    page.fill("[name=password]", password)
    page.click("button[type=submit]")
    page.wait_for_selector(".lw .bar")


def ready(page: Any, path: str, *, within_s: float = PATIENCE_MS / 1000) -> None:
    """Open a page and wait until it shows what the address says; one that failed says with what."""
    asked, answered = set(), set()

    def is_event(request: Any) -> bool:
        return request.method == "POST" and "/gradio_api/" in request.url

    def ask(request: Any) -> None:
        if is_event(request):
            asked.add(request)

    def answer(request: Any) -> None:
        if is_event(request):
            answered.add(request)

    listeners = {"request": ask, "requestfinished": answer, "requestfailed": answer}
    for name, listener in listeners.items():
        page.on(name, listener)
    page.goto(path)
    page.wait_for_selector('.page[aria-busy="false"]')
    # What the address says is shown by an event of the page's own, another fills its header. That
    # the network is quiet says nothing: a busy machine is quiet before it asks, too.
    deadline = time.monotonic() + within_s
    while len(asked) < 2 or asked - answered:
        assert time.monotonic() < deadline, f"{path} was not shown within {within_s:.0f} s"
        page.wait_for_timeout(50)
    for name, listener in listeners.items():
        page.remove_listener(name, listener)
    page.wait_for_load_state("networkidle")
    refused = page.locator(".page > .note.bad")
    assert refused.count() == 0, refused.inner_text()


def add_viewer(home: Path, name: str, password: str) -> None:
    """An account beside the running server's own."""
    with open_catalog(f"sqlite:///{home / 'longwatch.db'}") as catalog:
        catalog.accounts.add_user(name, "viewer", password_hash=hash_password(password))


def wait_until_read(page: Any, n_videos: int, *, within_s: float = 120.0) -> list[dict[str, Any]]:
    """Wait until so many videos are ready, and say what they are."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        videos = page.evaluate("fetch('/api/v1/videos').then((answer) => answer.json())")["videos"]
        if sum(video["status"] == "ready" for video in videos) >= n_videos:
            return list(videos)
        time.sleep(0.5)
    raise TimeoutError(f"{n_videos} videos were not read within {within_s:.0f} s: {videos}")
