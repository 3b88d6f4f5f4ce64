"""Bytes of fragmented MP4 as a muxer hands them out."""

import io
from typing import Any, Final

FRAGMENTED: Final = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof",
    "frag_duration": "1000000",
    "flush_packets": "1",
}
"""FFmpeg's options: a fragment about every second, and a header that comes first."""


class MuxedBytes(io.RawIOBase):
    """Memory that is written to and taken away, without a way back."""

    def __init__(self) -> None:
        self._data = bytearray()

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return False: what was taken away cannot be changed."""
        return False

    def write(self, data: Any) -> int:
        """Keep bytes, and return how many."""
        self._data += bytes(data)
        return len(data)

    def take(self) -> bytes:
        """Return what was written since the last time."""
        data = bytes(self._data)
        self._data.clear()
        return data
