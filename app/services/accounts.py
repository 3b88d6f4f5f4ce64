"""Accounts from the command line: the first admin of a server that others reach."""

import re
from typing import Literal, cast

from app.api.auth import hash_password
from app.schemas.common import MessageResponse
from app.schemas.users import AccountItem, AccountsResponse
from engine.errors import InputRefusedError, NotFoundError
from storage.catalog import Catalog

_NAME = re.compile(r"[\w.@-]{1,64}")


def put_user(catalog: Catalog, name: str, role: str, password: str) -> MessageResponse:
    """Open an account, or give an old one a new password and role.

    Raises:
        InputRefusedError: The name or the password cannot be used.
    """
    if not _NAME.fullmatch(name):
        raise InputRefusedError(f"{name!r} is no name: up to 64 letters, digits and . @ _ -")
    accounts, hashed = catalog.accounts, hash_password(password)
    chosen = cast(Literal["admin", "viewer"], role)
    known = accounts.user(name)
    if known is None:
        accounts.add_user(name, chosen, password_hash=hashed)
        return MessageResponse(message=f"{name} may sign in as {role}")
    accounts.set_role(known.id, chosen)
    accounts.set_password(known.id, hashed)
    return MessageResponse(message=f"{name} has a new password and is {role}")


def drop_user(catalog: Catalog, name: str) -> MessageResponse:
    """Close an account.

    Raises:
        NotFoundError: There is none of this name.
    """
    known = catalog.accounts.user(name)
    if known is None:
        raise NotFoundError(f"no user {name!r}", hint="`longwatch user list` shows all")
    catalog.accounts.remove_user(known.id)
    return MessageResponse(message=f"{name} is gone")


def list_accounts(catalog: Catalog) -> AccountsResponse:
    """Every account, by name."""
    rows = catalog.accounts.users()
    return AccountsResponse(
        users=[
            AccountItem(name=row.name, role=row.role, has_password=row.password_hash is not None)
            for row in rows
        ]
    )
