"""The session, user accounts, API tokens, and the configuration of the server."""

from fastapi import APIRouter, Request, Response

from app.api.audit import audit
from app.api.auth import COOKIE, client_address, cookie_secret
from app.api.deps import Ctx, CurrentAdmin, CurrentUser
from app.schemas.common import RowNumber
from app.schemas.settings import SettingsResponse
from app.schemas.users import (
    ChangePasswordRequest,
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
from app.version import product_version
from engine.records import VideoId
from storage.records import CameraId, TokenId

router = APIRouter(prefix="/api/v1")


@router.get("/session", tags=["users"], summary="Get the session")
def get_session(context: Ctx, principal: CurrentUser) -> SessionResponse:
    """Return the user, the CSRF token for state changes, and the model."""
    return SessionResponse(
        user=principal.user.name,
        role=principal.user.role,
        has_password=principal.user.password_hash is not None,
        csrf=principal.csrf,
        model=active_model(context.settings, principal),
        offline=not context.settings.allow_network,
        version=product_version(),
    )


@router.delete("/session", tags=["users"], summary="Sign out", status_code=204)
def sign_out(context: Ctx, principal: CurrentUser, request: Request) -> Response:
    """Close the session of the cookie."""
    secret = cookie_secret(request.headers)
    if secret is not None:
        context.sessions.sign_out(secret)
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, path="/")
    return answer


@router.put(
    "/session/password", tags=["users"], summary="Change one's own password", status_code=204
)
async def change_own_password(
    context: Ctx, principal: CurrentUser, request: Request, body: ChangePasswordRequest
) -> Response:
    """Change the signed-in user's own password; their other sessions end."""
    address = client_address(request)

    def change() -> None:
        with context.sessions.limited(principal.user.name, address):
            accounts.change_own_password(
                context.services,
                principal.user,
                current=body.current,
                new=body.new,
                keep_session=cookie_secret(request.headers),
                ends_tokens=body.end_tokens,
            )

    await context.password_checks.run(change)
    audit(principal, "changed the password of user", principal.user.name)
    return Response(status_code=204)


@router.get("/users", tags=["users"], summary="List users")
def list_users(context: Ctx, principal: CurrentAdmin) -> UsersResponse:
    """Return every account and the videos it may see."""
    return UsersResponse(users=accounts.list_users(context.services))


@router.post("/users", tags=["users"], summary="Create a user", status_code=201)
def create_user(context: Ctx, principal: CurrentAdmin, body: CreateUserRequest) -> UserItem:
    """Create an account with a name, a password and a role."""
    user = accounts.add_user(context.services, body.name, body.role, body.password)
    audit(principal, f"created {user.role}", user.name)
    return accounts.describe_user(context.services, user)


@router.patch("/users/{name}", tags=["users"], summary="Update a user")
def update_user(
    context: Ctx, principal: CurrentAdmin, name: str, body: UpdateUserRequest
) -> UserItem:
    """Change the password, the role, or the videos that a viewer may see."""
    user = accounts.change_user(
        context.services,
        accounts.find_user(context.services, name),
        role=body.role,
        videos=None if body.videos is None else [VideoId(video) for video in body.videos],
        cameras=None if body.cameras is None else [CameraId(camera) for camera in body.cameras],
        password=body.password,
        ends_tokens=body.end_tokens,
    )
    changes = ", ".join(sorted(body.model_fields_set)) or "nothing"
    audit(principal, f"changed {changes} of user", user.name)
    return accounts.describe_user(context.services, user)


@router.delete("/users/{name}", tags=["users"], summary="Delete a user", status_code=204)
def delete_user(context: Ctx, principal: CurrentAdmin, name: str) -> Response:
    """Delete an account with its sessions, tokens and conversations; the last admin stays."""
    accounts.remove_user(context.services, name)
    audit(principal, "deleted user", name)
    return Response(status_code=204)


@router.get("/tokens", tags=["tokens"], summary="List tokens")
def list_tokens(context: Ctx, principal: CurrentUser) -> TokensResponse:
    """Return the user's own API tokens, without their secrets."""
    rows = accounts.list_tokens(context.services, principal.user.id)
    return TokensResponse(tokens=[accounts.describe_token(row) for row in rows])


@router.post("/tokens", tags=["tokens"], summary="Create a token", status_code=201)
def create_token(context: Ctx, principal: CurrentUser, body: CreateTokenRequest) -> TokenCreated:
    """Create an API token with the user's rights, sent as `Authorization: Bearer`.

    No token may manage accounts, passwords, tokens or settings, whatever its scopes.
    """
    row, secret = accounts.add_token(
        context.services, principal.user.id, body.name, days=body.days, scopes=body.scopes
    )
    audit(principal, "created token", row.id)
    return TokenCreated(**accounts.describe_token(row).model_dump(), secret=secret)


@router.delete("/tokens/{token_id}", tags=["tokens"], summary="Revoke a token", status_code=204)
def revoke_token(context: Ctx, principal: CurrentUser, token_id: RowNumber) -> Response:
    """Revoke one of the user's own API tokens."""
    accounts.remove_token(context.services, principal.user.id, TokenId(token_id))
    audit(principal, "revoked token", token_id)
    return Response(status_code=204)


@router.get("/settings", tags=["settings"], summary="Get the configuration")
def get_settings(context: Ctx, principal: CurrentAdmin) -> SettingsResponse:
    """Return the main settings, and every connection that could leave this machine."""
    return describe_settings(context.services, with_worker=context.with_worker)
