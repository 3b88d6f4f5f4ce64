"""The library page: who sees which cards, what is sent of them, and what may be done with them."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from starlette.requests import Request

from app.ui.components.grid import GridChange
from app.ui.pages.library import LibraryView
from tests.support.site import Library, Site, open_site


@pytest.fixture
def site(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(library, tmp_path_factory.mktemp("library") / "site") as opened:
        yield opened


class Page:
    """The page of one user: what its components hold, and what its handlers return."""

    def __init__(self, site: Site, user: str, query: str = "") -> None:
        scope = {"type": "http", "headers": [], "query_string": query.encode()}
        scope["state"] = {"principal": site.principal(user)}
        self.request = gr.Request(Request(scope))
        self.view = LibraryView(site.app_context)
        with gr.Blocks() as blocks:
            self.view.draw(blocks)
        self.values: dict[Any, Any] = {}
        self.take(self.view.visit(self.request))

    def take(self, update: dict[Any, Any]) -> dict[Any, Any]:
        """Keep what a handler returns, as the browser does."""
        for part, value in update.items():
            is_update = isinstance(value, dict) and "__type__" in value
            kept = value.get("value", self.values.get(part)) if is_update else value
            self.values[part] = kept
        return update

    def __getitem__(self, name: str) -> Any:
        return self.values[getattr(self.view, f"_{name}")]

    def __setitem__(self, name: str, value: Any) -> None:
        self.values[getattr(self.view, f"_{name}")] = value

    @property
    def cards(self) -> list[str]:
        change: GridChange = self["cards"]
        return list(change.marks or {})

    def look(self) -> dict[Any, Any]:
        """What a beat of the page brings."""
        view = self.view
        names = ("text", "sort", "tags", "observed", "camera", "since", "until", "page")
        fields = [getattr(view, f"_{name}") for name in (*names, "known", "reading", "chosen")]
        state = {field: self.values.get(field) for field in fields}
        return self.take(view.follow(state | {view._address: ""}, self.request))


def event(**data: object) -> Any:
    return SimpleNamespace(**data)


def test_viewer_has_the_cards_of_their_own_videos(site: Site) -> None:
    assert Page(site, "ada").cards == [site.yard, site.gate]
    viewer = Page(site, "vera")
    assert viewer.cards == [site.gate]
    card = str(viewer["cards"].cards[site.gate])
    assert "Delete" not in card
    assert str(site.services.settings.home) not in card
    assert viewer["uploads"] is None
    assert "free" not in viewer["head"]


def test_only_cards_that_have_changed_are_sent_again(site: Site) -> None:
    page = Page(site, "ada")
    assert page.view._cards not in page.look(), "nothing has changed"
    site.services.catalog.videos.rename(site.gate, "<b>${1}</b> `gate`")
    change = page.look()[page.view._cards]
    assert list(change.marks) == [site.yard, site.gate]
    assert list(change.cards) == [site.gate]
    assert "&lt;b&gt;${1}&lt;/b&gt;" in change.cards[site.gate]


def test_address_says_what_is_listed(site: Site) -> None:
    site.services.catalog.videos.set_tags(site.gate, ["Night"])
    page = Page(site, "ada", "tag=night&sort=name")
    assert page.cards == [site.gate]
    assert page["address"] == {
        "q": "", "sort": "name", "tag": "night", "seen": "", "camera": "", "since": "",
        "until": "", "p": "",
    }  # fmt: skip
    assert Page(site, "ada", "q=nowhere").cards == []
    assert "No video fits" in Page(site, "ada", "q=nowhere")["note"]
    wrong = Page(site, "ada", "since=2026-13-01")
    assert wrong.cards == []
    assert "is no day" in wrong["note"]


def test_tags_and_removal_of_several(site: Site) -> None:
    page = Page(site, "ada")
    drawers = page.view._drawers
    chosen = json.dumps([site.gate, site.yard])
    drawers.apply_tags(chosen, ["case 7"], [], page.request)
    for video in (site.gate, site.yard):
        assert site.services.catalog.videos.get(video).tags == ("case 7",)
    page["chosen"] = chosen
    asked_first = page.view.act_on_chosen(
        page.values, event(action="remove", key=None), page.request
    )
    assert "Delete 2 videos?" in asked_first.values()
    assert len(page.cards) == 2, "asking deletes nothing"
    drawers.go(json.dumps([site.yard]), "remove", page.request)
    brought = page.look()
    assert page.cards == [site.gate]
    # What stands around the cards is that of the cards.
    assert "1 video " in brought[page.view._head]
    assert brought[page.view._filters]["visible"]
    drawers.go(json.dumps([site.gate]), "remove", page.request)
    assert not page.look()[page.view._filters]["visible"]


@pytest.mark.parametrize("action", ["remove", "again", "tag"])
def test_viewer_may_change_nothing(site: Site, action: str) -> None:
    page = Page(site, "vera")
    page["chosen"] = json.dumps([site.gate])
    with pytest.raises(gr.Error, match="only an admin may do this"):
        page.view.act_on_chosen(page.values, event(action=action, key=None), page.request)
    with pytest.raises(gr.Error, match="only an admin may do this"):
        page.view._drawers.go(json.dumps([site.gate]), "remove", page.request)
    with pytest.raises(gr.Error, match="no video"):
        page.view.act_on_card(page.values, event(action="details", key=site.yard), page.request)


def test_nothing_to_add_is_said(site: Site) -> None:
    page = Page(site, "ada")
    with pytest.raises(gr.Error, match="there is nothing to add"):
        page.view._drawers.take("", None, "", "", "", page.request)
    with pytest.raises(gr.Error, match="only files below the configured folders"):
        page.view._drawers.take("/etc/passwd", None, "", "", "", page.request)


def test_details_are_saved(site: Site) -> None:
    page = Page(site, "ada")
    keys = json.dumps([site.gate])
    page.view._drawers.save(
        keys, "North gate", ["x"], "2026-03-01 22:00:05", "Europe/Berlin", page.request
    )
    row = site.services.catalog.videos.get(site.gate)
    assert (row.name, row.tags, row.timezone) == ("North gate", ("x",), "Europe/Berlin")
    assert row.start_at is not None
    assert row.start_at.isoformat() == "2026-03-01T21:00:05+00:00"
    page.look()
    assert "2026-03-01 22:00" in page["cards"].cards[site.gate]


def test_typing_lists_and_moves_the_address(site: Site) -> None:
    page = Page(site, "ada")
    view = page.view
    names = ("text", "sort", "tags", "observed", "camera", "since", "until", "page", "chosen")
    fields = [getattr(view, f"_{name}") for name in (*names, "known", "reading")]
    state = {field: page.values.get(field) for field in fields}
    state |= {view._text: "gate", view._address: view._address.postprocess(page["address"])}
    assert state[view._address] == "?"
    update = view.search(state, page.request)
    assert update[view._address]["q"] == "gate"
    page.take(update)
    assert page.cards == [site.gate]
    # What is asked for already is not asked for again.
    state[view._address] = view._address.postprocess(page["address"])
    assert state[view._address] == "?q=gate"
    assert view.search(state, page.request) == gr.skip()
