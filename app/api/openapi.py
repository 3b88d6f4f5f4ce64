"""The OpenAPI document: security schemes, tags, and the body of every error that is really sent.

FastAPI documents its own error body (HTTPValidationError), which no client ever sees: every
failure is answered by `ErrorResponse`. Which failures a route can answer follows from its shape
and is filled in here; what else it can answer is declared with the route (`failures`).
"""

from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Security
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from fastapi.security import APIKeyCookie, HTTPBearer

from app.api.auth import COOKIE
from app.schemas.errors import ErrorResponse

DOCUMENT_URL: Final = "/api/v1/openapi.json"

TAGS: Final = (
    {"name": "videos", "description": "The library: list, add, ingest, caption, delete."},
    {"name": "cameras", "description": "Cameras: their states, what is kept, tests."},
    {"name": "ask", "description": "Questions and searches."},
    {"name": "conversations", "description": "Questions and answers that belong together."},
    {"name": "probes", "description": "Needle probes: where the model still finds a moment."},
    {"name": "needles", "description": "Sets of pictures that a probe can plant."},
    {"name": "jobs", "description": "Background jobs."},
    {"name": "alerts", "description": "Standing questions, what they raised, where it is sent."},
    {"name": "uploads", "description": "Resumable uploads (tus 1.0)."},
    {"name": "media", "description": "Files, frames, clips and tracks of a video."},
    {"name": "users", "description": "The session, and user accounts."},
    {"name": "tokens", "description": "API tokens for programs."},
    {"name": "settings", "description": "The server's configuration."},
    {"name": "health", "description": "Probes and metrics."},
    {"name": "openai", "description": "Chat completions as OpenAI's clients send them."},
)

DESCRIPTION: Final = """Ask questions of very long video and see the moment that proves the answer.

Programs send an API token as `Authorization: Bearer`; browsers send the session cookie and, with
every change of state, the token of `GET /api/v1/session` as `X-CSRF-Token`. Every failure is
answered by an `ErrorResponse`. Every answer carries an `X-Request-ID`, which the log names too.
"""

SIGNED_IN: Final = (
    Security(HTTPBearer(auto_error=False, scheme_name="token", description="An API token.")),
    Security(
        APIKeyCookie(
            name=COOKIE,
            auto_error=False,
            scheme_name="session",
            description="The cookie of a signed-in browser.",
        )
    ),
)
"""Dependencies that only document: `AuthMiddleware` has checked both before a route runs."""

_REASONS: Final = {
    401: "Not signed in.",
    403: "Not allowed for this user, or the CSRF token is missing.",
    404: "It does not exist, or the user may not see it.",
    409: "It contradicts the present state.",
    413: "A limit is passed.",
    422: "The input is refused.",
    429: "Too many questions are waiting.",
    501: "This machine lacks a capability.",
    503: "The database, the model or a source cannot be reached.",
    507: "No space is left.",
}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that can fail in these ways."""
    return {status: {"model": ErrorResponse, "description": _reason(status)} for status in statuses}


def content(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that answers with something other than JSON."""
    return {200: {"content": {media_type: {} for media_type in media_types}}}


def operation_id(route: APIRoute) -> str:
    """Return the name of the function, which names the call in generated clients."""
    return route.name


def install_openapi(app: FastAPI) -> None:
    """Have an application describe itself with the errors that it really sends."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _add_failures(path, operation)
    definitions = ErrorResponse.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(definitions.pop("$defs", {}))
    schemas[ErrorResponse.__name__] = definitions
    return document


def _add_failures(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    wanted = {int(status) for status in responses if status.isdigit() and int(status) >= 400}
    if "security" in operation:
        wanted |= {401, 403}
    if "{" in path:
        wanted.add(404)
    if "requestBody" in operation:
        wanted.add(422)
    for status in sorted(wanted):
        responses[str(status)] = _error(responses.get(str(status), {}).get("description"), status)
    if "security" in operation:
        responses["default"] = _error("Any other failure.")


def _error(description: str | None, status: int | None = None) -> dict[str, Any]:
    # FastAPI has described its own error body, where it has described any.
    is_generic = status is not None and description in {None, "", "Validation Error"}
    return {
        "description": _reason(status) if is_generic and status is not None else description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}},
    }


def _reason(status: int) -> str:
    return _REASONS.get(status) or HTTPStatus(status).phrase
