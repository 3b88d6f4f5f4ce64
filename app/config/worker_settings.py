"""Settings of workers: how long one may be silent, and what one takes in a Ray cluster."""

from pydantic import Field

from app.config.section import Section


class WorkerSettings(Section):
    """Work that is shared by several workers, on one machine or many."""

    lease_s: float = Field(default=30.0, ge=3, le=3600)
    """Seconds of silence after which a worker has lost its jobs to others. On the same machine one
    that ended is noticed at once."""
    camera_lease_s: float = Field(default=10.0, ge=3, le=3600)
    """The same for the cameras that a worker films: the longest hand-over of a camera whose worker
    is cut off or whose machine has died."""
    ray_cpus: int = Field(default=4, ge=1, le=1024)
    """CPU cores that one reader takes in a Ray cluster without GPUs; with GPUs each takes one."""
