"""The caller of a handler: the user whom the gate let in, and errors as sentences for them.

Decision: no handler decides who may do what. It asks here for the user with the right that it
needs, and hands them to a service, which has the rules. A token may read wherever its user may;
what a page changes asks for a session, and an endpoint that changes something for `write`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any, Final, TypeVar

import fastapi
import gradio as gr
from pydantic import BaseModel, ValidationError

from app.api.auth import Principal
from app.errors import NotAllowedError
from app.schemas.errors import describe_error
from app.services.access import visible_text
from app.timefmt import parse_time
from app.ui.hints import web_hint
from engine.errors import InputRefusedError, LongwatchError

EVENT: Final[dict[str, Any]] = {
    "queue": True,
    "api_visibility": "private",
    "show_progress": "hidden",
}
"""Options of an event of a page; queued, because Gradio shows no refusal of one that is not."""
REVISIT: Final[dict[str, Any]] = EVENT | {"trigger_mode": "always_last"}
"""Options of going back: pressed again before the page has followed, the last one counts. Gradio
drops an event whose predecessor has not ended yet."""
PASSIVE: Final[dict[str, Any]] = EVENT | {"queue": False}
"""Options of an event that no user causes, such as a page that loads: answered in one request."""


def find_principal(request: fastapi.Request) -> Principal | None:
    """Return the user whom AuthMiddleware let in; `None` if there is none."""
    principal: Principal | None = request.scope.get("state", {}).get("principal")
    return principal


def principal_of(request: gr.Request | fastapi.Request) -> Principal | None:
    """Return the user of a request to Gradio; `None` where nobody is signed in."""
    # A tool of MCP is handed the request itself.
    inner = request.request if isinstance(request, gr.Request) else request
    return None if inner is None else find_principal(inner)


def user_name(request: fastapi.Request) -> str | None:
    """Return the name of the user, as Gradio asks for it; `None` makes it answer 401."""
    principal = find_principal(request)
    return None if principal is None else principal.user.name


def require_reader(request: gr.Request) -> Principal:
    """Return the user of a request that looks, asks or searches.

    Raises:
        NotAllowedError: Nobody is signed in.
    """
    principal = principal_of(request)
    if principal is None:
        raise NotAllowedError("sign in first")
    return principal


def require_writer(request: gr.Request) -> Principal:
    """Return the admin of a request that changes the library.

    Raises:
        NotAllowedError: They are no admin, or the token may only read.
    """
    principal = require_reader(request)
    if principal.scopes is not None and "write" not in principal.scopes:
        raise NotAllowedError("the scopes of this token do not allow this")
    if not principal.is_admin:
        raise NotAllowedError("only an admin may do this")
    return principal


def require_session(request: gr.Request, *, admin: bool = False) -> Principal:
    """Return the user of a request that came from a page of theirs.

    Raises:
        NotAllowedError: A token was used in place of a session, or an admin is needed.
    """
    principal = require_writer(request) if admin else require_reader(request)
    if principal.scopes is not None:
        raise NotAllowedError("a token does not reach the pages")
    return principal


@contextmanager
def as_sentences(request: gr.Request) -> Iterator[None]:
    """Turn our errors in the body of a `with` into what Gradio shows: a sentence and a hint."""
    try:
        yield
    except LongwatchError as error:
        # Gradio shows the sentence as Markdown with markup in it.
        sentence = escape(sentence_of(error, principal_of(request)), quote=False)
        raise gr.Error(sentence, title="Not done", print_exception=False) from error


def sentence_of(error: LongwatchError, principal: Principal | None) -> str:
    """Return what went wrong and what can be done, in words for a page of somebody."""
    detail = describe_error(error).error
    hint = web_hint(detail.hint, principal)
    return ". ".join(filter(None, (visible_text(detail.message, principal), hint)))


Body = TypeVar("Body", bound=BaseModel)


def checked(kind: type[Body], /, **fields: Any) -> Body:
    """Return a request of fields, whose bounds are texts, or seconds.

    Raises:
        InputRefusedError: They are not what the request allows.
    """
    try:
        for bound in ("after", "before"):
            if fields.get(bound) and isinstance(fields[bound], str):
                fields[bound] = parse_time(fields[bound])
        return kind(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputRefusedError(f"{first['loc'][-1]}: {first['msg']}") from error
    except ValueError as error:
        raise InputRefusedError(str(error)) from error
