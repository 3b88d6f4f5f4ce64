"""Tags of a container as text, with the clock of a recorder's header among them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from engine.media.wall_clock import RECORDER_TAG, clock_of_header

_HEAD_BYTES: Final = 4096
_MAX_TAGS, _MAX_TAG_CHARS = 64, 1000


def read_tags(
    address: str, container: str, metadata: Mapping[str, str], stream_metadata: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Return the tags of a source, bounded in number and length.

    Args:
        address: Of the file, whose header is read where recorders of this kind put their clock.
        container: FFmpeg's name of the format.
        metadata: Of the container.
        stream_metadata: Of the track that is read; some cameras date the track alone.
    """
    values = dict(metadata)
    if "creation_time" in stream_metadata:
        values.setdefault("creation_time", stream_metadata["creation_time"])
    values.pop(RECORDER_TAG, None)
    tags = [
        (str(key)[:_MAX_TAG_CHARS], str(value)[:_MAX_TAG_CHARS])
        for key, value in list(values.items())[: _MAX_TAGS - 1]
    ]
    if container == "dhav":
        with Path(address).open("rb") as file:
            recorded_at = clock_of_header(file.read(_HEAD_BYTES))
        if recorded_at is not None:
            tags.append((RECORDER_TAG, recorded_at.isoformat()))
    return tuple(tags)
