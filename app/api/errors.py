"""Exception handlers: errors become a status, a code, a sentence and a hint; never a traceback.

Below `/v1/` OpenAI's clients listen, who expect the fields `type` and `param` beside these.
"""

from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app.api.access_log import bug_message
from app.errors import rule_for
from app.logging import REQUEST_ID
from app.schemas.errors import ErrorDetail, ErrorResponse, describe_error
from app.services.access import visible_text
from engine.errors import LongwatchError

_OPENAI_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


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
    return _as_openai(describe_error(error), rule_for(error).status)


def _malformed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return _answer(request, 422, "malformed", f"{where}: {first['msg']}", param=where)


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
    is_openai = request.url.path.startswith("/v1/")
    document = _as_openai(body, status, param=param) if is_openai else body.model_dump()
    return JSONResponse(document, status)


def _as_openai(body: ErrorResponse, status: int, *, param: str | None = None) -> dict[str, Any]:
    detail = body.error.model_dump()
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {**detail, "type": _OPENAI_TYPES.get(status, kind), "param": param}}
