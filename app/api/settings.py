"""Settings on a page: everybody sees how they stand, an admin may change them."""

import logging

from fastapi import APIRouter

from app.api.deps import AppContext, Ctx, CurrentAdmin, CurrentUser
from app.config.settings_file import SettingState, current_values
from app.schemas.settings import SettingItem, SettingValuesResponse, UpdateSettingsRequest

router = APIRouter(prefix="/api/v1/settings/values", tags=["settings"])

_log = logging.getLogger(__name__)


@router.get("", summary="Get changeable settings")
def get_setting_values(desk: Ctx, who: CurrentUser) -> SettingValuesResponse:
    """Return the values in force, those of the next start, and what locks them."""
    return _document(desk)


@router.patch("", summary="Change settings")
def update_settings(
    desk: Ctx, who: CurrentAdmin, body: UpdateSettingsRequest
) -> SettingValuesResponse:
    """Check values, write them to `longwatch.toml`, and apply what needs no restart."""
    for line in desk.services.change_settings(body.changes):
        # A warning, because only those reach the log of a server that nobody has configured.
        _log.warning("settings changed by %s: %r", who.user.name, line)
    return _document(desk)


def _document(desk: AppContext) -> SettingValuesResponse:
    return SettingValuesResponse(settings=[_item(each) for each in current_values(desk.settings)])


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
