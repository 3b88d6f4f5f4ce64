"""Accounts on the settings page: what a viewer may see is granted there, cameras too."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from starlette.requests import Request

from app.ui.accounts import AccountPanels
from tests.support.site import Library, Site, open_site


@pytest.fixture(scope="module")
def site(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(library, tmp_path_factory.mktemp("accounts") / "site") as opened:
        yield opened


def test_camera_is_granted_to_a_viewer(site: Site) -> None:
    scope = {
        "type": "http",
        "headers": [],
        "query_string": b"",
        "state": {"principal": site.principal("ada")},
    }
    request = gr.Request(Request(scope))
    catalog = site.app_context.services.catalog
    camera = catalog.cameras.add(name="Gate", address="rtsp://127.0.0.1:9/live")
    panels = AccountPanels(site.app_context)
    with gr.Blocks():
        panels.draw()
    event: Any = SimpleNamespace(key="vera")
    offered: Any = panels.edit(event, request)[panels._cameras]
    assert (offered["choices"], offered["value"]) == ([("Gate", camera.id)], [])
    assert offered["visible"]
    granting = panels.change("vera", "viewer", "", [site.gate], [camera.id], request)
    shown: Any = granting[panels._users]
    vera = next(user for user in catalog.accounts.users() if user.name == "vera")
    assert catalog.cameras.granted(vera.id) == {camera.id}
    assert catalog.accounts.granted(vera.id) == {site.gate}
    row = next(row for row in shown.rows if row.key == "vera")
    assert "1 video, 1 camera" in row.cells
    panels.change("vera", "viewer", "", [site.gate], [], request)
    assert not catalog.cameras.granted(vera.id)
