"""JSON documents of the web API; those shared with the command line lie in `shared`."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.shared import AskDocument, CaptionItem, LibraryItem, ProbeDocument, SearchItem

VideoIds = Annotated[list[str], Field(max_length=256)]
Bound = Annotated[
    float | datetime | None,
    Field(description="Seconds from the start of each video, or a moment on the wall clock."),
]


class Body(BaseModel):
    """What a client sends; a field that is not known is an error."""

    model_config = ConfigDict(extra="forbid")


class JobItem(BaseModel):
    """Work that is done, under way, or waiting."""

    job_id: int
    kind: str
    state: str
    video_id: str | None
    video: str | None
    done: float
    total: float | None
    note: str
    attempts: int
    cancel_requested: bool
    error: str | None
    hint: str | None
    created_at: str
    started_at: str | None
    ended_at: str | None


class JobsDocument(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobItem]


class SpriteItem(BaseModel):
    """Stills for scrubbing: ten a row, 160x90 pixels each."""

    url: str
    step_s: float
    count: int


class VideoItem(LibraryItem):
    """A video of the library, as a page shows it."""

    width_px: int | None
    height_px: int | None
    video_codec: str | None
    is_live: bool
    ingested_s: float
    expected_chunks: int | None
    """An estimate from the header's duration until the video is ready."""
    realtime_factor: float | None
    eta_s: float | None
    frames_sampled: int
    frames_skipped_static: int
    job: JobItem | None
    """The ingest job that is under way or waiting."""
    thumb_url: str | None
    play_url: str | None
    play_note: list[str]
    """Why there is nothing to play: a sentence and what will happen."""
    sprite: SpriteItem | None
    hint: str | None


class VideosDocument(BaseModel):
    """The library and the room it has."""

    videos: list[VideoItem]
    total: int
    """Videos on all pages."""
    next: str | None
    """The cursor of the next page; `null` on the last one, and where no limit was given."""
    used_bytes: int
    """Of latents, over all pages."""
    free_bytes: int
    reserve_bytes: int


class StripChunk(BaseModel):
    """One chunk as the timeline draws it."""

    start_s: float
    end_s: float
    activity: float
    activity_shown: float
    """Activity against the liveliest chunks of this video, in [0, 1]."""
    similarity: float = 0.0
    """Of the query, against this video's other chunks, in [0, 1]."""


class StripDocument(BaseModel):
    """What the timeline of a video shows."""

    video_id: str
    duration_s: float
    ingested_s: float
    chunks: list[StripChunk]


class RootsDocument(BaseModel):
    """Folders of the server whose files may be added, and what lies in them."""

    roots: list[str]
    files: list[str]


class AddVideoBody(Body):
    """A file below one of the configured folders, or a camera."""

    source: str = Field(min_length=1, max_length=4096)
    name: str | None = Field(default=None, max_length=120)
    start_at: datetime | None = None


class RenameBody(Body):
    """A new name, or the wall clock of the first frame."""

    name: str = Field(min_length=1, max_length=120)


class AskBody(Body):
    """A question, where to look, and the conversation it goes on with."""

    question: str = Field(min_length=1, max_length=100_000)
    videos: VideoIds = []
    after: Bound = None
    before: Bound = None
    recall: Literal["top", "overview", "all"] | None = None
    conversation_id: str | None = Field(default=None, max_length=64)


class AskedDocument(AskDocument):
    """An answer, and the conversation it was kept in."""

    conversation_id: str
    searched: str
    """How much was searched, in words."""


class MomentOf(Body):
    """A frame of a video."""

    video_id: str = Field(max_length=64)
    time_s: float = Field(ge=0)


class SearchBody(Body):
    """A description or a frame, and where to look."""

    query: str = Field(default="", max_length=100_000)
    like: MomentOf | None = None
    videos: VideoIds = []
    after: Bound = None
    before: Bound = None
    time_of_day: Annotated[
        str | None, Field(pattern=r"^\d{2}:\d{2}-\d{2}:\d{2}$", description="22:00-06:00, UTC")
    ] = None
    top: int = Field(default=24, ge=1, le=200)


class FoundItem(SearchItem):
    """A moment that matches, with its still."""

    thumb_url: str


class FoundDocument(BaseModel):
    """What a search found."""

    query: str
    hits: list[FoundItem]
    captions: list[CaptionItem] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Those that hold words of the query; no part of the hits and their scores."""
    searched_s: float
    searched: str
    total_ms: float


class TurnItem(BaseModel):
    """One question of a conversation."""

    question: str
    answer: str
    evidence: list[dict[str, object]]
    searched: str
    recalled_chunks: int
    recall: str
    model: str
    created_at: str


class ConversationItem(BaseModel):
    """A conversation, as a list shows it."""

    conversation_id: str
    title: str
    videos: list[str]
    updated_at: str


class ConversationsDocument(BaseModel):
    """A user's conversations, the liveliest first."""

    conversations: list[ConversationItem]


class ConversationDocument(ConversationItem):
    """A conversation with its turns."""

    turns: list[TurnItem]


class ProbeBody(Body):
    """A grid of needles to run."""

    haystack: str | None = Field(default=None, max_length=64)
    """A video of the library; drawn when left out."""
    lengths: list[Annotated[int, Field(ge=8, le=100_000)]] = Field(
        default=[64, 256], min_length=1, max_length=8
    )
    depths: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        default=[0.0, 0.5, 1.0], min_length=1, max_length=11
    )
    seeds: int = Field(default=2, ge=1, le=16)
    """Drawn needles in a cell."""
    needles: str | None = Field(default=None, max_length=4096)
    """The key of a set of needles; drawn when left out."""
    ratio: int | None = Field(default=None, ge=1, le=64)
    recall: Literal["top", "all"] = "top"


class ProbeRunItem(ProbeDocument):
    """A run that is finished or still growing."""

    run_id: int
    created_at: str
    settings: dict[str, object]
    job: JobItem | None


class ProbeRunsDocument(BaseModel):
    """Runs, newest first."""

    runs: list[ProbeRunItem]
    jobs: list[JobItem]
    """Runs that are waiting or under way."""


class TrialsDocument(BaseModel):
    """What happened in one cell, needle by needle."""

    trials: list[dict[str, object]]


class ModelItem(BaseModel):
    """The model that answers."""

    name: str
    ready: bool
    detail: str


class SessionDocument(BaseModel):
    """Who is signed in, and what this server is."""

    user: str
    role: str
    csrf: str
    model: ModelItem
    offline: bool
    version: str


class UserItem(BaseModel):
    """An account."""

    user_id: str
    name: str
    role: str
    has_password: bool
    videos: list[str]
    """Granted to a viewer."""


class UsersDocument(BaseModel):
    """Every account."""

    users: list[UserItem]


class NewUserBody(Body):
    """An account to open."""

    name: str = Field(pattern=r"^[\w.@-]{1,64}$")
    password: str = Field(min_length=10, max_length=1024)
    role: Literal["admin", "viewer"] = "viewer"


class ChangeUserBody(Body):
    """What changes of an account."""

    password: str | None = Field(default=None, min_length=10, max_length=1024)
    role: Literal["admin", "viewer"] | None = None
    videos: list[str] | None = Field(default=None, max_length=1000)


class TokenItem(BaseModel):
    """A token as its owner sees it later."""

    token_id: int
    name: str
    created_at: str
    expires_at: str | None
    used_at: str | None


class TokensDocument(BaseModel):
    """One's own tokens."""

    tokens: list[TokenItem]


class NewTokenBody(Body):
    """A token to hand out."""

    name: str = Field(min_length=1, max_length=64)
    days: int = Field(default=90, ge=1, le=3650)


class NewTokenDocument(TokenItem):
    """A token, with the secret that is shown once."""

    secret: str


class FactItem(BaseModel):
    """A line of the settings page."""

    name: str
    value: str
    setting: str


class OutwardItem(BaseModel):
    """A connection that would leave this machine, and when."""

    what: str
    when: str
    now: str


class SettingsDocument(BaseModel):
    """How this server is configured, and what could ever leave it."""

    facts: list[FactItem]
    outward: list[OutwardItem]
    file: str
