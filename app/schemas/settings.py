"""The server's configuration, and the settings that can be changed in the browser."""

from typing import Annotated

from pydantic import Field

from app.config.settings_file import Kind
from app.schemas.common import RequestModel, Schema


class SettingFact(Schema):
    """A setting in force, in words."""

    name: str
    value: str
    setting: str


class OutboundConnection(Schema):
    """A kind of connection that could leave this machine, and when."""

    what: str
    when: str
    now: str


class SettingsResponse(Schema):
    """The configuration of the server, and the connections that could leave it."""

    facts: list[SettingFact]
    outward: list[OutboundConnection]
    file: str


class SettingItem(Schema):
    """A setting that can be changed in the browser."""

    setting: str
    name: str
    kind: Kind
    value: str | None
    """The value from the next start on; `null` where the model or the engine chooses."""
    in_force: str | None
    is_default: bool
    locked_by: str | None
    needs_restart: bool
    is_waiting: bool
    """Whether a change waits for a restart."""


class SettingValuesResponse(Schema):
    """The settings that can be changed, with their state."""

    settings: list[SettingItem]


class UpdateSettingsRequest(RequestModel):
    """Dotted names and their new values; `null` restores the default."""

    changes: dict[
        Annotated[str, Field(max_length=64)],
        Annotated[str, Field(max_length=4096)] | int | float | None,
    ] = Field(min_length=1, max_length=64)
    confirm: bool = Field(default=False, description="Also if videos are deleted by it now.")
