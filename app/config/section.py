"""The base of every section of the settings."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

GIB: Final = 2**30
MAX_BYTES: Final = 2**60
"""More than any disk has: a larger number is a slip of the pen."""


def refuse_bool(cls: type[BaseModel], value: Any, info: ValidationInfo) -> Any:
    """Return a value as it is, unless it says yes or no to what is no such question.

    Pydantic would read `fps = true` as one frame a second.
    """
    field = cls.model_fields[info.field_name or ""]
    if isinstance(value, bool) and field.annotation is not bool:
        raise ValueError("true and false are no values of it")
    return value


class Section(BaseModel):
    """A section of the settings: never changed, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    _refuse_bool = field_validator("*", mode="before")(refuse_bool)
