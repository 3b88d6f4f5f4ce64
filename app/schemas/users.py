"""The session, user accounts and API tokens."""

from typing import Literal

from pydantic import BaseModel, Field

from app.schemas.common import RequestModel


class AccountItem(BaseModel):
    """One account of the web app."""

    name: str
    role: str
    has_password: bool


class AccountsResponse(BaseModel):
    """What `user list` tells."""

    users: list[AccountItem]


class ActiveModel(BaseModel):
    """The model that answers."""

    name: str
    ready: bool
    detail: str


class SessionResponse(BaseModel):
    """Who is signed in, and what this server is."""

    user: str
    role: str
    csrf: str
    model: ActiveModel
    offline: bool
    version: str


class UserItem(BaseModel):
    """An account."""

    user_id: str
    name: str
    role: str
    has_password: bool
    videos: list[str]
    """Granted to a viewer."""


class UsersResponse(BaseModel):
    """Every account."""

    users: list[UserItem]


class CreateUserRequest(RequestModel):
    """An account to open."""

    name: str = Field(description="Up to 64 letters, digits and . @ _ -")
    password: str = Field(description="10 to 1024 characters.")
    role: Literal["admin", "viewer"] = "viewer"


class UpdateUserRequest(RequestModel):
    """What changes of an account."""

    password: str | None = Field(default=None, description="10 to 1024 characters.")
    role: Literal["admin", "viewer"] | None = None
    videos: list[str] | None = Field(default=None, max_length=1000)


class TokenItem(BaseModel):
    """A token as its owner sees it later."""

    token_id: int
    name: str
    created_at: str
    expires_at: str | None
    used_at: str | None


class TokensResponse(BaseModel):
    """One's own tokens."""

    tokens: list[TokenItem]


class CreateTokenRequest(RequestModel):
    """A token to hand out."""

    name: str = Field(min_length=1, max_length=64)
    days: int = Field(default=90, description="1 to 3650.")


class TokenCreated(TokenItem):
    """A token, with the secret that is shown once."""

    secret: str
