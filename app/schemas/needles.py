"""Sets of needles that a probe can plant."""

from pydantic import BaseModel


class NeedleSetItem(BaseModel):
    """Pictures with questions that can be planted."""

    key: str
    """What a probe is ordered with."""
    name: str
    is_upload: bool


class NeedleSetsResponse(BaseModel):
    """What can be planted beside drawn cards."""

    sets: list[NeedleSetItem]


class NeedleSetCreated(NeedleSetItem):
    """An archive that was unpacked and checked."""

    n_needles: int
