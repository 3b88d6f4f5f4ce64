"""The search page: what its handler shows, to whom, and how little code a new control takes."""

import re
import runpy
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import gradio as gr
import pytest
from starlette.requests import Request

from app.api.auth import Principal
from app.ui.components.moments import MomentList
from app.ui.pages import search
from tests.support.site import Library, Site, open_site

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def site(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(library, tmp_path_factory.mktemp("search") / "site") as opened:
        yield opened


def built(site: Site, build: Callable[..., None] = search.build) -> gr.Blocks:
    """The page alone."""
    with gr.Blocks() as blocks:
        build(site.app_context, blocks)
    return blocks


def shown(blocks: gr.Blocks, principal: Principal | None, *values: object, **more: object) -> Any:
    """What the handler of the search button returns."""
    handler = next(fn.fn for fn in blocks.fns.values() if fn.name == "show")
    scope = {"type": "http", "headers": [], "query_string": b"", "state": {"principal": principal}}
    request = gr.Request(Request(scope))
    result = anyio.run(lambda: handler(*values, request, **more))
    return next(value for value in result if isinstance(value, MomentList))


def ask(query: str, videos: list[str] | None = None, **more: str) -> list[object]:
    """The fields of the page."""
    return [
        query,
        videos or [],
        [],
        "",
        more.get("after", ""),
        more.get("before", ""),
        "",
        False,
        "",
    ]


def videos_of(cards: MomentList) -> set[str]:
    return {card.video_id for group in cards.groups for card in group.cards}


def test_viewer_finds_moments_of_their_own_videos_alone(site: Site) -> None:
    blocks = built(site)
    found = shown(blocks, site.principal("ada"), *ask("a card"))
    assert videos_of(found) == {site.gate, site.yard}
    assert re.search(r"searched 48 seconds of footage in [\d.]+ m?s<", found.before)
    assert videos_of(shown(blocks, site.principal("vera"), *ask("a card"))) == {site.gate}
    for fields in (ask("a card", [site.yard]), ask("a card camera:yard")):
        refused = shown(blocks, site.principal("vera"), *fields)
        assert not refused.groups
        assert "Nothing was searched" in refused.before


def test_nobody_searches_without_signing_in(site: Site) -> None:
    with pytest.raises(gr.Error, match="sign in first"):
        shown(built(site), None, *ask("a card"))


@pytest.mark.parametrize(
    "fields", [ask("camera:zzz car"), ask("car after:2026-13-45"), ask("car", before="soon")]
)
def test_filter_that_means_nothing_never_widens_a_search(site: Site, fields: list[object]) -> None:
    cards = shown(built(site), site.principal("ada"), *fields)
    assert not cards.groups
    assert "Nothing was searched" in cards.before


def test_refusal_of_a_search_is_said_in_the_page(site: Site) -> None:
    # No video of this library has a wall clock; a link may well ask for one.
    cards = shown(built(site), site.principal("ada"), *ask("a card", after="2030-01-01"))
    assert not cards.groups
    assert "Nothing was searched" in cards.before


def test_filters_among_the_words_narrow_a_search(site: Site) -> None:
    cards = shown(built(site), site.principal("ada"), *ask('a card camera:"gate" before:0:10'))
    assert videos_of(cards) == {site.gate}
    assert max(card.end_s for group in cards.groups for card in group.cards) <= 10


def test_markup_in_a_query_stays_text(site: Site) -> None:
    cards = shown(
        built(site), site.principal("ada"), *ask("<img src=x onerror=alert(1)> camera:<b>")
    )
    assert "<b>" not in cards.before
    assert "&lt;b&gt;" in cards.before


def test_slider_of_the_guide_works_as_it_stands_there(site: Site, tmp_path: Path) -> None:
    """`docs/web.md` adds a slider to the page in Python alone; the change is applied and used."""
    (change,) = re.findall(r"```diff\n(.*?)```", (ROOT / "docs/web.md").read_text(), re.DOTALL)
    source = Path(search.__file__)
    copy = tmp_path / "app/ui/pages/search.py"
    copy.parent.mkdir(parents=True)
    copy.write_text(source.read_text())
    subprocess.run(
        ["git", "apply", "--unidiff-zero", "-"], input=change, text=True, cwd=tmp_path, check=True
    )
    blocks = built(site, runpy.run_path(str(copy))["build"])
    assert [block for block in blocks.blocks.values() if isinstance(block, gr.Slider)]
    few = shown(blocks, site.principal("ada"), *ask("a card"), top=2)
    assert sum(len(group.cards) for group in few.groups) == 2
