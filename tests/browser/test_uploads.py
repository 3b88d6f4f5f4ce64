"""Uploads that meet trouble: a refused file, a lost network, a reload."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.services.benchmarks.web import RunningServer, draw_clip
from tests.browser.stage import PATIENCE_MS, open_page, open_stage, ready, sign_in, wait_until_read


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with open_stage(tmp_path_factory.mktemp("uploads") / "home", observers=[]) as opened:
        yield opened


@pytest.fixture(scope="module")
def signed_in(browser: Any, server: RunningServer) -> Any:
    return sign_in(browser, server)


@pytest.fixture
def page(browser: Any, server: RunningServer, signed_in: Any) -> Iterator[Any]:
    with open_page(browser, server, signed_in) as opened:
        ready(opened, "/ui/")
        yield opened


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    clips = [folder / f"clip {number}.mp4" for number in range(3)]
    for number, clip in enumerate(clips):
        draw_clip(clip, seed=number, seconds=8.0, height_px=180)
    return clips


def wait_for_uploads(page: Any, count: int) -> None:
    """Wait until so many files are listed: a video may be read before its row has gone."""
    page.wait_for_function(
        "count => document.querySelectorAll('.upload').length === count", arg=count
    )


COUNT_KEPT = """async () => {
  const opening = indexedDB.open("lw-unfinished", 1);
  await new Promise((done) => (opening.onsuccess = done));
  const counting = opening.result.transaction("files").objectStore("files").count();
  await new Promise((done) => (counting.onsuccess = done));
  opening.result.close();
  return counting.result;
}"""


def wait_until_kept(page: Any, count: int) -> None:
    """Wait until the browser keeps so many files for the pages that come."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while page.evaluate(COUNT_KEPT) != count:
        assert time.monotonic() < deadline, f"not {count} files are kept"
        page.wait_for_timeout(50)


def test_queue_goes_on_after_a_refusal(page: Any, clips: list[Path], tmp_path: Path) -> None:
    hostile = [tmp_path / f"hostile {number}.mp4" for number in range(2)]
    for file in hostile:
        file.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    page.set_input_files("#lw-files", [*hostile, clips[0]])
    page.wait_for_selector(".upload:has-text('refused')")
    assert len(wait_until_read(page, 1)) == 1
    wait_for_uploads(page, 2)
    page.click("button[aria-label='Cancel hostile 0.mp4']")
    wait_for_uploads(page, 1)


def test_upload_goes_on_when_the_network_is_back(page: Any, clips: list[Path]) -> None:
    page.evaluate("import('/assets/vendor/tus.min.js')")
    page.context.set_offline(True)
    page.set_input_files("#lw-files", clips[1])
    page.wait_for_selector(".upload:has-text('cannot be reached')")
    page.context.set_offline(False)
    assert len(wait_until_read(page, 2)) == 2
    wait_for_uploads(page, 0)


def test_unfinished_file_is_named_after_a_reload(page: Any, clips: list[Path]) -> None:
    page.route(
        "**/api/v1/uploads/*",
        lambda route: route.abort() if route.request.method == "PATCH" else route.continue_(),
    )
    page.set_input_files("#lw-files", clips[2])
    wait_until_kept(page, 1)
    page.on("dialog", lambda dialog: dialog.accept())
    ready(page, "/ui/")
    row = page.locator(".upload[data-state=kept]")
    row.wait_for()
    assert "clip 2.mp4" in row.inner_text()
    assert "choose the file again" in row.inner_text()
    page.unroute("**/api/v1/uploads/*")
    with page.expect_request(lambda request: request.method == "HEAD"):
        page.set_input_files("#lw-files", clips[2])
    assert len(wait_until_read(page, 3)) == 3
    # The video may be read before its page has heard that the last byte has arrived.
    wait_until_kept(page, 0)


def test_upload_goes_on_on_another_page(page: Any, clips: list[Path]) -> None:
    """As where a tab left the library in mid-upload, in a browser that may open the file again."""
    name = "clip 4.mp4"
    draw_clip(clips[0].parent / name, seed=4, seconds=8.0, height_px=180)
    page.evaluate(
        """async ([name, bytes]) => {
          const folder = await navigator.storage.getDirectory();
          const handle = await folder.getFileHandle(name, { create: true });
          const target = await handle.createWritable();
          await target.write(new Uint8Array(bytes));
          await target.close();
          const file = await handle.getFile();
          const { csrf } = await (await fetch("/api/v1/session")).json();
          const headers = { "X-CSRF-Token": csrf, "Tus-Resumable": "1.0.0",
            "Upload-Length": String(file.size), "Upload-Metadata": `filename ${btoa(name)}` };
          const made = await fetch("/api/v1/uploads", { method: "POST", headers });
          const unfinished = { key: `${file.name}:${file.size}:${file.lastModified}`, name,
            size: file.size, url: made.headers.get("Location"), handle };
          await new Promise((done) => {
            const opening = indexedDB.open("lw-unfinished", 1);
            opening.onsuccess = () => {
              const files = opening.result.transaction("files", "readwrite").objectStore("files");
              files.put(unfinished).onsuccess = done;
            };
          });
        }""",
        [name, list((clips[0].parent / name).read_bytes())],
    )
    with page.expect_request(lambda request: request.method == "PATCH"):
        page.goto("/ui/jobs")
    assert len(wait_until_read(page, 4)) == 4
    wait_until_kept(page, 0)
    page.wait_for_selector("#lw-share", state="hidden")
