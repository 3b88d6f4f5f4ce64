"""An index follows the folders on disk, whichever process writes them."""

from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

from engine.files import is_settled
from engine.protocols import VectorIndex
from engine.records import VideoId


@runtime_checkable
class ChangeTimes(Protocol):
    """A store of folders, one a video, that knows when each last changed, in nanoseconds."""

    def changes_ns(self) -> dict[VideoId, int]:
        """Of every video; nothing is listed or opened."""
        ...

    def changed_at_ns(self, video: VideoId) -> int | None:
        """Of one video; `None` when it is not here."""
        ...


def follow(
    index: VectorIndex,
    folders: ChangeTimes,
    indexed_at_ns: dict[VideoId, int],
    catch_up: Callable[[VideoId], None],
    videos: Iterable[VideoId] | None = None,
) -> None:
    """Bring an index up to what is on disk: what changed is caught up with, what is gone removed.

    Args:
        indexed_at_ns: The change that the index holds of each video; brought up to date.
        catch_up: Reads what is new of a video into the index.
        videos: Only these; `None` looks at all.
    Cost: one look at each video's folder.
    """
    if videos is None:
        changes = folders.changes_ns()
        gone = set(index.refs().videos) - changes.keys()
    else:
        times_ns = {video: folders.changed_at_ns(video) for video in videos}
        changes = {video: at_ns for video, at_ns in times_ns.items() if at_ns is not None}
        gone = times_ns.keys() - changes.keys()
    for removed in gone:
        index.remove(removed)
    new = [item for item in changes.items() if indexed_at_ns.get(item[0]) != item[1]]
    for video, changed_at_ns in sorted(new):
        catch_up(video)
        if is_settled(changed_at_ns):
            indexed_at_ns[video] = changed_at_ns
