"""The files of our pages: compressed, kept by browsers, styles and scripts in one request each.

Decision: scripts are modules that import from each other, so that what is read says what it needs;
a browser gets them one after the other without their imports, because each would be a request.
So no two of them may declare one name, which a test sees to.
"""

import re
from functools import cache
from typing import Final

from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from app.api.brand import STATIC_FILES

STYLES: Final = ("tokens", "shell", "blocks", "player", "pages")
"""Style sheets of every page, in their order."""


SCRIPTS: Final = ("parts", "grid", "zone", "timeline", "player", "upload", "shell")
"""Modules of every page; none imports from one after it."""
_IMPORT: Final = re.compile(r'^import \{[^}]*\} from "\./\w+\.js";\n', re.MULTILINE)


class _Assets(StaticFiles):
    """The folder of files, with what all pages share as `site.css` and `site.js`."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file, or the style sheets or modules one after the other."""
        if path == "site.js":
            return Response(_scripts(), media_type="text/javascript")
        if path == "site.css":
            return Response(_styles(), media_type="text/css")
        return await super().get_response(path, scope)


def serve_assets() -> ASGIApp:
    """Return the application that answers below `assets_path()`."""
    return GZipMiddleware(_Assets(directory=STATIC_FILES), minimum_size=500)


@cache
def _scripts() -> str:
    modules = ((STATIC_FILES / f"{name}.js").read_text("utf-8") for name in SCRIPTS)
    return "\n".join(_IMPORT.sub("", module) for module in modules)


@cache
def _styles() -> str:
    return "\n".join((STATIC_FILES / f"{name}.css").read_text("utf-8") for name in STYLES)
