"""Capacity: a plan, the rates that were measured here, and whether they meet."""

from pydantic import Field

from app.schemas.common import Schema


class CapacityPlan(Schema):
    """Cameras to read and how long to keep them."""

    cameras: int
    fps: float
    """Sampled frames a second of each camera."""
    days: float


class CapacityRates(Schema):
    """Rates of this machine, measured on drawn video of 640x360."""

    device: str
    model: str
    frames_per_s: float
    """Sampled frames that all cores, or the accelerator, read in a second."""
    frames_per_s_one_video: float
    latent_bytes_per_day: int
    """Of one camera that never stands still."""
    still_bytes_per_day: int
    measured_s: float


class CapacityNeed(Schema):
    """One thing that a plan needs, beside what the machine has of it."""

    name: str
    needed: float
    available: float
    unit: str
    fits: bool
    detail: str


class CapacityFleet(Schema):
    """Machines like this one that share a library, and what they share."""

    machines: int
    machines_for_frames: int
    machines_for_codes: int
    """That hold the codes of all vectors in memory together."""
    store_bytes: float
    """Of files; recordings of cameras come on top."""
    database_bytes: float
    """Of rows and vectors with their index."""
    database_writes_per_s: float


class CapacityResponse(Schema):
    """The answer to a plan."""

    plan: CapacityPlan
    rates: CapacityRates
    needs: list[CapacityNeed]
    fits: bool
    changes: list[str]
    """What would make it fit, the cheapest first; empty where it does."""
    fleet: CapacityFleet | None = Field(default=None, exclude_if=lambda value: value is None)
    """Where one machine is too small: several of them."""
