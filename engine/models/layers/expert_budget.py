"""Bytes of a mixture's experts that stay near."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertBudget:
    """Bytes of expert weights that stay near; the others are read when a token asks for them."""

    device_bytes: int
    """On the device that the model runs on."""
    host_bytes: int = 0
    """In main memory, beside an accelerator; unused when the model runs on the CPU."""

    def __post_init__(self) -> None:
        for name in ("device_bytes", "host_bytes"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}")
