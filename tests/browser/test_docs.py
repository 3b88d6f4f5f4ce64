"""The documentation of the HTTP API: rendered from our own files, and usable from the page."""

from typing import Any

from app.services.benchmarks.web import RunningServer


def test_docs_show_every_group_and_call_the_api_without_another_host(
    browser: Any, stage: RunningServer, state: Any
) -> None:
    context = browser.new_context(base_url=stage.address, storage_state=state)
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda line: line.type == "error" and complaints.append(line.text))
    page.goto("/docs")
    page.wait_for_selector("#operations-tag-tokens, [id^='operations-tag']")
    text = page.inner_text("#docs")
    for tag in ("videos", "ask", "probes", "tokens", "openai"):
        assert tag in text
    page.click("#operations-tag-tokens, [data-tag='tokens']")
    page.click("#operations-tokens-create_token .opblock-summary-control")
    page.click("#operations-tokens-create_token .try-out__btn")
    page.fill("#operations-tokens-create_token textarea", '{"name": "from the docs"}')
    page.click("#operations-tokens-create_token .execute")
    page.wait_for_selector("#operations-tokens-create_token .live-responses-table")
    assert "lw_" in page.inner_text("#operations-tokens-create_token .live-responses-table")
    assert [url for url in asked if not url.startswith((stage.address, "data:", "blob:"))] == []
    assert complaints == []
    context.close()
