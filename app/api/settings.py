"""Settings that can be changed in the browser: everybody may read them, an admin change them."""

from fastapi import APIRouter

from app.api.audit import audit
from app.api.deps import AppContext, Ctx, CurrentAdmin, CurrentUser
from app.config.settings_file import SettingState, current_values
from app.schemas.settings import SettingItem, SettingValuesResponse, UpdateSettingsRequest

router = APIRouter(prefix="/api/v1/settings/values", tags=["settings"])


@router.get("", summary="Get changeable settings")
def get_setting_values(context: Ctx, principal: CurrentUser) -> SettingValuesResponse:
    """Return the values in force, those of the next start, and what locks them."""
    return _values(context)


@router.patch("", summary="Change settings")
def update_settings(
    context: Ctx, principal: CurrentAdmin, body: UpdateSettingsRequest
) -> SettingValuesResponse:
    """Check values, write them to `longwatch.toml`, and apply what needs no restart."""
    for line in context.services.change_settings(body.changes):
        audit(principal, "changed setting", line)
    return _values(context)


def _values(context: AppContext) -> SettingValuesResponse:
    return SettingValuesResponse(
        settings=[_item(state) for state in current_values(context.settings)]
    )


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
