"""Records of an object store: what lies in it, and how it is reached."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

ObjectState = Literal["kept", "leaving", "gone"]
"""In the store, to be deleted from it, or deleted: copies on other machines leave by that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRow:
    """An object and the digest of its bytes."""

    key: str
    """Its path below the home folder."""
    n_bytes: int
    sha256: str
    written_ns: int
    """When the file was written that it is a copy of; a local copy has the same time."""
    state: ObjectState = "kept"

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object as the store lists it."""

    key: str
    n_bytes: int
    put_at: datetime
    """When it was last written, by the clock of the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectTotals:
    """Objects of one tree of the home folder."""

    tree: str
    n_objects: int
    n_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectAddress:
    """The place of an object store, and how patiently it is asked."""

    url: str
    """`s3://bucket/prefix`, `gs://...`, `az://container/prefix`, or `file:///folder`."""
    endpoint: str | None = None
    """Address of a server that speaks S3; `None` means the cloud's own."""
    region: str | None = None
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    """Without both, what the environment holds as it does for the cloud's own tools."""
    timeout_s: float = 30.0
    """Of one request."""
    patience_s: float = 60.0
    """How long a failing request is repeated, with growing pauses."""


def folder_of(key: str) -> str:
    """Return the part of a key before its last slash."""
    return key.rpartition("/")[0]
