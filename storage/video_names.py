"""Names of videos: free ones, the one that is meant, and those that may have been."""

from difflib import get_close_matches
from pathlib import PurePath

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.errors import NotFoundError
from storage.tables import VideoTable


def no_video(session: Session, wanted: str) -> NotFoundError:
    """Return the error for a missing name or id; it names those that may have been meant."""
    names = tuple(session.scalars(select(VideoTable.name).order_by(VideoTable.name)))
    if not names:
        return NotFoundError(
            f"no video {wanted!r}: the library is empty", hint="ingest a video first"
        )
    by_lower = {name.lower(): name for name in names}
    near = [by_lower[name] for name in get_close_matches(wanted.lower(), by_lower, n=3, cutoff=0.5)]
    near += [name for name in names if wanted.lower() in name.lower() and name not in near]
    meant = f"; did you mean {', '.join(map(repr, near[:3]))}?" if near else ""
    return NotFoundError(f"no video {wanted!r}{meant}", hint="list the videos to see every name")


def meant_name(session: Session, wanted: str) -> str | None:
    """Return the only name that can be meant; `None` where there is none, or more than one."""
    names = tuple(session.scalars(select(VideoTable.name)))
    if wanted in names:
        return wanted
    if not wanted.strip():
        return None
    path = PurePath(wanted)
    for rule in (
        lambda name: name.lower() == wanted.lower(),
        lambda name: name.lower() in {path.name.lower(), path.stem.lower()},
        lambda name: name.lower().startswith(wanted.lower()),
    ):
        fitting = [name for name in names if rule(name)]
        if fitting:
            return fitting[0] if len(fitting) == 1 else None
    return None


def free_name(session: Session, name: str) -> str:
    """Return the name itself, or with the first number behind it that is free."""

    def is_taken(candidate: str) -> bool:
        query = select(VideoTable.id).where(VideoTable.name == candidate)
        return session.scalar(query) is not None

    number, candidate = 2, name
    while is_taken(candidate):
        number, candidate = number + 1, f"{name} {number}"
    return candidate
