"""Settings on a page: everybody sees how they stand, an admin may change them."""

import logging
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.deps import AppContext, Ctx, CurrentAdmin, CurrentUser
from app.config.settings_file import Kind, SettingState, change, held
from app.schemas.api import Body

router = APIRouter(prefix="/api/v1/settings/values", tags=["people and settings"])

_log = logging.getLogger(__name__)


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


class SettingsValuesDocument(BaseModel):
    """How the editable settings stand."""

    settings: list[SettingItem]


class ChangeSettingsBody(Body):
    """Dotted names and values; `null` gives one back to its default."""

    changes: dict[
        Annotated[str, Field(max_length=64)],
        Annotated[str, Field(max_length=4096)] | int | float | None,
    ] = Field(min_length=1, max_length=64)


@router.get("", summary="Settings that can be changed")
def show_values(desk: Ctx, who: CurrentUser) -> SettingsValuesDocument:
    """What is in force, what the next start will use, and what holds a value fast."""
    return _document(desk)


@router.patch("", summary="Change settings")
def change_values(desk: Ctx, who: CurrentAdmin, body: ChangeSettingsBody) -> SettingsValuesDocument:
    """Check them, write them to `longwatch.toml`, and use at once what needs no restart."""
    desk.service.settings, lines = change(desk.settings, body.changes)
    for line in lines:
        # A warning, because only those reach the log of a server that nobody has configured.
        _log.warning("settings changed by %s: %r", who.user.name, line)
    return _document(desk)


def _document(desk: AppContext) -> SettingsValuesDocument:
    return SettingsValuesDocument(settings=[_item(each) for each in held(desk.settings)])


def _item(each: SettingState) -> SettingItem:
    return SettingItem(
        setting=each.editable.setting,
        name=each.editable.name,
        kind=each.editable.kind,
        value=each.value,
        in_force=each.in_force,
        is_default=each.is_default,
        locked_by=each.locked_by,
        needs_restart=each.editable.needs_restart,
        is_waiting=each.value != each.in_force,
    )
