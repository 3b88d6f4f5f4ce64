"""Fields of the search page, as its address and a request say them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.schemas.search import FrameRef, SearchRequest
from app.services.search import check_kinds
from app.timefmt import parse_time
from engine.errors import NotFoundError

KINDS: Final = {
    "": "Any kind",
    "vector": "look",
    "object": "object",
    "text": "print",
    "speech": "speech",
    "motion": "movement",
    "caption": "description",
}
"""Sources of moments, as people know them."""
TOP: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFields:
    """Contents of the fields."""

    query: str = ""
    videos: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    kind: str = ""
    after: str = ""
    before: str = ""
    hours: str = ""
    is_grouped: bool = False
    like: str = ""
    """A frame in place of words, as `VIDEO@SECONDS`."""
    top: int = TOP

    @classmethod
    def of_address(cls, state: Mapping[str, str]) -> "SearchFields":
        """Return what an address says."""
        kind = state.get("kind", "")
        return cls(
            query=state.get("q", ""),
            videos=tuple(filter(None, state.get("v", "").split(","))),
            cameras=tuple(filter(None, state.get("camera", "").split(","))),
            kind=kind if kind in KINDS else "",
            after=state.get("after", ""),
            before=state.get("before", ""),
            hours=state.get("time", ""),
            is_grouped=state.get("group") == "1",
            like=state.get("like", ""),
        )

    def address(self) -> dict[str, str]:
        """Return the address that says the same."""
        return {
            "q": self.query,
            "v": ",".join(self.videos),
            "camera": ",".join(self.cameras),
            "after": self.after,
            "before": self.before,
            "time": self.hours,
            "kind": self.kind,
            "like": self.like,
            "group": "1" if self.is_grouped else "",
        }

    def body(self) -> SearchRequest:
        """Return the search itself."""
        return SearchRequest(
            query=self.query,
            like=frame_of(self.like),
            videos=list(self.videos),
            cameras=list(self.cameras),
            after=_bound(self.after),
            before=_bound(self.before),
            time_of_day=self.hours or None,
            kinds=list(check_kinds([self.kind] if self.kind else [])),
            top=self.top,
        )


def frame_of(like: str) -> FrameRef | None:
    """Return the frame of an address, such as `VIDEO@SECONDS`; `None` where there is none.

    Raises:
        NotFoundError: It names none.
    """
    video, _, time_s = like.rpartition("@")
    if not like:
        return None
    try:
        return FrameRef(video_id=video, time_s=float(time_s))
    except ValueError as error:
        raise NotFoundError("the frame of this link is not to be found") from error


def _bound(text: str) -> float | datetime | None:
    return parse_time(text) if text else None
