"""What videos are called: names that are free, and names that may have been meant."""

from difflib import get_close_matches

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.errors import NotFoundError
from storage.tables import VideoTable


def no_video(session: Session, wanted: str) -> NotFoundError:
    """The error for a name or id that is not there; it names those that may have been meant."""
    names = tuple(session.scalars(select(VideoTable.name).order_by(VideoTable.name)))
    if not names:
        return NotFoundError(
            f"no video {wanted!r}: the library is empty", hint="run `longwatch ingest FILE`"
        )
    lowered = {name.lower(): name for name in names}
    near = [lowered[name] for name in get_close_matches(wanted.lower(), lowered, n=3, cutoff=0.5)]
    near += [name for name in names if wanted.lower() in name.lower() and name not in near]
    meant = f"; did you mean {', '.join(map(repr, near[:3]))}?" if near else ""
    return NotFoundError(f"no video {wanted!r}{meant}", hint="`longwatch videos list` shows all")


def free_name(session: Session, name: str) -> str:
    """The name itself, or with the first number behind it that nobody has."""

    def taken(candidate: str) -> bool:
        query = select(VideoTable.id).where(VideoTable.name == candidate)
        return session.scalar(query) is not None

    number, free = 2, name
    while taken(free):
        number, free = number + 1, f"{name} {number}"
    return free
