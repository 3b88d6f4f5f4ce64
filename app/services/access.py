"""Access of users to videos: the one place where a video is looked up on someone's behalf."""

import re
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from app.services.context import ServiceContext
from engine.errors import NotFoundError
from engine.records import VideoId
from storage.camera_records import CameraRow
from storage.records import CameraId, VideoRow

_PATH = re.compile(r"(?<![\w.:/])/(?:[^/\n'\"<>]+/)+([^/\s:'\"<>]*)")


class Access(Protocol):
    """The videos that someone may see."""

    @property
    def granted(self) -> frozenset[VideoId] | None:
        """The videos of a viewer; `None` for an admin, who sees all."""

    def may_see(self, video: VideoId) -> bool:
        """Tell whether a video exists for this user."""

    def may_see_camera(self, camera: CameraId) -> bool:
        """Tell whether a camera exists for this user."""


@dataclass(frozen=True, slots=True)
class _FullAccess:
    granted: None = None

    def may_see(self, video: VideoId) -> bool:
        """Tell whether a video may be seen: every one."""
        return True

    def may_see_camera(self, camera: CameraId) -> bool:
        """Tell whether a camera may be seen: every one."""
        return True


FULL_ACCESS = _FullAccess()
"""Access of whoever runs a command: the files of the library are theirs already."""


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


def find_named_video(context: ServiceContext, name: str, access: Access) -> VideoRow:
    """Return a video that a user may see by its id, else by its name as it stands.

    Raises:
        NotFoundError: No such video, or it was not granted.
    """
    rows = visible_videos(context, access)
    named = [row for row in rows if row.id == name] or [row for row in rows if row.name == name]
    if not named:
        raise NotFoundError(f"no video {name!r}")
    return named[0]


def find_camera(context: ServiceContext, camera: str, access: Access = FULL_ACCESS) -> CameraRow:
    """Return a camera that someone may see, by its id or its name in whatever case.

    Raises:
        NotFoundError: No such camera, or it was not granted: nobody learns names by guessing.
    """
    rows = visible_cameras(context, access)
    named = [row for row in rows if row.id == camera]
    named += [row for row in rows if row.name.casefold() == camera.strip().casefold()]
    if named:
        return named[0]
    names = ", ".join(row.name for row in rows)
    hint = f"there are {names}" if names else "`longwatch cameras add` adds the first"
    raise NotFoundError(f"no camera {camera!r}", hint=hint)


def visible_cameras(context: ServiceContext, access: Access = FULL_ACCESS) -> tuple[CameraRow, ...]:
    """Return every camera that someone may see, by name."""
    rows = context.catalog.cameras.list()
    return tuple(row for row in rows if access.may_see_camera(row.id))


def visible_videos(context: ServiceContext, access: Access = FULL_ACCESS) -> tuple[VideoRow, ...]:
    """Return every video that someone may see, oldest first."""
    return tuple(row for row in context.catalog.videos.list() if access.may_see(row.id))


def newest_videos(
    context: ServiceContext, access: Access, *, words: str = "", limit: int
) -> tuple[VideoRow, ...]:
    """Return the latest videos that someone may see, newest first.

    Args:
        words: Only those whose names hold each of these.
        limit: The most.
    """
    wanted = words.casefold().split()
    rows = reversed(visible_videos(context, access))
    named = (row for row in rows if all(word in row.name.casefold() for word in wanted))
    return tuple(islice(named, limit))
