"""The server's configuration, and the settings that can be changed in the browser."""

from typing import Annotated

from pydantic import BaseModel, Field

from app.config.settings_file import Kind
from app.schemas.common import RequestModel


class SettingFact(BaseModel):
    """A line of the settings page."""

    name: str
    value: str
    setting: str


class OutboundConnection(BaseModel):
    """A connection that would leave this machine, and when."""

    what: str
    when: str
    now: str


class SettingsResponse(BaseModel):
    """How this server is configured, and what could ever leave it."""

    facts: list[SettingFact]
    outward: list[OutboundConnection]
    file: str


class SettingItem(BaseModel):
    """A setting that may be changed on a page."""

    setting: str
    name: str
    kind: Kind
    value: str | None
    """What the next start will use; `None` where model or engine choose."""
    in_force: str | None
    is_default: bool
    locked_by: str | None
    needs_restart: bool
    is_waiting: bool
    """Whether it was changed and waits for a restart."""


class SettingValuesResponse(BaseModel):
    """How the editable settings stand."""

    settings: list[SettingItem]


class UpdateSettingsRequest(RequestModel):
    """Dotted names and values; `null` gives one back to its default."""

    changes: dict[
        Annotated[str, Field(max_length=64)],
        Annotated[str, Field(max_length=4096)] | int | float | None,
    ] = Field(min_length=1, max_length=64)
