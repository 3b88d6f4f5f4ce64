"""What each page costs a browser that has kept nothing: `python -m tests.browser.weight [PAGE]`.

One drawn video is in the library, so that pages show what they show to people. Pictures and media
are left out: there are as many as there are moments. With the name of a page its requests are
named too.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.config.settings import load_settings
from app.services.benchmarks.web import RunningServer, draw_clip
from app.services.context import ServiceContext
from app.ui.frame import PAGES
from app.worker.foreground import ingest_now
from tests.browser.stage import FLAGS, find_chromium, open_page, open_stage, ready, sign_in

MOST_REQUESTS: Final = 61
"""Of a page: as many as before the pages were Gradio's."""
_SHOWN_ONLY: Final = {"image", "media"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """The requests of a page."""

    urls: tuple[str, ...]
    kinds: Counter[str]
    n_bytes: int
    """As they came over the wire, compressed."""


@contextmanager
def open_shown_stage(folder: Path) -> Iterator[RunningServer]:
    """Start a server with one video, read."""
    context = ServiceContext(load_settings({"sight.observers": []}, home=folder / "home"))
    draw_clip(folder / "gate.mp4", seed=42, seconds=20.0, height_px=180)
    ingest_now(context, [str(folder / "gate.mp4")])
    context.close()
    with open_stage(folder / "home", observers=[]) as server:
        yield server


def weigh(browser: Any, server: RunningServer, state: Any, path: str) -> Weight:
    """Open a page in a browser that has kept nothing."""
    asked: list[Any] = []
    with open_page(browser, server, state) as page:
        page.on("requestfinished", lambda request: asked.append(request))
        ready(page, path)
        counted = [request for request in asked if request.resource_type not in _SHOWN_ONLY]
        return Weight(
            urls=tuple(request.url for request in counted),
            kinds=Counter(request.resource_type for request in counted),
            n_bytes=sum(request.sizes()["responseBodySize"] for request in counted),
        )


def main() -> None:
    """Print a line for each page, or the requests of one."""
    from playwright.sync_api import sync_playwright

    wanted = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        with open_shown_stage(Path(name)) as server:
            state = sign_in(browser, server)
            for key, _, path in PAGES:
                if wanted and key not in wanted:
                    continue
                weight = weigh(browser, server, state, path)
                kinds = ", ".join(f"{count} {kind}" for kind, count in weight.kinds.most_common())
                kilobytes = f"{weight.n_bytes / 1000:.0f} kB"
                lines = [f"{key:9} {len(weight.urls):3} requests {kilobytes:>8}  ({kinds})"]
                lines += weight.urls if wanted else ()
                sys.stdout.writelines(f"{line}\n" for line in lines)
        browser.close()


if __name__ == "__main__":
    main()
