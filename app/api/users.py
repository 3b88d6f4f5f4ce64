"""Who is signed in, accounts, tokens, and how this server is configured."""

import importlib.metadata
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from app.api.auth import COOKIE, cookie_secret
from app.api.deps import Ctx, CurrentAdmin, CurrentUser
from app.schemas.settings import SettingsResponse
from app.schemas.users import (
    CreateTokenRequest,
    CreateUserRequest,
    SessionResponse,
    TokenCreated,
    TokensResponse,
    UpdateUserRequest,
    UserItem,
    UsersResponse,
)
from app.services import accounts
from app.services.models import active_model
from app.services.settings import describe_settings
from engine.records import VideoId
from storage.records import TokenId

router = APIRouter(prefix="/api/v1")


@router.get("/session", tags=["users"], summary="Get the session")
def get_session(desk: Ctx, who: CurrentUser) -> SessionResponse:
    """Return the user, the CSRF token for state changes, and the model."""
    return SessionResponse(
        user=who.user.name,
        role=who.user.role,
        csrf=who.csrf,
        model=active_model(desk.settings),
        offline=not desk.settings.allow_network,
        version=_version(),
    )


@router.delete("/session", tags=["users"], summary="Sign out", status_code=204)
def sign_out(desk: Ctx, who: CurrentUser, request: Request) -> Response:
    """Close the session of the cookie."""
    secret = cookie_secret(request.headers)
    if secret is not None:
        desk.doorman.sign_out(secret)
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, path="/")
    return answer


@router.get("/users", tags=["users"], summary="List users")
def list_users(desk: Ctx, who: CurrentAdmin) -> UsersResponse:
    """Return every account and the videos it may see."""
    return UsersResponse(users=accounts.list_users(desk.services))


@router.post("/users", tags=["users"], summary="Create a user", status_code=201)
def create_user(desk: Ctx, who: CurrentAdmin, body: CreateUserRequest) -> UserItem:
    """Create an account with a name, a password and a role."""
    return accounts.describe_user(
        desk.services, accounts.add_user(desk.services, body.name, body.role, body.password)
    )


@router.patch("/users/{name}", tags=["users"], summary="Update a user")
def update_user(desk: Ctx, who: CurrentAdmin, name: str, body: UpdateUserRequest) -> UserItem:
    """Change the password, the role, or the videos that a viewer may see."""
    user = accounts.change_user(
        desk.services,
        accounts.find_user(desk.services, name),
        role=body.role,
        videos=None if body.videos is None else [VideoId(video) for video in body.videos],
        password=body.password,
    )
    return accounts.describe_user(desk.services, user)


@router.delete("/users/{name}", tags=["users"], summary="Delete a user", status_code=204)
def delete_user(desk: Ctx, who: CurrentAdmin, name: str) -> Response:
    """Delete an account with its sessions, tokens and conversations; the last admin stays."""
    accounts.remove_user(desk.services, name)
    return Response(status_code=204)


@router.get("/tokens", tags=["tokens"], summary="List tokens")
def list_tokens(desk: Ctx, who: CurrentUser) -> TokensResponse:
    """Return the user's own API tokens, without their secrets."""
    rows = accounts.list_tokens(desk.services, who.user.id)
    return TokensResponse(tokens=[accounts.describe_token(row) for row in rows])


@router.post("/tokens", tags=["tokens"], summary="Create a token", status_code=201)
def create_token(desk: Ctx, who: CurrentUser, body: CreateTokenRequest) -> TokenCreated:
    """Create an API token with the user's rights, sent as `Authorization: Bearer`."""
    row, secret = accounts.add_token(desk.services, who.user.id, body.name, days=body.days)
    return TokenCreated(**accounts.describe_token(row).model_dump(), secret=secret)


@router.delete("/tokens/{token_id}", tags=["tokens"], summary="Revoke a token", status_code=204)
def revoke_token(
    desk: Ctx, who: CurrentUser, token_id: Annotated[int, Path(ge=0, le=2**31)]
) -> Response:
    """Revoke one of the user's own API tokens."""
    accounts.remove_token(desk.services, who.user.id, TokenId(token_id))
    return Response(status_code=204)


@router.get("/settings", tags=["settings"], summary="Get the configuration")
def get_settings(desk: Ctx, who: CurrentAdmin) -> SettingsResponse:
    """Return the main settings, and every connection that could leave this machine."""
    return describe_settings(desk.services, with_worker=desk.with_worker)


def _version() -> str:
    try:
        return importlib.metadata.version("longwatch")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
