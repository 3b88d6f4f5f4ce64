"""Tags of videos: what may be one, and how they are changed."""

from collections.abc import Iterable
from typing import Final

from app.services.context import ServiceContext
from app.services.sidecar import save_sidecar
from engine.errors import InputRefusedError
from storage.records import VideoRow

MAX_TAG_CHARS: Final = 40
MAX_TAGS: Final = 20


def tag_video(
    context: ServiceContext,
    video: VideoRow,
    *,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
) -> VideoRow:
    """Add tags to a video and remove others; case makes no other tag.

    Raises:
        InputRefusedError: One cannot be a tag, or there would be too many; nothing is changed then.
    """
    tags = changed_tags(video, add=add, remove=remove)
    if tags == video.tags:
        return video
    row = context.catalog.videos.set_tags(video.id, tags)
    save_sidecar(context, row)
    return row


def changed_tags(
    video: VideoRow, *, add: Iterable[str] = (), remove: Iterable[str] = ()
) -> tuple[str, ...]:
    """Return the tags that a video would have after a change.

    Raises:
        InputRefusedError: One cannot be a tag, or there would be too many.
    """
    tags = {tag.casefold(): tag for tag in video.tags}
    for tag in map(check_tag, remove):
        tags.pop(tag.casefold(), None)
    for tag in map(check_tag, add):
        tags.setdefault(tag.casefold(), tag)
    if len(tags) > MAX_TAGS:
        raise InputRefusedError(
            f"{video.name} would have {len(tags)} tags, the most are {MAX_TAGS}",
            hint="remove some of them first",
        )
    return tuple(sorted(tags.values(), key=str.casefold))


def check_tag(tag: str) -> str:
    """Return a tag with single spaces between its words.

    Raises:
        InputRefusedError: It is empty, too long, or holds commas or control characters.
    """
    shown = " ".join(tag.split())
    if not 0 < len(shown) <= MAX_TAG_CHARS or not shown.isprintable() or "," in shown:
        raise InputRefusedError(
            f"{tag[:MAX_TAG_CHARS]!r} cannot be a tag",
            hint=f"use 1 to {MAX_TAG_CHARS} characters without a comma",
        )
    return shown
