"""Sets of needles that a probe can plant."""

from app.schemas.common import Schema


class NeedleSetItem(Schema):
    """A set of pictures with questions."""

    key: str
    """The value of `needles` in a probe request."""
    name: str
    is_upload: bool


class NeedleSetsResponse(Schema):
    """The available sets."""

    sets: list[NeedleSetItem]


class NeedleSetCreated(NeedleSetItem):
    """An uploaded set, unpacked and checked."""

    n_needles: int
