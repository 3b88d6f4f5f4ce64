"""The library page over two thousand videos: it opens with the newest and loads more when asked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.services.benchmarks.web import RunningServer
from storage.catalog import open_catalog
from tests.app.api.test_videos import N_VIDEOS, fill
from tests.browser.stage import open_stage


@pytest.fixture(scope="module")
def crowded(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose library is large from the start."""
    home: Path = tmp_path_factory.mktemp("crowded")
    file = home / "longwatch.db"
    with open_catalog(f"sqlite:///{file}") as catalog:
        fill(catalog, file, N_VIDEOS)
    with open_stage(home) as opened:
        yield opened


def test_large_library_opens_with_a_page_and_loads_more(
    browser: Any, crowded: RunningServer
) -> None:
    context = browser.new_context(base_url=crowded.address, viewport={"width": 375, "height": 800})
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if "/api/v1/videos" in one.url else None)
    page.goto(crowded.link)
    page.wait_for_selector("#lw-more")
    assert page.locator(".card").count() == 60
    assert page.inner_text(".more span") == f"60 of {N_VIDEOS} videos"
    assert page.inner_text(".card .top > a >> nth=0") == f"camera {N_VIDEOS - 1}"
    page.click("#lw-more")
    page.wait_for_function("document.querySelectorAll('.card').length === 120")
    assert page.inner_text(".card .top > a >> nth=119") == f"camera {N_VIDEOS - 120}"
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert all("limit=" in url for url in asked)
    context.close()
