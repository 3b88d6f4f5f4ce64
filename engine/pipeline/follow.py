"""An index follows the folders on disk, whichever process writes them.

*Decision*: whoever writes below a folder of videos sets its time anew, and while that stands still
no video is looked at. *Because* a look at each of thousands of folders costs every question
milliseconds, and finds nothing nearly always. What was changed by hand is found within a minute.

*Decision*: from an index that others write to, nothing is removed because its folder is not here.
*Because* whoever deletes a video removes it there too, and a folder that is not mounted must not
empty the index of everybody.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from engine.files import is_settled
from engine.protocols import SharedIndex, VectorIndex
from engine.records import VideoId

LOOK_AGAIN_S: Final = 60.0
"""Seconds after which all folders are looked at, although no change was noted."""


@runtime_checkable
class ChangeTimes(Protocol):
    """A store of folders, one a video, that knows when each last changed, in nanoseconds."""

    def changes_ns(self) -> dict[VideoId, int]:
        """Of every video; nothing is listed or opened."""
        ...

    def changed_at_ns(self, video: VideoId) -> int | None:
        """Of one video; `None` when it is not here."""
        ...

    def look_again(self, video: VideoId) -> None:
        """Have the files of one listed anew, however lately they were."""
        ...

    def noted_at_ns(self) -> int:
        """Of any of them, as whoever writes notes it; 0 where nobody has."""
        ...


@dataclass(slots=True)
class Followed:
    """Changes of the folders that an index holds."""

    at_ns: dict[VideoId, int] = field(default_factory=dict)
    """The change that it holds of each video."""
    noted_at_ns: int = -1
    """The change up to which it holds all of them; -1 where nobody knows."""
    looked_at_s: float = -math.inf
    """When all of them were looked at, on the clock of `time.monotonic`."""
    n_forgotten: int = 0

    def forget(self, video: VideoId) -> None:
        """Have a video looked at anew."""
        self.at_ns.pop(video, None)
        self.noted_at_ns = -1
        self.n_forgotten += 1

    def is_abreast(self, noted_at_ns: int) -> bool:
        """Tell whether nothing has changed since all were looked at, a moment ago."""
        is_recent = time.monotonic() - self.looked_at_s < LOOK_AGAIN_S
        return is_recent and noted_at_ns == self.noted_at_ns


def follow(
    index: VectorIndex,
    folders: ChangeTimes,
    followed: Followed,
    catch_up: Callable[[VideoId], bool],
    videos: Iterable[VideoId] | None = None,
) -> None:
    """Bring an index up to what is on disk: what changed is caught up with, what is gone removed.

    Args:
        index: To bring up to date.
        folders: Of the videos.
        followed: How far it is; brought up to date.
        catch_up: Reads what is new of a video into the index; tells whether all could be read that
            ever will be, else it is asked again.
        videos: Only these; `None` looks at all.
    Cost: one look at each video's folder, or at none where nobody has written since the last.
    """
    is_shared = isinstance(index, SharedIndex)
    if isinstance(index, SharedIndex):
        for video in index.removed_elsewhere():
            followed.forget(video)
            folders.look_again(video)
    n_forgotten = followed.n_forgotten
    if videos is None:
        looked_at_s, noted_at_ns = time.monotonic(), folders.noted_at_ns()
        if followed.is_abreast(noted_at_ns):
            return
        # In this order: what another thread adds in between has its folder before it is indexed.
        indexed = set() if is_shared else set(index.refs().videos)
        changes = folders.changes_ns()
        gone = indexed - changes.keys()
    else:
        times_ns = {video: folders.changed_at_ns(video) for video in videos}
        changes = {video: at_ns for video, at_ns in times_ns.items() if at_ns is not None}
        gone = set() if is_shared else times_ns.keys() - changes.keys()
    for removed in gone:
        index.remove(removed)
    new = [item for item in changes.items() if followed.at_ns.get(item[0]) != item[1]]
    is_whole = True
    for video, changed_at_ns in sorted(new):
        has_all = catch_up(video)
        if is_shared:
            # A list of a moment ago may not know yet that another machine has deleted it.
            folders.look_again(video)
        if folders.changed_at_ns(video) is None:
            # Deleted meanwhile: what was read of it before must not come back.
            index.remove(video)
            continue
        is_whole = is_whole and has_all
        if has_all and is_settled(changed_at_ns):
            followed.at_ns[video] = changed_at_ns
    # What another thread had forgotten meanwhile may not be among what was looked at.
    is_current = is_whole and n_forgotten == followed.n_forgotten
    if videos is None and is_settled(noted_at_ns) and is_current:
        followed.noted_at_ns, followed.looked_at_s = noted_at_ns, looked_at_s
