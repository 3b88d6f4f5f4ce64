"""The files of our pages: compressed, kept by browsers, styles in one request."""

from functools import cache
from typing import Final

from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from app.api.brand import STATIC_FILES

STYLES: Final = ("tokens", "shell", "blocks", "player", "pages")
"""Style sheets of every page, in their order."""


class _Assets(StaticFiles):
    """The folder of files, with all style sheets of the pages as `site.css`."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file, or the style sheets one after the other."""
        if path == "site.css":
            return Response(_styles(), media_type="text/css")
        return await super().get_response(path, scope)


def serve_assets() -> ASGIApp:
    """Return the application that answers below `assets_path()`."""
    return GZipMiddleware(_Assets(directory=STATIC_FILES), minimum_size=500)


@cache
def _styles() -> str:
    return "\n".join((STATIC_FILES / f"{name}.css").read_text("utf-8") for name in STYLES)
