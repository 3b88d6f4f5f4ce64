"""The conversation panel: which videos a question goes to."""

from collections.abc import Iterator

import gradio as gr
import pytest
from starlette.requests import Request

from app.ui.pages.watch import WatchPage
from tests.support.site import Library, Site, open_site


@pytest.fixture(scope="module")
def site(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(library, tmp_path_factory.mktemp("talk") / "site") as opened:
        yield opened


@pytest.mark.parametrize(("user", "several"), [("ada", True), ("vera", False)])
def test_several_chosen_videos_are_asked_together(site: Site, user: str, several: bool) -> None:
    view = WatchPage(site.app_context)
    with gr.Blocks() as blocks:
        view.draw(blocks)
    query = f"v={site.gate}&in={site.gate},{site.yard}"
    scope = {"type": "http", "headers": [], "query_string": query.encode()}
    scope["state"] = {"principal": site.principal(user)}
    where = view.visit(gr.Request(Request(scope)))[view._talk.where]
    names = [name for name, _ in where["choices"]]
    assert ("these 2 videos" in names) is several
    assert where["value"] == (",".join(sorted([site.gate, site.yard])) if several else "one")
