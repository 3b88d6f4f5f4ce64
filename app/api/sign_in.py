"""The sign-in page: by name and password, or by a one-time link; signing out. It needs no script.

Decision: opening a one-time link signs nobody in, a click on its page does: programs that look
into links before people do, in mail and chat, would use it up. The click is a POST that must come
from a page of this server, so no other site signs somebody in as somebody else.
"""

import hmac
from html import escape
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse

from app.api.auth import (
    COOKIE,
    SESSION_DAYS,
    Principal,
    client_address,
    cookie_secret,
    safe_redirect,
)
from app.api.brand import LOGO, STATIC_FILES, THEME_SCRIPT
from app.api.deps import Ctx
from app.errors import BusyError, NotAllowedError, rule_for

router = APIRouter(include_in_schema=False)

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in · Longwatch</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/favicon.svg"><link rel="stylesheet" href="/assets/tokens.css">
<link rel="stylesheet" href="/assets/shell.css"><link rel="stylesheet" href="/assets/sign-in.css">
<script>{theme}</script></head>
<body><div class="lw door"><main>
<p class="brand">{logo}<span>Longwatch</span></p>
<h1>Sign in</h1>
{note}
{form}
</main></div></body></html>"""


_PASSWORD_FORM: Final = """<form method="post" action="/sign-in">
<input type="hidden" name="next" value="{target}">
<label>Name<input name="name" autocomplete="username" required autofocus></label>
<label>Password<input name="password" type="password" autocomplete="current-password"
required></label>
<button class="primary" type="submit">Sign in</button>
</form>
<p class="faint">First time on this machine? Use the one-time link that
<code>longwatch serve</code> prints. This page loads nothing from another host.</p>"""

_LINK_FORM: Final = """<form method="post" action="/sign-in/link">
<input type="hidden" name="next" value="{target}">
<input type="hidden" name="token" value="{token}">
<button class="primary" type="submit" autofocus>Sign in on this browser</button>
</form>
<p class="faint">The link that brought you here works once, when you press the button.</p>"""


@router.get("/sign-in", response_class=HTMLResponse)
def show(token: str | None = None, next: str | None = None) -> Response:
    """Return the sign-in form; of a one-time link, the button that uses it."""
    target = safe_redirect(next)
    if token is None:
        return _page(target)
    form = _LINK_FORM.format(target=escape(target), token=escape(token))
    return _html(form, headers={"cache-control": "no-store"})


@router.post("/sign-in/link", response_class=HTMLResponse)
def sign_in_by_link(
    context: Ctx,
    request: Request,
    token: Annotated[str, Form(max_length=256)],
    next: Annotated[str, Form(max_length=4096)] = "/",
) -> Response:
    """Sign in with a one-time token, which ends with it."""
    target = safe_redirect(next)
    try:
        secret = context.sessions.redeem_link(token, client_address(request))
    except (NotAllowedError, BusyError) as error:
        return _page(target, error)
    return _let_in(request, secret, target)


@router.post("/sign-in", response_class=HTMLResponse)
async def sign_in(
    context: Ctx,
    request: Request,
    name: Annotated[str, Form(max_length=64)],
    password: Annotated[str, Form(max_length=1024)],
    next: Annotated[str, Form(max_length=4096)] = "/",
) -> Response:
    """Check name and password; after five failures further tries have to wait."""
    try:
        secret, _ = await context.password_checks.run(
            lambda: context.sessions.sign_in(name, password, client_address(request))
        )
    except (NotAllowedError, BusyError) as error:
        return _page(safe_redirect(next), error)
    return _let_in(request, secret, safe_redirect(next))


@router.post("/sign-out")
def sign_out(
    context: Ctx, request: Request, csrf: Annotated[str, Form(max_length=256)]
) -> Response:
    """Close the session of the cookie, by a form that knows its CSRF token."""
    secret = cookie_secret(request.headers)
    principal: Principal | None = request.state.principal
    if secret is not None and principal is not None:
        # Bytes, because strings that are not ASCII cannot be compared this way.
        if not csrf or not hmac.compare_digest(csrf.encode(), principal.csrf.encode()):
            raise NotAllowedError("the form belongs to another session", hint="load the page again")
        context.sessions.sign_out(secret)
    answer = RedirectResponse("/sign-in", status_code=303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


@router.get("/favicon.ico")
@router.get("/favicon.svg")
def favicon() -> FileResponse:
    """Return the icon."""
    return FileResponse(STATIC_FILES / "favicon.svg", media_type="image/svg+xml")


def _let_in(request: Request, secret: str, target: str) -> Response:
    answer = RedirectResponse(target, status_code=303)
    answer.set_cookie(
        COOKIE,
        secret,
        max_age=SESSION_DAYS * 86400,
        path="/",
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return answer


def _page(target: str, error: NotAllowedError | BusyError | None = None) -> HTMLResponse:
    note = ""
    if error is not None:
        hint = f" {escape(error.hint)}." if error.hint else ""
        note = f'<p class="note bad" role="alert">{escape(error.message.capitalize())}.{hint}</p>'
    form = _PASSWORD_FORM.format(target=escape(target))
    return _html(form, note, status=200 if error is None else rule_for(error).status)


def _html(
    form: str, note: str = "", *, status: int = 200, headers: dict[str, str] | None = None
) -> HTMLResponse:
    html = _PAGE.format(theme=THEME_SCRIPT, logo=LOGO, note=note, form=form)
    return HTMLResponse(html, status_code=status, headers=headers)
