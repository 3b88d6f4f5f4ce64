"""Gradio's Blocks made of the pages, and their place in the application."""

import warnings
from typing import Final, Protocol

import gradio as gr
from fastapi import FastAPI
from gradio.components.navbar import Navbar
from gradio.events import Dependency
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
from app.ui.question_box import KEEP_UPLOADS_S, upload_limit_bytes
from app.ui.session_guard import SessionGuard
from app.ui.theme import theme

COUNT_S: Final = 10.0
"""Between two looks at how many alerts nobody has answered: the one timer of a page for them."""
MAX_EVENTS: Final = 200
"""Events that wait; the next ones are answered with status 503."""


class _Page(Protocol):
    def build(self, context: AppContext, blocks: gr.Blocks) -> Dependency | None:
        """Draw the page; return the event after which its header counts alerts anew."""


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
    forgets = (KEEP_UPLOADS_S // 6, KEEP_UPLOADS_S)
    blocks = gr.Blocks(title="Longwatch", analytics_enabled=False, delete_cache=forgets)
    # No event waits for another: the model has a queue of its own, which is fair to users. While
    # the pages are empty: what Gradio makes here anew of all components costs least.
    blocks.queue(max_size=MAX_EVENTS, default_concurrency_limit=None)
    with blocks:
        for key, title, address in PAGES:
            _begin_page(blocks, title, address)
            if key == PAGES[0][0]:
                add_endpoints(context)
            header = Header(key, context)
            blocks.load(header.show, None, header, **PASSIVE)
            Pulse(COUNT_S, tells=True).beat(header.show, None, header, **PASSIVE)
            with gr.Column(elem_classes=["page"], elem_id="lw-main"):
                answered = _BUILT[key].build(context, blocks)
            if answered is not None:
                answered.then(header.show, None, header, **PASSIVE)
    return blocks


def _begin_page(blocks: gr.Blocks, title: str, address: str) -> None:
    """Make what is drawn from now on part of another page, as `gr.Blocks.route` does.

    `route` needs a `with` for each page, at whose end Gradio builds its application and the
    configuration of all pages again: two thirds of the time that building the pages took.
    """
    path = address.removeprefix("/ui").strip("/")
    if path:
        blocks.pages.append((path, title, True))
        blocks.current_page = path
    Navbar(visible=False)


def mount_pages(app: FastAPI, path: str, context: AppContext) -> None:
    """Mount the pages, and of Gradio what they need."""
    upload_bytes = upload_limit_bytes(context.services)
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
            max_file_size=upload_bytes,
        )
    for route in app.routes:
        if isinstance(route, Mount) and route.path == path:
            route.app = SessionGuard(
                route.app, lambda: blocks._queue, takes_uploads=upload_bytes > 0
            )
