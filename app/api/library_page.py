"""Pages of the library: cursors that clients hand back as they came."""

import base64
import binascii
from datetime import UTC, datetime
from urllib.parse import urlencode

from engine.errors import InputRefusedError
from engine.records import VideoId
from storage.records import PageCursor, VideoRow

MAX_LIMIT = 500


def cursor_behind(row: VideoRow) -> str:
    """What stands for the place behind a video."""
    text = f"{row.created_at.isoformat()} {row.id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place_of(cursor: str) -> PageCursor:
    """The place that a cursor stands for.

    Raises:
        InputRefusedError: It was not given out here.
    """
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        moment, _, video = text.partition(" ")
        created_at = datetime.fromisoformat(moment)
        if created_at.tzinfo is None or not video or not video.isprintable():
            raise ValueError("no time zone, or no video")
        created_at = created_at.astimezone(UTC)
    except (ValueError, OverflowError, binascii.Error) as error:
        raise InputRefusedError(
            f"cursor {cursor!r} was not given out here", hint="take it from `next` of a page"
        ) from error
    return PageCursor(created_at=created_at, id=VideoId(video))


def link_to(path: str, limit: int, cursor: str) -> str:
    """The `Link` header of a page that has a next one (RFC 8288)."""
    return f'<{path}?{urlencode({"limit": limit, "cursor": cursor})}>; rel="next"'
