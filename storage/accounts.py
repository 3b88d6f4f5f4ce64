"""Users, what they may see, their sessions and tokens; secrets arrive hashed."""

import secrets
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, delete, or_, select, union, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine.errors import InputRefusedError, NotFoundError
from engine.records import VideoId
from storage.camera_tables import CameraGrantTable
from storage.database import Database
from storage.records import Role, SessionRow, TokenId, TokenKind, TokenRow, UserId, UserRow
from storage.tables import GrantTable, SessionTable, TokenTable, UserTable, VideoTable


class Accounts:
    """Users with their grants, sessions and tokens."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def add_user(self, name: str, role: Role, *, password_hash: str | None = None) -> UserRow:
        """Add a user; names are compared and kept in lower case.

        Raises:
            InputRefusedError: The name is taken.
        """
        row = UserTable(
            id=secrets.token_hex(6),
            name=name.casefold(),
            role=role,
            password_hash=password_hash,
            created_at=self._now(),
        )
        try:
            with self._database.writing() as session:
                session.add(row)
                session.flush()
                return _user(row)
        except IntegrityError as error:
            raise InputRefusedError(f"there is a user {name!r} already") from error

    def users(self) -> tuple[UserRow, ...]:
        """Return every user, by name."""
        with self._database.reading() as session:
            return tuple(map(_user, session.scalars(select(UserTable).order_by(UserTable.name))))

    def user(self, name: str) -> UserRow | None:
        """Return the user of a name; `None`, not an error: a sign-in may not tell who exists."""
        with self._database.reading() as session:
            row = session.scalar(select(UserTable).where(UserTable.name == name.casefold()))
            return None if row is None else _user(row)

    def set_password(
        self,
        user: UserId,
        password_hash: str | None,
        *,
        keep_session: str | None = None,
        ends_tokens: bool = False,
    ) -> UserRow:
        """Set or remove a password; sessions and unused sign-in links of the user end.

        Args:
            keep_session: Hashed secret of a session that goes on: of whoever changes their own.
            ends_tokens: Whether the tokens of the API end too.
        """
        sessions = [SessionTable.user_id == user, SessionTable.secret_hash != (keep_session or "")]
        tokens = [TokenTable.user_id == user]
        if not ends_tokens:
            tokens.append(TokenTable.kind == "sign_in")
        with self._database.writing() as session:
            row = _row(session, user)
            row.password_hash = password_hash
            session.execute(delete(SessionTable).where(*sessions))
            session.execute(delete(TokenTable).where(*tokens))
            return _user(row)

    def set_role(self, user: UserId, role: Role) -> UserRow:
        """Set the role of a user.

        Raises:
            InputRefusedError: No admin would be left.
        """
        with self._database.writing() as session:
            row = _row(session, user)
            if role != "admin":
                _check_admin_left(session, row)
            row.role = role
            return _user(row)

    def remove_user(self, user: UserId) -> None:
        """Delete a user with sessions, tokens, uploads and conversations.

        Raises:
            InputRefusedError: No admin would be left.
        """
        with self._database.writing() as session:
            row = _row(session, user)
            _check_admin_left(session, row)
            session.execute(delete(UserTable).where(UserTable.id == row.id))

    def grant(self, user: UserId, video: VideoId) -> None:
        """Grant a viewer a video."""
        with self._database.writing() as session:
            session.merge(GrantTable(user_id=user, video_id=video))

    def revoke(self, user: UserId, video: VideoId) -> None:
        """Revoke the grant of a video; nothing happens when there is none."""
        with self._database.writing() as session:
            session.execute(
                delete(GrantTable).where(GrantTable.user_id == user, GrantTable.video_id == video)
            )

    def granted(self, user: UserId) -> frozenset[VideoId]:
        """Return the videos granted to a viewer by themselves; an admin sees all."""
        with self._database.reading() as session:
            query = select(GrantTable.video_id).where(GrantTable.user_id == user)
            return frozenset(map(VideoId, session.scalars(query)))

    def visible(self, user: UserId) -> frozenset[VideoId]:
        """Return the videos that a viewer may see: granted ones, and those of granted cameras."""
        granted = select(GrantTable.video_id).where(GrantTable.user_id == user)
        filmed = (
            select(VideoTable.id)
            .join(CameraGrantTable, CameraGrantTable.camera_id == VideoTable.camera_id)
            .where(CameraGrantTable.user_id == user)
        )
        with self._database.reading() as session:
            return frozenset(map(VideoId, session.scalars(union(granted, filmed))))

    def open_session(
        self, user: UserId, secret_hash: str, *, csrf: str, expires_at: datetime
    ) -> SessionRow:
        """Add a session; expired ones are deleted."""
        now = self._now()
        with self._database.writing() as session:
            session.execute(delete(SessionTable).where(SessionTable.expires_at <= now))
            row = SessionTable(
                secret_hash=secret_hash,
                user=_row(session, user),
                csrf=csrf,
                created_at=now,
                expires_at=expires_at,
            )
            session.add(row)
            session.flush()
            return _session(row)

    def session(self, secret_hash: str) -> SessionRow | None:
        """Return the session of a secret; `None` when there is none or it has expired."""
        with self._database.reading() as session:
            row = session.get(SessionTable, secret_hash)
            return None if row is None or row.expires_at <= self._now() else _session(row)

    def close_session(self, secret_hash: str) -> None:
        """Delete a session."""
        with self._database.writing() as session:
            session.execute(delete(SessionTable).where(SessionTable.secret_hash == secret_hash))

    def add_token(
        self,
        user: UserId,
        name: str,
        secret_hash: str,
        *,
        kind: TokenKind = "api",
        scopes: Collection[str] = (),
        expires_at: datetime | None = None,
    ) -> TokenRow:
        """Add a token that was just handed out."""
        with self._database.writing() as session:
            row = TokenTable(
                user=_row(session, user),
                name=name,
                kind=kind,
                secret_hash=secret_hash,
                scopes=[*scopes],
                created_at=self._now(),
                expires_at=expires_at,
            )
            session.add(row)
            session.flush()
            return _token(row)

    def use_token(self, secret_hash: str, kind: TokenKind) -> tuple[UserRow, TokenRow] | None:
        """Return the user of a token and the token, and record its use.

        Only a token of this kind is accepted: a sign-in link must not work as a token of the API,
        nor the other way round. A token for signing in works once.

        Returns:
            `None` when there is no such token, or it has expired or been used up.
        """
        now = self._now()
        conditions = [
            TokenTable.secret_hash == secret_hash,
            TokenTable.kind == kind,
            or_(TokenTable.expires_at.is_(None), TokenTable.expires_at > now),
        ]
        if kind == "sign_in":
            conditions.append(TokenTable.used_at.is_(None))
        with self._database.writing() as session:
            used = session.execute(update(TokenTable).where(*conditions).values(used_at=now))
            if cast(CursorResult[Any], used).rowcount != 1:
                return None
            row = session.scalars(
                select(TokenTable).where(TokenTable.secret_hash == secret_hash)
            ).one()
            return _user(row.user), _token(row)

    def tokens(self, user: UserId) -> tuple[TokenRow, ...]:
        """Return the tokens of a user, oldest first."""
        query = select(TokenTable).where(TokenTable.user_id == user).order_by(TokenTable.id)
        with self._database.reading() as session:
            return tuple(map(_token, session.scalars(query)))

    def remove_token(self, user: UserId, token: TokenId) -> None:
        """Revoke a token of this user.

        Raises:
            NotFoundError: The user has no such token.
        """
        is_own = (TokenTable.id == token, TokenTable.user_id == user)
        with self._database.writing() as session:
            removed = session.execute(delete(TokenTable).where(*is_own))
            if cast(CursorResult[Any], removed).rowcount == 0:
                raise NotFoundError(f"no token {token}")


def _row(session: Session, user: UserId) -> UserTable:
    row = session.get(UserTable, user)
    if row is None:
        raise NotFoundError(f"no user {user!r}", hint="list the users to see every name")
    return row


def _user(row: UserTable) -> UserRow:
    return UserRow(
        id=UserId(row.id),
        name=row.name,
        role=cast(Role, row.role),
        password_hash=row.password_hash,
        created_at=row.created_at,
    )


def _session(row: SessionTable) -> SessionRow:
    return SessionRow(
        user=_user(row.user),
        csrf=row.csrf,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def _token(row: TokenTable) -> TokenRow:
    return TokenRow(
        id=TokenId(row.id),
        user=UserId(row.user_id),
        name=row.name,
        kind=cast(TokenKind, row.kind),
        scopes=tuple(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
    )


def _check_admin_left(session: Session, row: UserTable) -> None:
    """Refuse to take the rights of the only admin: nobody could let anybody in again."""
    # Locked, so that two admins who remove each other come one after the other.
    admins = select(UserTable.id).where(UserTable.role == "admin").with_for_update()
    if set(session.scalars(admins)) == {row.id}:
        raise InputRefusedError(f"{row.name} is the only admin", hint="make another one first")
