"""Gradio's Blocks made of the pages, and their place in the application."""

import warnings
from typing import Final, Protocol

import gradio as gr
from fastapi import FastAPI
from gradio.components.navbar import Navbar
from starlette.routing import Mount

from app.api.deps import AppContext
from app.ui.caller import PASSIVE, user_name
from app.ui.components.pulse import Pulse
from app.ui.endpoints import add_endpoints
from app.ui.frame import PAGES, Header, head
from app.ui.pages import (
    alerts,
    cameras,
    jobs,
    library,
    models,
    moments,
    probe,
    search,
    settings,
    watch,
)
from app.ui.session_guard import SessionGuard
from app.ui.theme import theme

COUNT_S: Final = 15.0
"""Between two looks at how many alerts nobody has answered."""
MAX_EVENTS: Final = 200
"""Events that wait; the next ones are answered with status 503."""


class _Page(Protocol):
    def build(self, context: AppContext, blocks: gr.Blocks) -> None: ...


_BUILT: Final[dict[str, _Page]] = {
    "library": library,
    "cameras": cameras,
    "watch": watch,
    "moments": moments,
    "search": search,
    "probe": probe,
    "alerts": alerts,
    "jobs": jobs,
    "settings": settings,
    "models": models,
}
"""The file of each page."""


def build_site(context: AppContext) -> gr.Blocks:
    """Return every page as a route of one Blocks; the first is the start page."""
    blocks = gr.Blocks(title="Longwatch", analytics_enabled=False)
    for number, (key, title, address) in enumerate(PAGES):
        with blocks if number == 0 else blocks.route(title, address.removeprefix("/ui")):
            Navbar(visible=False)
            if number == 0:
                add_endpoints(context)
            header = Header(key, context)
            blocks.load(header.show, None, header, **PASSIVE)
            Pulse(COUNT_S).beat(header.show, None, header, **PASSIVE)
            with gr.Column(elem_classes=["page"], elem_id="lw-main"):
                _BUILT[key].build(context, blocks)
    # No event waits for another: the model has a queue of its own, which is fair to users.
    blocks.queue(max_size=MAX_EVENTS, default_concurrency_limit=None)
    return blocks


def mount_pages(app: FastAPI, path: str, context: AppContext) -> None:
    """Mount the pages, and of Gradio what they need."""
    with warnings.catch_warnings():
        # Said of several pages even where server-side rendering is off, as here.
        warnings.filterwarnings("ignore", message="SSR mode is not supported")
        blocks = build_site(context)
        gr.mount_gradio_app(
            app,
            blocks,
            path=path,
            auth_dependency=user_name,
            theme=theme(),
            head=head(),
            run_history=False,
            footer_links=[],
            show_error=False,
            ssr_mode=False,
            mcp_server=True,
            enable_monitoring=False,
            max_file_size=0,
        )
    for route in app.routes:
        if isinstance(route, Mount) and route.path == path:
            route.app = SessionGuard(route.app, lambda: blocks._queue)
