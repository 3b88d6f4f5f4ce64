"""The findings of `longwatch doctor`."""

from typing import Literal

from pydantic import BaseModel


class FindingItem(BaseModel):
    """One line of `doctor`."""

    name: str
    state: Literal["ok", "missing", "warning"]
    detail: str
    hint: str | None = None


class DoctorResponse(BaseModel):
    """What `doctor` finds."""

    findings: list[FindingItem]
