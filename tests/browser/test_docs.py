"""The documentation of the HTTP API: rendered from our own files, and usable from the page."""

from typing import Any

from app.services.benchmarks.web import RunningServer
from tests.browser.stage import open_page


def test_docs_show_every_group_and_call_the_api_without_another_host(
    browser: Any, stage: RunningServer, state: Any
) -> None:
    with open_page(browser, stage, state) as page:
        _use_docs(page, stage)


def _use_docs(page: Any, stage: RunningServer) -> None:
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.goto("/docs")
    for tag in ("videos", "ask", "probes", "tokens", "openai"):
        page.wait_for_selector(f"#operations-tag-{tag}")
    page.click("#operations-tag-tokens, [data-tag='tokens']")
    page.click("#operations-tokens-create_token .opblock-summary-control")
    page.click("#operations-tokens-create_token .try-out__btn")
    page.fill("#operations-tokens-create_token textarea", '{"name": "from the docs"}')
    page.click("#operations-tokens-create_token .execute")
    page.wait_for_selector("#operations-tokens-create_token .live-responses-table :text('lw_')")
    assert [url for url in asked if not url.startswith((stage.address, "data:", "blob:"))] == []
    assert complaints == []
