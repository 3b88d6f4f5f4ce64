"""The shape of errors below `/v1/`, where OpenAI's clients expect more fields than ours have."""

from typing import Any, Final

_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def error_body(
    path: str, status: int, detail: dict[str, Any], *, param: str | None = None
) -> dict[str, Any]:
    """Return the body of an error as the clients of a path read it.

    Args:
        path: Of the request.
        status: Of the answer.
        detail: `code`, `message` and what else there is to say.
        param: The field that is at fault, for OpenAI's clients.
    """
    if path.startswith("/v1/"):
        kind = "server_error" if status >= 500 else "invalid_request_error"
        detail = {**detail, "type": _TYPES.get(status, kind), "param": param}
    return {"error": detail}
