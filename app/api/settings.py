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
    return SettingValuesResponse(settings=[_item(state) for state in current_values(desk.settings)])


def _item(state: SettingState) -> SettingItem:
    return SettingItem(
        setting=state.editable.setting,
        name=state.editable.name,
        kind=state.editable.kind,
        value=state.value,
        in_force=state.in_force,
        is_default=state.is_default,
        locked_by=state.locked_by,
        needs_restart=state.editable.needs_restart,
        is_waiting=state.value != state.in_force,
    )
