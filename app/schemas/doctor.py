"""The findings of `longwatch doctor`."""

from typing import Literal

from app.schemas.common import Schema


class FindingItem(Schema):
    """One check of `doctor`."""

    name: str
    state: Literal["ok", "missing", "warning"]
    detail: str
    hint: str | None = None


class DoctorResponse(Schema):
    """The checks of `doctor`."""

    findings: list[FindingItem]
