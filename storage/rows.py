"""Records of what only the application knows: videos, jobs and their states. No SQL, no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NewType

from engine.records import Fingerprint, MediaInfo, SampleStats, VideoId

JobId = NewType("JobId", int)
"""Grows with every job, so the smaller of two was asked for first."""

VideoStatus = Literal["queued", "ingesting", "ready", "failed", "cancelled"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]
Pulse = Literal["go_on", "cancel", "lost"]
"""What a heartbeat tells a worker: carry on, the user cancelled, or another worker has the job."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why something failed, as the user reads it."""

    code: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRow:
    """A video of the library; its counters belong to the pipeline of `fingerprint`."""

    id: VideoId
    name: str
    """Unique, as the user reads it."""
    uri: str
    identity: str | None
    """Digest of the content: the same file twice is one video. `None` for live sources."""
    media: MediaInfo | None
    """`None` until the source has been probed."""
    status: VideoStatus
    start_at: datetime | None
    """Wall clock of its first frame."""
    fingerprint: Fingerprint | None
    """The pipeline that ingests it, `None` before the first time."""
    model: str | None
    sample_fps: float | None
    compression_ratio: int | None
    n_chunks: int
    latent_bytes: int
    ingested_s: float
    """End of the last chunk committed."""
    stats: SampleStats
    wall_s: float
    """Time spent ingesting, resumed runs included."""
    warnings: tuple[str, ...]
    failure: Failure | None
    created_at: datetime
    updated_at: datetime

    @property
    def duration_s(self) -> float | None:
        """Scanned length once it is ready, the header's until then; `None` means unknown."""
        if self.status == "ready" or self.media is None:
            return self.ingested_s or None
        return self.media.duration_s

    def at(self, time_s: float) -> datetime | None:
        """Wall clock of a moment, where the video has one."""
        return None if self.start_at is None else self.start_at + timedelta(seconds=time_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """How far a job is, in units of its own (chunks, cells, bytes)."""

    done: float = 0.0
    total: float | None = None
    """`None` where nobody knows, as for a camera."""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """Work that goes on when the tab closes and the process dies."""

    id: JobId
    kind: str
    payload: Json
    video: VideoId | None
    """The job leaves with this video."""
    stream: str | None
    """Jobs of one stream run one at a time, in the order they were asked for."""
    state: JobState
    lease: str | None
    """Names one claim by one worker; every later word about the job must show it."""
    lease_until: datetime | None
    heartbeat_at: datetime | None
    run_at: datetime
    """Not before this."""
    attempts: int
    """Starts since it last got further."""
    max_attempts: int
    progress: JobProgress
    cancel_requested: bool
    failure: Failure | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
