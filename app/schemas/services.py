"""Documents by which `serve` and `worker` say that they run."""

from app.schemas.common import Schema


class ServeResponse(Schema):
    """A server that listens."""

    address: str
    sign_in_link: str | None
    """Signs an admin in, once; null as soon as an admin has a password."""
    home: str
    model: str
    version: str
    with_worker: bool


class WorkerResponse(Schema):
    """A worker that takes jobs."""

    worker: str
    """Machine and process, as in the rows of its jobs."""
    home: str
    model: str
    slots: int
    """Jobs at a time."""
