"""Fields of the library page: as an address says them, and as a query."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.services.library_query import LibraryQuery, check_query

SORTS: Final = {
    "Newest first": "newest",
    "By wall clock": "filmed",
    "By name": "name",
    "Longest first": "longest",
}
_MOST_DIGITS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryFields:
    """Contents of the fields."""

    text: str = ""
    sort: str = "newest"
    tags: tuple[str, ...] = ()
    observed: str = ""
    camera: str = ""
    since: str = ""
    until: str = ""
    page: int = 1

    @classmethod
    def of_address(cls, state: Mapping[str, str]) -> "LibraryFields":
        """Return what an address says."""
        page = state.get("p", "")  # `page` is a parameter of Gradio's own.
        return cls(
            text=state.get("q", ""),
            sort=state.get("sort", "newest"),
            tags=tuple(filter(None, state.get("tag", "").split(","))),
            observed=state.get("seen", ""),
            camera=state.get("camera", ""),
            since=state.get("since", ""),
            until=state.get("until", ""),
            page=int(page) if page.isdecimal() and len(page) <= _MOST_DIGITS else 1,
        )

    @property
    def address(self) -> dict[str, str]:
        """The address that says the same."""
        return {
            "q": self.text,
            "sort": "" if self.sort == "newest" else self.sort,
            "tag": ",".join(self.tags),
            "seen": self.observed,
            "camera": self.camera,
            "since": self.since,
            "until": self.until,
            "p": str(self.page) if self.page > 1 else "",
        }

    @property
    def is_narrow(self) -> bool:
        """Whether videos are left out."""
        kept = (self.text, self.tags, self.observed, self.camera, self.since, self.until)
        return any(kept)

    def query(self) -> LibraryQuery:
        """Return the query itself.

        Raises:
            InputRefusedError: A day that is none, or days the wrong way round.
        """
        return check_query(
            text=self.text,
            tags=self.tags,
            camera=self.camera,
            observed=self.observed,
            since=self.since,
            until=self.until,
            sort=self.sort,
        )
