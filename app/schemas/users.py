"""The session, user accounts and API tokens."""

from typing import Literal

from pydantic import Field

from app.schemas.common import RequestModel, Schema


class AccountItem(Schema):
    """A user account."""

    name: str
    role: str
    has_password: bool


class AccountsResponse(Schema):
    """The document of `user list`."""

    users: list[AccountItem]


class ActiveModel(Schema):
    """The model that answers."""

    name: str
    ready: bool
    detail: str
    note: str | None = None
    """What it knows, where that is less than real footage."""


class SessionResponse(Schema):
    """The signed-in user, and the state of the server."""

    user: str
    role: str
    has_password: bool
    csrf: str
    model: ActiveModel
    offline: bool
    version: str


class UserItem(Schema):
    """A user account, with the videos it may see."""

    user_id: str
    name: str
    role: str
    has_password: bool
    videos: list[str]
    """Ids of the videos that a viewer may see."""
    cameras: list[str]
    """Ids of the cameras that a viewer may see, with all that they film."""


class UsersResponse(Schema):
    """Every user account."""

    users: list[UserItem]


class CreateUserRequest(RequestModel):
    """A user account to create."""

    name: str = Field(description="Up to 64 letters, digits and . @ _ -")
    password: str = Field(description="10 to 1024 characters.")
    role: Literal["admin", "viewer"] = "viewer"


class UpdateUserRequest(RequestModel):
    """The changes to a user account; omitted fields stay as they are."""

    password: str | None = Field(default=None, description="10 to 1024 characters.")
    role: Literal["admin", "viewer"] | None = None
    videos: list[str] | None = Field(default=None, max_length=1000)
    cameras: list[str] | None = Field(default=None, max_length=1000)
    end_tokens: bool = Field(default=False, description="End the user's API tokens too.")


class ChangePasswordRequest(RequestModel):
    """A new password of the signed-in user."""

    current: str = Field(default="", max_length=1024, description="Not needed without one.")
    new: str = Field(max_length=1024, description="10 to 1024 characters.")
    end_tokens: bool = Field(default=False, description="End one's own API tokens too.")


class TokenItem(Schema):
    """An API token, without its secret."""

    token_id: int
    name: str
    scopes: list[str]
    created_at: str
    expires_at: str | None
    used_at: str | None


class TokensResponse(Schema):
    """The user's own API tokens."""

    tokens: list[TokenItem]


class CreateTokenRequest(RequestModel):
    """An API token to create."""

    name: str = Field(min_length=1, max_length=64)
    days: int = Field(default=90, description="1 to 366.")
    scopes: list[Literal["read", "write"]] = Field(
        default=["read"],
        max_length=2,
        description="`read`: look, search and ask. `write`: change the library too.",
    )


class TokenCreated(TokenItem):
    """A new API token, with its secret, which is shown only once."""

    secret: str
