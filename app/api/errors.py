"""Exception handlers: errors become a status, a code, a sentence and a hint; never a traceback.

Below `/v1/` they have the shape of `openai_errors`.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app.api.access_log import bug_message
from app.api.openai_errors import error_body
from app.errors import rule_for
from app.logging import REQUEST_ID
from app.schemas.errors import ErrorDetail, ErrorResponse, describe_error
from app.services.access import visible_text
from engine.errors import LongwatchError


def install_error_handlers(app: FastAPI) -> None:
    """Answer every failure of an application by an `ErrorResponse`."""
    app.add_exception_handler(LongwatchError, _domain_error)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)


def _domain_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, LongwatchError)
    body = describe_error(error)
    principal = request.scope.get("state", {}).get("principal")
    body.error.message = visible_text(body.error.message, principal) or ""
    body.error.hint = visible_text(body.error.hint, principal)
    return _respond(request, rule_for(error).status, body)


def openai_error(error: LongwatchError) -> dict[str, Any]:
    """Return an error as OpenAI's clients read one."""
    detail = describe_error(error).error.model_dump()
    return error_body("/v1/", rule_for(error).status, detail)


def _malformed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fault = _likeliest(error.errors())
    if fault["type"] == "json_invalid":
        message = f"the body is not JSON: {fault['ctx']['error']} at character {fault['loc'][-1]}"
        return _answer(request, 422, "malformed", message)
    if fault["loc"] == ("body",):
        message = "the body must be a JSON object, sent with Content-Type: application/json"
        return _answer(request, 422, "malformed", message)
    where = ".".join(map(str, _place(fault["loc"], error.body))) or str(fault["loc"][0])
    return _answer(request, 422, "malformed", f"{where}: {fault['msg']}", param=where)


def _likeliest(faults: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the fault to tell of: the first, or of a field that may be of several types, the one
    of the type that was sent.

    Such a field has a fault for each type; all but one say that it is of another.
    """
    place = faults[0]["loc"][:-1]
    of_field = [fault for fault in faults if fault["loc"][: len(place)] == place]
    if len(place) < 2:
        of_field = [faults[0]]
    return max(of_field, key=lambda fault: (not fault["type"].endswith("_type"), len(fault["loc"])))


def _place(loc: Sequence[str | int], body: Any) -> list[str | int]:
    """Return where in a body a fault lies, without the names of types that pydantic adds."""
    *path, last = loc[1:] or ("",)
    if loc[0] != "body":
        return [*path, last]
    place: list[str | int] = []
    for idx, part in enumerate((*path, last)):
        is_inside = isinstance(body, dict | list) and isinstance(part, int) == isinstance(
            body, list
        )
        if is_inside and (isinstance(part, int) or part in body or idx == len(path)):
            place.append(part)
            body = body[part] if isinstance(part, int) or part in body else None
    return place


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    answer = _answer(
        request, error.status_code, codes.get(error.status_code, "http"), str(error.detail)
    )
    answer.headers.update(error.headers or {})
    return answer


def _bug(request: Request, error: Exception) -> JSONResponse:
    # The exception goes on to AccessLogMiddleware, which logs it.
    return _answer(request, 500, "bug", bug_message(REQUEST_ID.get()))


def _answer(
    request: Request, status: int, code: str, message: str, *, param: str | None = None
) -> JSONResponse:
    body = ErrorResponse(error=ErrorDetail(code=code, message=message))
    return _respond(request, status, body, param=param)


def _respond(
    request: Request, status: int, body: ErrorResponse, *, param: str | None = None
) -> JSONResponse:
    detail = body.error.model_dump()
    return JSONResponse(error_body(request.url.path, status, detail, param=param), status)
