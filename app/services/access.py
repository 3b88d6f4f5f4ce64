"""Access of users to videos: the one place where a video is looked up on someone's behalf."""

import re
from dataclasses import dataclass
from typing import Protocol

from app.services.context import ServiceContext
from engine.errors import NotFoundError
from engine.records import VideoId
from storage.records import VideoRow

_PATH = re.compile(r"(?<![\w.:/])/(?:[^/\n'\"<>]+/)+([^/\s:'\"<>]*)")


class Access(Protocol):
    """The videos that someone may see."""

    @property
    def granted(self) -> frozenset[VideoId] | None:
        """The videos of a viewer; `None` for an admin, who sees all."""

    def may_see(self, video: VideoId) -> bool:
        """Tell whether a video exists for this user."""


@dataclass(frozen=True, slots=True)
class _FullAccess:
    granted: None = None

    def may_see(self, video: VideoId) -> bool:
        """Tell whether a video may be seen: every one."""
        return True


FULL_ACCESS = _FullAccess()
"""Of whoever runs a command: the files of the library are theirs already."""


def visible_text(text: str | None, access: Access | None) -> str | None:
    """Return a text as someone may read it: of a path on the server, viewers see the last part.

    Args:
        access: `None` for a stranger.
    """
    if text is None or (access is not None and access.granted is None):
        return text
    return _PATH.sub(r"\1", text)


def find_video(context: ServiceContext, video: str, access: Access = FULL_ACCESS) -> VideoRow:
    """Return a video by its id; on the command line, where access is full, by its name too.

    To those who may not see it a video does not exist, so that nobody learns names by guessing.

    Raises:
        NotFoundError: No such video, or it was not granted.
    """
    if access is FULL_ACCESS:
        return context.catalog.videos.resolve(video)
    if not access.may_see(VideoId(video)):
        raise NotFoundError(f"no video {video!r}")
    return context.catalog.videos.get(VideoId(video))


def visible_videos(context: ServiceContext, access: Access = FULL_ACCESS) -> tuple[VideoRow, ...]:
    """Return every video that someone may see, oldest first."""
    return tuple(row for row in context.catalog.videos.list() if access.may_see(row.id))
