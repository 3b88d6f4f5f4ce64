"""The API's documentation in the browser, at `/docs`, for signed-in users.

Decision: Swagger UI comes from the package fastapi-offline (MIT; Swagger UI itself Apache-2.0),
because FastAPI's own page loads it from another host, which our Content-Security-Policy and a
machine without a network both refuse. Only its files are served; none of its code runs here.
"""

from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from app.api.deps import CurrentUser

_ASSETS: Final = Path(str(files("fastapi_offline") / "static"))
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>HTTP API · Longwatch</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/favicon.svg"><link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head><body><div id="docs"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script type="module" src="/assets/api-docs.js"></script>
</body></html>"""

router = APIRouter(include_in_schema=False)


@router.get("/docs", response_class=HTMLResponse)
def show_docs(principal: CurrentUser) -> HTMLResponse:
    """Return the page; `app/ui/static/api-docs.js` starts Swagger UI on it."""
    return HTMLResponse(_PAGE)


def install_docs(app: FastAPI) -> None:
    """Serve the documentation page and the files of Swagger UI; AuthMiddleware guards both."""
    app.include_router(router)
    app.mount("/docs/assets", StaticFiles(directory=_ASSETS))
