"""Answers with a part of something that has a length and no file: one range of bytes, RFC 9110."""

import re
from collections.abc import Callable, Iterator

from fastapi.responses import Response, StreamingResponse

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def ranged_response(
    n_bytes: int,
    read: Callable[[int, int], Iterator[bytes]],
    *,
    wanted: str | None,
    media_type: str,
) -> Response:
    """Return the bytes that a request wants, read piece by piece.

    Args:
        read: Yields the bytes from a start to an end.
        wanted: The header `Range`; all where it is missing or names several ranges.
    """
    headers = {"accept-ranges": "bytes", "cache-control": "private, no-cache"}
    match = None if wanted is None else _RANGE.fullmatch(wanted.strip())
    if match is None or not (match[1] or match[2]):
        headers["content-length"] = str(n_bytes)
        return StreamingResponse(read(0, n_bytes), media_type=media_type, headers=headers)
    if match[1]:
        start = int(match[1])
        end = min(n_bytes, int(match[2]) + 1) if match[2] else n_bytes
    else:
        start, end = max(0, n_bytes - int(match[2])), n_bytes
    if start >= end:
        return Response(status_code=416, headers={"content-range": f"bytes */{n_bytes}"})
    headers |= {
        "content-length": str(end - start),
        "content-range": f"bytes {start}-{end - 1}/{n_bytes}",
    }
    return StreamingResponse(read(start, end), 206, media_type=media_type, headers=headers)
