"""Records of verdicts: moments that people confirmed or rejected."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NewType

from engine.records import TimeSpan, VideoId
from storage.records import UserId

VerdictId = NewType("VerdictId", int)
VerdictOrigin = Literal["search", "answer"]
"""The place of a moment that was judged: among hits of a search, or below an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A moment that someone confirmed or rejected, with what had been asked."""

    video: VideoId
    span: TimeSpan
    peak_s: float
    """The frame that was shown of it."""
    query: str
    is_right: bool
    origin: VerdictOrigin
    kind: str = ""
    """The source of a hit, such as `vector` or `object`; that of evidence, such as `retrieval`."""
    score: float | None = None
    """As it was shown with the moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRow:
    """A verdict as it is kept."""

    id: VerdictId
    user: UserId | None
    """`None` once the account is gone."""
    account: str | None
    """The name of the account; read in lists alone."""
    verdict: Verdict
    created_at: datetime
    updated_at: datetime
