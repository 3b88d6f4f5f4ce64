"""Accounts, what they may see, and API tokens."""

import re
from collections.abc import Collection
from datetime import timedelta
from typing import Final

from app.errors import NotAllowedError
from app.schemas.common import MessageResponse
from app.schemas.users import AccountItem, AccountsResponse, TokenItem, UserItem
from app.services.context import ServiceContext
from app.services.credentials import hash_password, hash_secret, matches, new_secret
from engine.errors import InputRefusedError, NotFoundError
from engine.records import VideoId
from storage.catalog import utc_now
from storage.records import CameraId, Role, TokenId, TokenRow, TokenScope, UserId, UserRow

MAX_TOKENS: Final = 50
MAX_TOKEN_DAYS: Final = 366
READ_ONLY: Final[tuple[TokenScope, ...]] = ("read",)
"""Scopes of a token unless others are asked for."""
_NAME: Final = re.compile(r"[\w.@-]{1,64}")


def add_user(context: ServiceContext, name: str, role: Role, password: str) -> UserRow:
    """Open an account.

    Raises:
        InputRefusedError: The name is taken, or the name or the password cannot be used.
    """
    _check_name(name)
    return context.catalog.accounts.add_user(name, role, password_hash=hash_password(password))


def put_user(context: ServiceContext, name: str, role: Role, password: str) -> MessageResponse:
    """Open an account, or give an old one a new password and role.

    Raises:
        InputRefusedError: The name or the password cannot be used, or no admin would be left.
    """
    _check_name(name)
    known = context.catalog.accounts.user(name)
    if known is None:
        add_user(context, name, role, password)
        return MessageResponse(message=f"{name} may sign in as {role}")
    change_user(context, known, role=role, password=password)
    return MessageResponse(message=f"{name} has a new password and is {role}")


def change_user(
    context: ServiceContext,
    user: UserRow,
    *,
    role: Role | None = None,
    videos: Collection[VideoId] | None = None,
    cameras: Collection[CameraId] | None = None,
    password: str | None = None,
    ends_tokens: bool = False,
) -> UserRow:
    """Change the role of an account, the videos and cameras a viewer may see, or its password.

    What is `None` stays; nothing changes unless all of it can.

    Args:
        ends_tokens: Whether a new password ends the API tokens of the account too.
    Raises:
        InputRefusedError: The password cannot be used, or no admin would be left.
        NotFoundError: One of the videos or cameras is not there.
    """
    accounts = context.catalog.accounts
    password_hash = None if password is None else hash_password(password)
    for video in videos or ():
        context.catalog.videos.get(video)
    for camera in cameras or ():
        context.catalog.cameras.get(camera)
    if role is not None and role != user.role:
        user = accounts.set_role(user.id, role)
    if videos is not None:
        granted = accounts.granted(user.id)
        for video in frozenset(videos) - granted:
            accounts.grant(user.id, video)
        for video in granted - frozenset(videos):
            accounts.revoke(user.id, video)
    if cameras is not None:
        _grant_cameras(context, user.id, frozenset(cameras))
    if password_hash is not None:
        user = accounts.set_password(user.id, password_hash, ends_tokens=ends_tokens)
    return user


def _grant_cameras(context: ServiceContext, user: UserId, cameras: frozenset[CameraId]) -> None:
    granted = context.catalog.cameras.granted(user)
    for camera in cameras - granted:
        context.catalog.cameras.grant(user, camera)
    for camera in granted - cameras:
        context.catalog.cameras.revoke(user, camera)


def change_own_password(
    context: ServiceContext,
    user: UserRow,
    *,
    current: str,
    new: str,
    keep_session: str | None,
    ends_tokens: bool = False,
) -> None:
    """Change the password of whoever is signed in; their other sessions end.

    Args:
        current: The password so far; ignored for an account without one.
        keep_session: Secret of the session that goes on.
        ends_tokens: Whether the API tokens of the account end too.
    Raises:
        NotAllowedError: The present password is another.
        InputRefusedError: The new password cannot be used.
    """
    if user.password_hash is not None and not matches(user.password_hash, current):
        raise NotAllowedError("the present password is another")
    context.catalog.accounts.set_password(
        user.id,
        hash_password(new),
        keep_session=None if keep_session is None else hash_secret(keep_session),
        ends_tokens=ends_tokens,
    )


def set_password(
    context: ServiceContext, name: str, password: str, *, ends_tokens: bool = False
) -> MessageResponse:
    """Give an account a new password; its role and its videos stay.

    Raises:
        NotFoundError: There is none of this name.
        InputRefusedError: The password cannot be used.
    """
    user = find_user(context, name)
    change_user(context, user, password=password, ends_tokens=ends_tokens)
    return MessageResponse(
        message=f"{user.name} has a new password"
        + ("; their API tokens have ended" if ends_tokens else "")
    )


def remove_user(context: ServiceContext, name: str) -> MessageResponse:
    """Close an account with its sessions, tokens and conversations; the last admin stays.

    Raises:
        NotFoundError: There is none of this name.
        InputRefusedError: No admin would be left.
    """
    user = find_user(context, name)
    context.catalog.accounts.remove_user(user.id)
    return MessageResponse(message=f"{name} is gone")


def find_user(context: ServiceContext, name: str) -> UserRow:
    """Return the account of a name.

    Raises:
        NotFoundError: There is none.
    """
    user = context.catalog.accounts.user(name)
    if user is None:
        raise NotFoundError(f"no user {name!r}", hint="`longwatch user list` shows all")
    return user


def list_accounts(context: ServiceContext) -> AccountsResponse:
    """Return every account, by name."""
    rows = context.catalog.accounts.users()
    return AccountsResponse(
        users=[
            AccountItem(name=row.name, role=row.role, has_password=row.password_hash is not None)
            for row in rows
        ]
    )


def list_users(context: ServiceContext) -> list[UserItem]:
    """Return every account and the videos it may see, by name."""
    return [describe_user(context, user) for user in context.catalog.accounts.users()]


def describe_user(context: ServiceContext, user: UserRow) -> UserItem:
    """Return an account as its document."""
    return UserItem(
        user_id=user.id,
        name=user.name,
        role=user.role,
        has_password=user.password_hash is not None,
        videos=sorted(context.catalog.accounts.granted(user.id)),
        cameras=sorted(context.catalog.cameras.granted(user.id)),
    )


def list_tokens(context: ServiceContext, user: UserId) -> tuple[TokenRow, ...]:
    """Return the API tokens of a user, oldest first; links for signing in are left out."""
    return tuple(row for row in context.catalog.accounts.tokens(user) if row.kind == "api")


def add_token(
    context: ServiceContext,
    user: UserId,
    name: str,
    *,
    days: int,
    scopes: Collection[TokenScope] = READ_ONLY,
) -> tuple[TokenRow, str]:
    """Create an API token with the rights of its user, as far as its scopes go.

    Returns:
        The token, and its secret, which is kept nowhere.
    Raises:
        InputRefusedError: The user has enough tokens, or it would be valid for too long.
    """
    if not 1 <= days <= MAX_TOKEN_DAYS:
        raise InputRefusedError(f"a token is valid for 1 to {MAX_TOKEN_DAYS} days, not {days}")
    if len(list_tokens(context, user)) >= MAX_TOKENS:
        raise InputRefusedError(f"there are {MAX_TOKENS} tokens already", hint="remove one first")
    secret = f"lw_{new_secret()}"
    row = context.catalog.accounts.add_token(
        user,
        name,
        hash_secret(secret),
        scopes=sorted({"read", *scopes}),
        expires_at=utc_now() + timedelta(days=days),
    )
    return row, secret


def remove_token(context: ServiceContext, user: UserId, token: TokenId) -> None:
    """Revoke a token of this user.

    Raises:
        NotFoundError: The user has no such token.
    """
    context.catalog.accounts.remove_token(user, token)


def describe_token(row: TokenRow) -> TokenItem:
    """Return a token as its document, without its secret."""
    return TokenItem(
        token_id=row.id,
        name=row.name,
        scopes=[*row.scopes],
        created_at=row.created_at.isoformat(),
        expires_at=None if row.expires_at is None else row.expires_at.isoformat(),
        used_at=None if row.used_at is None else row.used_at.isoformat(),
    )


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InputRefusedError(
            f"{name[:64]!r} cannot be the name of an account",
            hint="use up to 64 letters, digits and . @ _ -",
        )
