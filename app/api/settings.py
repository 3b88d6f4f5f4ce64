"""Settings that can be changed in the browser: everybody may read them, an admin change them."""

from fastapi import APIRouter

from app.api.audit import audit
from app.api.deps import AppContext, Ctx, CurrentAdmin, CurrentUser
from app.api.openapi import failures
from app.config.settings_file import SettingState, current_values
from app.schemas.settings import SettingItem, SettingValuesResponse, UpdateSettingsRequest
from app.services.access import Access, visible_text
from app.services.settings import update_settings as update

router = APIRouter(prefix="/api/v1/settings/values", tags=["settings"])


@router.get("", summary="Get changeable settings")
def get_setting_values(context: Ctx, principal: CurrentUser) -> SettingValuesResponse:
    """Return the values in force, those of the next start, and what locks them.

    A viewer sees none that tells of the disk or the memory.
    """
    return _values(context, principal)


@router.patch("", summary="Change settings", responses=failures(409))
def update_settings(
    context: Ctx, principal: CurrentAdmin, body: UpdateSettingsRequest
) -> SettingValuesResponse:
    """Check values, write them to `longwatch.toml`, and apply what needs no restart.

    A retention that would delete videos now is answered with status 409, unless it is confirmed.
    """
    for line in update(context.services, body.changes, is_confirmed=body.confirm):
        audit(principal, "changed setting", line)
    return _values(context, principal)


def _values(context: AppContext, access: Access) -> SettingValuesResponse:
    states = current_values(context.settings)
    # How large the disk and the memory of the server are is nothing that a viewer needs.
    shown = [state for state in states if access.granted is None or state.editable.kind != "bytes"]
    return SettingValuesResponse(settings=[_item(state, access) for state in shown])


def _item(state: SettingState, access: Access) -> SettingItem:
    return SettingItem(
        setting=state.editable.setting,
        name=state.editable.name,
        kind=state.editable.kind,
        value=visible_text(state.value, access),
        in_force=visible_text(state.in_force, access),
        is_default=state.is_default,
        locked_by=visible_text(state.locked_by, access),
        needs_restart=state.editable.needs_restart,
        is_waiting=state.value != state.in_force,
    )
