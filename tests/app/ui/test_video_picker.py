"""The menu of videos: the newest ones at once, every other one by its name, as each may see."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest
from starlette.requests import Request

from app.ui.video_picker import MOST_NAMED, VideoPicker
from tests.support.site import Library, Site, open_site

N_MORE = MOST_NAMED + 20


@pytest.fixture(scope="module")
def site(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A library with more videos than a menu offers, the first two of which were read."""
    with open_site(library, tmp_path_factory.mktemp("picker") / "site") as opened:
        for number in range(N_MORE):
            opened.services.catalog.videos.add(name=f"camera {number:03d}", uri=f"{number}.mp4")
        yield opened


def typed(site: Site, name: str, words: str, value: Any = None) -> list[tuple[str, str]]:
    """The choices after some words were typed."""
    with gr.Blocks() as blocks:
        VideoPicker(site.app_context)
    look_up = next(fn.fn for fn in blocks.fns.values() if fn.name == "_look_up")
    state = {"principal": site.principal(name)}
    request = gr.Request(Request({"type": "http", "headers": [], "state": state}))
    assert look_up is not None
    event = gr.KeyUpData(None, {"key": "a", "input_value": words})
    choices: list[tuple[str, str]] = look_up(value, event, request)["choices"]
    return choices


def test_newest_are_offered_and_what_is_chosen_stays(site: Site) -> None:
    with gr.Blocks():
        picker = VideoPicker(site.app_context, before=[("a drawn recording", "")])
    shown = picker.show(site.principal("ada"), site.gate)
    names = [name for name, _ in shown["choices"]]
    assert names[:3] == ["a drawn recording", "gate", f"camera {N_MORE - 1:03d}"]
    assert len(names) == MOST_NAMED + 2
    assert shown["value"] == site.gate


def test_older_one_is_found_by_words_of_its_name(site: Site) -> None:
    assert typed(site, "ada", "gate") == [("gate", site.gate)]
    assert [name for name, _ in typed(site, "ada", "CAM 019")] == ["camera 019"]
    assert typed(site, "ada", "no such name") == []
    # What is chosen already is not lost while another one is looked for.
    name, _ = next(iter(typed(site, "ada", "camera 01", [site.yard])))
    assert name == "yard"


def test_viewer_is_offered_their_own_alone(site: Site) -> None:
    with gr.Blocks():
        picker = VideoPicker(site.app_context)
    choices = picker.show(site.principal("vera"), site.yard)["choices"]
    assert [name for name, _ in choices] == ["gate"]
