"""The table of pages, and Gradio's Blocks made from it."""

import warnings
from typing import Final

import gradio as gr
from fastapi import FastAPI
from gradio.components.navbar import Navbar

from app.ui.frame import HEAD, draw_frame
from app.ui.theme import theme

PAGES: Final = (
    ("library", "Library", "/ui/"),
    ("watch", "Watch & ask", "/ui/watch"),
    ("search", "Search", "/ui/search"),
    ("probe", "Probe", "/ui/probe"),
    ("jobs", "Jobs", "/ui/jobs"),
    ("settings", "Settings", "/ui/settings"),
)
"""Part, title, address."""

_MOUNT: Final = "import('/assets/shell.js').then((shell) => shell.mount(element));"


def build_pages() -> gr.Blocks:
    """Every page as a route of one Blocks; the first is the start page."""
    blocks = gr.Blocks(title="Longwatch", analytics_enabled=False)
    for number, (key, title, address) in enumerate(PAGES):
        with blocks if number == 0 else blocks.route(title, address.removeprefix("/ui")):
            Navbar(visible=False)
            gr.HTML(
                draw_frame(key, title.replace("&", "and"), PAGES),
                js_on_load=_MOUNT,
                apply_default_css=False,
            )
    return blocks


def mount_pages(app: FastAPI, path: str) -> None:
    """Mount the pages; nothing of Gradio but them is used."""
    with warnings.catch_warnings():
        # Said of several pages even where server-side rendering is off, as here.
        warnings.filterwarnings("ignore", message="SSR mode is not supported")
        gr.mount_gradio_app(
            app,
            build_pages(),
            path=path,
            theme=theme(),
            head=HEAD,
            run_history=False,
            footer_links=[],
            show_error=False,
            ssr_mode=False,
            mcp_server=False,
            enable_monitoring=False,
            max_file_size=0,
        )
