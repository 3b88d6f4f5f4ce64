"""Documents about the object store of a library."""

from app.schemas.common import Schema


class ObjectTreeItem(Schema):
    """Objects of one folder of the home folder."""

    tree: str
    objects: int
    bytes: int


class ObjectsStatusResponse(Schema):
    """The objects of a library, and the files that are not in the store yet."""

    url: str
    trouble: str | None
    """Why it does not answer; `null` while it does."""
    trees: list[ObjectTreeItem]
    not_stored: int
    """Files here that are not there yet."""
    not_stored_bytes: int
    leaving: int
    """Objects that are still to be deleted there."""
    cache_bytes: int
    """Bytes of copies that may stay here."""


class ObjectsPushResponse(Schema):
    """The outcome of a push: files that were put into the object store."""

    url: str
    pushed: int
    pushed_bytes: int
    objects: int
    """All that lie there now."""
    object_bytes: int


class ObjectsVerifyResponse(Schema):
    """The outcome of a comparison of the object store with its list."""

    url: str
    checked: int
    checked_bytes: int
    with_digests: bool
    """Whether every byte was read."""
    missing: list[str]
    """The first keys of those that are not there."""
    damaged: list[str]
    """The first keys of those that have other bytes."""
    n_missing: int
    n_damaged: int
    mended: int
    """Put there again from the copy here."""
    unlisted: int
    """Objects that are there and in no list."""


class ObjectsAdoptResponse(Schema):
    """The outcome of a look for objects that the list does not name."""

    url: str
    adopted: int
    """Taken up into the list."""
    adopted_bytes: int
    renewed: int
    """Written again since the list was: it names them as they are now."""
    damaged: list[str]
    """The first keys of those whose bytes are not those that were put there; not taken up."""
    n_damaged: int
    deleted: int
    """There although the list says that they were deleted; not taken up."""
    foreign: int
    """Nothing of a library; not taken up."""
    lost_videos: list[str]
    """The first ids of videos that lie there and have no row."""
    n_lost_videos: int
    ownerless: int
    """Objects of no video and no camera of the library, nor of those that can come back."""


class ObjectsCleanResponse(Schema):
    """The outcome of a look for objects of no video and no camera."""

    url: str
    dry_run: bool
    """Whether they were only looked for."""
    deleted: int
    """Objects that were deleted, or would be."""
    deleted_bytes: int
    keys: list[str]
    """The first of them."""
    too_young: int
    """Of nobody, but written a short while ago; left alone."""
    foreign: int
    """Nothing of a library; left alone."""
