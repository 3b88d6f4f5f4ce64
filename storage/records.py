"""Records of the nouns that only the application knows: videos, jobs, users, conversations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NewType

from engine.errors import CorruptLatentsError
from engine.probe_records import ProbeResult
from engine.records import (
    AnsweredBy,
    AnswerTiming,
    Caption,
    Evidence,
    Fingerprint,
    MediaInfo,
    Observation,
    ObservationKind,
    Recall,
    SampleStats,
    VideoId,
    moment_after,
)

MOST_GROUNDS: Final = 20
"""Observations that are shown and kept with one piece of evidence; a busy hour rests on hundreds.
"""

JobId = NewType("JobId", int)
"""Grows with every job: the smaller of two ids was added first."""
UserId = NewType("UserId", str)
CameraId = NewType("CameraId", str)
TokenId = NewType("TokenId", int)
UploadId = NewType("UploadId", str)
ConversationId = NewType("ConversationId", str)
ProbeRunId = NewType("ProbeRunId", int)

Role = Literal["admin", "viewer"]
"""An admin sees and changes everything; a viewer sees the videos that were granted."""
TokenKind = Literal["api", "sign_in"]
"""A token of the API works until it expires, one for signing in works once."""
TokenScope = Literal["read", "write"]
"""The right of a token: to look and to ask, or also to change the library."""
VideoStatus = Literal["queued", "ingesting", "ready", "failed", "cancelled", "removing"]
"""`removing` is never shown: what a kill left of a removal is ended by the next process."""
StartSource = Literal["user", "recorder", "file_name", "container", "chapter", "live"]
"""The origin of a wall clock: set by a user, the header of a recorder's file, the name of the file,
a tag of its container, the end of the chapter before, or the moment a live feed was opened."""
JobState = Literal["queued", "running", "done", "failed", "cancelled"]
HeartbeatReply = Literal["go_on", "cancel", "lost"]
"""The answer to a worker: go on, the user cancelled, or another worker has the job."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why something failed, as the user reads it."""

    code: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContent:
    """The bytes of a file at one time; a file that was appended to still begins with them."""

    size_bytes: int
    body_digest: str
    """Of blocks behind the first: what closes a file may rewrite its header, not its body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartClock:
    """The wall clock of a first frame, and where it was read."""

    at: datetime
    source: StartSource
    is_local: bool = False
    """Whether it was read without a zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRow:
    """A video of the library; its counters are those of the pipeline `fingerprint`."""

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
    start_source: StartSource | None
    """The origin of `start_at`; `None` where there is no clock."""
    start_is_local: bool
    """Whether the clock was read without a zone, so that another zone makes it another moment."""
    timezone: str | None
    """Where it was filmed: an IANA name or an offset; `None` means the zone of the settings."""
    file_name: str | None
    """The name of the file as it was added; `None` for live sources."""
    video_track: int | None
    """The stream that was chosen to be read; `None` leaves the choice to the reader."""
    content: FileContent | None
    """The size of the file when it was last looked at; `None` for live sources."""
    has_grown: bool
    """Whether its file goes on behind what was its end when it was last read."""
    tags: tuple[str, ...]
    """As people wrote them, in the order of the alphabet."""
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
    camera: CameraId | None = None
    """The camera whose timeline it is a part of."""

    @property
    def is_damaged(self) -> bool:
        """Whether chunks of it are damaged or missing, and wait to be read again."""
        return self.failure is not None and self.failure.code == CorruptLatentsError.code

    @property
    def duration_s(self) -> float | None:
        """The scanned length once it is ready, the header's until then; `None` means unknown."""
        if self.media is None or (self.status == "ready" and self.media.has_picture):
            return self.ingested_s or None
        if self.media.has_picture:
            return self.media.duration_s
        # Of sound alone nothing is scanned unless the model hears.
        return self.ingested_s or self.media.duration_s

    @property
    def clock(self) -> StartClock | None:
        """The wall clock of its first frame with its origin."""
        if self.start_at is None or self.start_source is None:
            return None
        return StartClock(at=self.start_at, source=self.start_source, is_local=self.start_is_local)

    @property
    def end_at(self) -> datetime | None:
        """The wall clock at its end; `None` until it is read, or where there is no clock."""
        return self.at(self.ingested_s) if self.status == "ready" else None

    def at(self, time_s: float) -> datetime | None:
        """Return the wall clock of a moment; `None` where the video has none."""
        return None if self.start_at is None else moment_after(self.start_at, time_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """Progress of a job, in units of its own (chunks, cells, bytes)."""

    done: float = 0.0
    total: float | None = None
    """`None` where nobody knows, as for a camera."""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageCursor:
    """The end of a page of the library; its last video may be deleted before the next page."""

    created_at: datetime
    id: VideoId


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryTotals:
    """Sums over all pages of the library."""

    n_videos: int
    latent_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A job: work that outlives the request and the process that asked for it."""

    id: JobId
    kind: str
    payload: Json
    video: VideoId | None
    """The job is deleted with this video."""
    stream: str | None
    """Jobs of one stream run one at a time, in the order they were added."""
    state: JobState
    lease: str | None
    """Names one claim by one worker; every later call about the job must present it."""
    lease_until: datetime | None
    heartbeat_at: datetime | None
    run_at: datetime
    """Not before this."""
    attempts: int
    """Starts since its last progress."""
    max_attempts: int
    progress: JobProgress
    cancel_requested: bool
    failure: Failure | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def worker(self) -> str | None:
        """The worker that has it; `None` of one that nobody does."""
        return None if self.lease is None else self.lease.rpartition("#")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRow:
    """A user of the web application."""

    id: UserId
    name: str
    role: Role
    password_hash: str | None = field(repr=False)
    """`None` where only a one-time token signs in."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A signed-in user; of the secret in the cookie only the hash is stored."""

    user: UserRow
    csrf: str = field(repr=False)
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """A token without its secret."""

    id: TokenId
    user: UserId
    name: str
    kind: TokenKind
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRow:
    """A resumable upload; its bytes are in a file until they become a video."""

    id: UploadId
    user: UserId | None
    name: str
    size_bytes: int
    offset_bytes: int
    """Bytes that are on disk: where the next part begins."""
    video: VideoId | None
    """The video it became."""
    created_at: datetime
    expires_at: datetime

    @property
    def is_complete(self) -> bool:
        """Whether every byte has arrived."""
        return self.offset_bytes == self.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationRow:
    """A conversation, and the videos its questions are about."""

    id: ConversationId
    user: UserId | None
    title: str
    videos: tuple[VideoId, ...]
    """Empty means all that the user may see."""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRow:
    """A question and the answer that was given."""

    ordinal: int
    question: str
    answer: str
    evidence: tuple[Evidence, ...]
    """Best first, without that of videos removed since."""
    model: str
    recall: Recall
    searched_s: float
    recalled_chunks: int
    timing: AnswerTiming
    created_at: datetime
    answered_by: AnsweredBy | None = None
    """`None` where an earlier version kept the answer."""
    nearest: tuple[Evidence, ...] = ()
    """Moments shown as not confirmed, without those of videos removed since."""
    n_images: int = 0
    """Still images that were shown beside the question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionMatch:
    """A caption that holds words of a query."""

    caption: Caption
    share: float
    """Share of the words of the query that it holds, in (0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationMatch:
    """An observation that holds words of a query."""

    observation: Observation
    share: float
    """Share of the words of the query that it holds, in (0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextVector:
    """The vector of an observation's text."""

    id: int
    """Of the observation's row, for `Observations.get`."""
    text: str
    vector: bytes
    """Unit vector as little-endian half floats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadText:
    """The text of an observation that has no vector yet."""

    id: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationTally:
    """Observations of one kind and label in one video."""

    kind: ObservationKind
    label: str
    n: int
    seconds: float
    """Sum of their lengths; two at once count twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTally:
    """A kind and label with a count: of rows in a video, or of videos in the library."""

    kind: ObservationKind
    label: str
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRunRow:
    """A run over a grid of needles, finished or still growing."""

    id: ProbeRunId
    result: ProbeResult
    settings: Json
    """The order of the run: lengths, depths, seeds, needles."""
    job: JobId | None
    created_at: datetime
