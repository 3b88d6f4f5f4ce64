"""Reasons for which a feed gives no video, in words that say what to check."""

import errno
import urllib.error
from typing import Final

import av

from engine.errors import UnreachableError

_NO_ROUTE: Final = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN}
_NOT_FOUND: Final = (404, 410)


def unreachable(shown: str, cause: BaseException | int | None, *, is_web: bool) -> UnreachableError:
    """Return the error of an address that gives no video.

    Args:
        shown: The address without its secrets.
        cause: The exception of whoever connected, or the status that a server answered with.
        is_web: Whether FFmpeg spoke to the server itself: then what it got is known.
    """
    if isinstance(cause, urllib.error.URLError) and isinstance(cause.reason, BaseException):
        cause = cause.reason
    reason, hint = _reason(cause, is_web=is_web)
    return UnreachableError(f"{shown}: {reason}", hint=hint)


def _reason(cause: BaseException | int | None, *, is_web: bool) -> tuple[str, str]:
    if isinstance(cause, ConnectionRefusedError):
        return (
            "nobody answers there: nothing listens at that port",
            "check the port, and that the camera has this service switched on",
        )
    if isinstance(cause, OSError) and cause.errno in _NO_ROUTE:
        return "nobody answers there: no way leads to that host", "check the host and the network"
    if isinstance(cause, TimeoutError | av.error.ExitError):
        return (
            "nobody answers there in time",
            "check the host, the network and whatever filters it",
        )
    if isinstance(cause, av.error.HTTPNotFoundError) or cause in _NOT_FOUND:
        return (
            "the camera answers, and has nothing at that path",
            "check what stands behind the host; each make has paths of its own",
        )
    is_faulty = isinstance(cause, av.error.HTTPServerError)
    if is_faulty or (isinstance(cause, int) and cause >= 500):
        return "the camera answers with an error of its own", "start it again, or try again later"
    is_other = isinstance(cause, av.error.InvalidDataError | av.error.EOFError)
    if is_web and (is_other or (isinstance(cause, OSError) and cause.errno == errno.EIO)):
        return (
            "what answers there sends no video that is read here",
            "give the address of the stream itself: pages, single pictures and redirects are none",
        )
    return (
        "nobody answers there with video",
        "check the address, the camera and the network",
    )
