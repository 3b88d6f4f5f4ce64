"""Who is signed in, accounts, tokens, and how this server is configured."""

import importlib.metadata
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from app.api.auth import COOKIE, cookie_secret, hash_password, hash_secret, new_secret
from app.api.deps import AppContext, Ctx, CurrentAdmin, CurrentUser
from app.config.engine_config import find_model, models_folder
from app.config.settings import FILE_NAME
from app.errors import hint_for
from app.schemas.settings import OutboundConnection, SettingFact, SettingsResponse
from app.schemas.users import (
    ActiveModel,
    CreateTokenRequest,
    CreateUserRequest,
    SessionResponse,
    TokenCreated,
    TokenItem,
    TokensResponse,
    UpdateUserRequest,
    UserItem,
    UsersResponse,
)
from engine.errors import InputRefusedError, LongwatchError, NotFoundError
from engine.records import VideoId
from storage.catalog import utc_now
from storage.records import TokenId, TokenRow, UserRow

router = APIRouter(prefix="/api/v1")
MAX_TOKENS = 50


@router.get("/session", tags=["users"], summary="Get the session")
def get_session(desk: Ctx, who: CurrentUser) -> SessionResponse:
    """Return the user, the CSRF token for state changes, and the model."""
    return SessionResponse(
        user=who.user.name,
        role=who.user.role,
        csrf=who.csrf,
        model=_model(desk),
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
    return UsersResponse(users=[_user(desk, user) for user in desk.catalog.accounts.users()])


@router.post("/users", tags=["users"], summary="Create a user", status_code=201)
def create_user(desk: Ctx, who: CurrentAdmin, body: CreateUserRequest) -> UserItem:
    """Create an account with a name, a password and a role."""
    user = desk.catalog.accounts.add_user(
        body.name, body.role, password_hash=hash_password(body.password)
    )
    return _user(desk, user)


@router.patch("/users/{name}", tags=["users"], summary="Update a user")
def update_user(desk: Ctx, who: CurrentAdmin, name: str, body: UpdateUserRequest) -> UserItem:
    """Change the password, the role, or the videos that a viewer may see."""
    accounts, user = desk.catalog.accounts, _named(desk, name)
    if body.role is not None and body.role != user.role:
        if body.role != "admin":
            _check_admin_left(desk, user)
        user = accounts.set_role(user.id, body.role)
    if body.videos is not None:
        wanted, granted = frozenset(map(VideoId, body.videos)), accounts.granted(user.id)
        for video in wanted - granted:
            accounts.grant(user.id, desk.catalog.videos.get(video).id)
        for video in granted - wanted:
            accounts.revoke(user.id, video)
    if body.password is not None:
        user = accounts.set_password(user.id, hash_password(body.password))
    return _user(desk, user)


@router.delete("/users/{name}", tags=["users"], summary="Delete a user", status_code=204)
def delete_user(desk: Ctx, who: CurrentAdmin, name: str) -> Response:
    """Delete an account with its sessions, tokens and conversations; the last admin stays."""
    user = _named(desk, name)
    _check_admin_left(desk, user)
    desk.catalog.accounts.remove_user(user.id)
    return Response(status_code=204)


@router.get("/tokens", tags=["tokens"], summary="List tokens")
def list_tokens(desk: Ctx, who: CurrentUser) -> TokensResponse:
    """Return the user's own API tokens, without their secrets."""
    rows = desk.catalog.accounts.tokens(who.user.id)
    return TokensResponse(tokens=[_token(row) for row in rows if row.kind == "api"])


@router.post("/tokens", tags=["tokens"], summary="Create a token", status_code=201)
def create_token(desk: Ctx, who: CurrentUser, body: CreateTokenRequest) -> TokenCreated:
    """Create an API token with the user's rights, sent as `Authorization: Bearer`."""
    accounts = desk.catalog.accounts
    if sum(row.kind == "api" for row in accounts.tokens(who.user.id)) >= MAX_TOKENS:
        raise InputRefusedError(f"{MAX_TOKENS} tokens are out already", hint="remove one first")
    secret = f"lw_{new_secret()}"
    row = accounts.add_token(
        who.user.id,
        body.name,
        hash_secret(secret),
        expires_at=utc_now() + timedelta(days=body.days),
    )
    return TokenCreated(**_token(row).model_dump(), secret=secret)


@router.delete("/tokens/{token_id}", tags=["tokens"], summary="Revoke a token", status_code=204)
def revoke_token(
    desk: Ctx, who: CurrentUser, token_id: Annotated[int, Path(ge=0, le=2**31)]
) -> Response:
    """Revoke one of the user's own API tokens."""
    desk.catalog.accounts.remove_token(who.user.id, TokenId(token_id))
    return Response(status_code=204)


@router.get("/settings", tags=["settings"], summary="Get the configuration")
def get_settings(desk: Ctx, who: CurrentAdmin) -> SettingsResponse:
    """Return the main settings, and every connection that could leave this machine."""
    return SettingsResponse(
        facts=_facts(desk), outward=_outward(desk), file=str(desk.home / FILE_NAME)
    )


def _version() -> str:
    try:
        return importlib.metadata.version("longwatch")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _model(desk: AppContext) -> ActiveModel:
    name = desk.settings.model
    try:
        folder = find_model(name, desk.settings)
    except LongwatchError as error:
        return ActiveModel(name=name, ready=False, detail=f"{error}; {hint_for(error) or ''}")
    return ActiveModel(name=folder.name, ready=True, detail=str(folder))


def _days(days: float | None) -> str:
    return "never" if days is None else f"{days:g} days"


def _facts(desk: AppContext) -> list[SettingFact]:
    settings = desk.settings
    limits, cache = settings.limits, settings.cache
    lines = [
        ("Model", settings.model, "model"),
        ("Device", f"{settings.device}, {settings.dtype}", "device, dtype"),
        ("Frames sampled per second", f"{settings.sampling.fps:g}", "sampling.fps"),
        ("Static frames are skipped", _yes(settings.sampling.thin_static), "sampling.thin_static"),
        (
            "Visual tokens per latent",
            _own_or(settings.stream.compression_ratio),
            "stream.compression_ratio",
        ),
        ("Latents on disk", _own_or(settings.stream.latent_format), "stream.latent_format"),
        ("Budget on the device", _bytes(cache.device_bytes), "cache.device_bytes"),
        ("Budget in memory", _bytes(cache.host_bytes), "cache.host_bytes"),
        ("Budget on disk", _bytes(cache.disk_bytes), "cache.disk_bytes"),
        ("Disk kept free", _bytes(limits.disk_reserve_bytes), "limits.disk_reserve_bytes"),
        ("Videos leave after", _days(settings.retention.days), "retention.days"),
        ("Largest upload", _bytes(limits.upload_bytes), "limits.upload_bytes"),
        ("Longest video", f"{limits.duration_s / 3600:g} h", "limits.duration_s"),
        ("Ingests at once", str(limits.concurrent_ingests), "limits.concurrent_ingests"),
        ("Questions that may wait", str(limits.queued_questions), "limits.queued_questions"),
        (
            "Server folders",
            ", ".join(map(str, settings.paths.media_roots)) or "none",
            "paths.media_roots",
        ),
        ("Library", str(desk.home), "LONGWATCH_HOME"),
        ("Database", desk.catalog.where, "database_url"),
        ("Jobs run here", _yes(desk.with_worker), "serve --no-worker"),
    ]
    return [SettingFact(name=name, value=value, setting=key) for name, value, key in lines]


def _outward(desk: AppContext) -> list[OutboundConnection]:
    allowed = desk.settings.allow_network
    return [
        OutboundConnection(
            what="Model download from a model hub",
            when="only when someone runs `longwatch models pull`",
            now=f"never by this server; models lie in {models_folder(desk.settings)}",
        ),
        OutboundConnection(
            what="Cameras (rtsp://)",
            when="only those an admin adds, from the worker",
            now=f"{sum(_is_live(row.uri) for row in desk.catalog.videos.listed())} added",
        ),
        OutboundConnection(
            what="HTTP(S) streams",
            when="only with allow_network = true",
            now="allowed" if allowed else "refused",
        ),
        OutboundConnection(
            what="Analytics, version checks, fonts, scripts from other hosts",
            when="never",
            now="the browser is told to refuse them (Content-Security-Policy)",
        ),
    ]


def _is_live(uri: str) -> bool:
    return "://" in uri


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _own_or(value: object) -> str:
    return "the model's own" if value is None else str(value)


def _bytes(value: int | None) -> str:
    if value is None:
        return "chosen by the engine"
    return f"{value / 2**30:.1f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"


def _named(desk: AppContext, name: str) -> UserRow:
    user = desk.catalog.accounts.user(name)
    if user is None:
        raise NotFoundError(f"no user {name!r}")
    return user


def _check_admin_left(desk: AppContext, user: UserRow) -> None:
    admins = [one for one in desk.catalog.accounts.users() if one.role == "admin"]
    if [one.id for one in admins] == [user.id]:
        raise InputRefusedError(f"{user.name} is the only admin", hint="make another one first")


def _user(desk: AppContext, user: UserRow) -> UserItem:
    return UserItem(
        user_id=user.id,
        name=user.name,
        role=user.role,
        has_password=user.password_hash is not None,
        videos=sorted(desk.catalog.accounts.granted(user.id)),
    )


def _token(row: TokenRow) -> TokenItem:
    return TokenItem(
        token_id=row.id,
        name=row.name,
        created_at=row.created_at.isoformat(),
        expires_at=None if row.expires_at is None else row.expires_at.isoformat(),
        used_at=None if row.used_at is None else row.used_at.isoformat(),
    )
