"""Opening of files and live feeds; what is unsafe or too large is refused.

The first bytes of a file say what it is, never its name. Allowlists decide everything:
containers, codecs, protocols. Limits hold before the first frame is decoded.
"""

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from engine.errors import (
    LimitExceededError,
    MediaRefusedError,
    MissingCapabilityError,
    SoundOnlyError,
    UnreachableError,
)
from engine.media.address import is_live_uri, redact
from engine.media.duration import duration_s, read_end_s, scan_end_s, starts_late
from engine.media.feed import RtspTransport, open_feed
from engine.media.formats import AUDIO_CODECS, CONTAINERS, VIDEO_CODECS
from engine.media.hls import HlsFeed
from engine.media.sniff import is_jpeg, sniff
from engine.media.stamps import STAMP_BITS

_HEAD_BYTES = 4096
# About half a second of reading; measured at 170 MB/s on two busy cores.
_MEASURED_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """Limits on a source: the most that is accepted, and the picture to read of several.

    A `LimitExceededError` names the field that was passed.
    """

    max_bytes: int = 20 * 2**30
    max_duration_s: float = 24 * 3600.0
    """Of a file; a live feed has no end."""
    max_side_px: int = 8192
    max_fps: float = 240.0
    """Most frames a second that are read of a file; slow motion beyond it is sampled."""
    max_streams: int = 64
    open_timeout_s: float = 15.0
    """Longest wait for the first answer of a feed: a recorder may have to wake its camera first."""
    read_timeout_s: float = 10.0
    allow_http: bool = False
    """Whether http(s) addresses may be opened; nothing is fetched otherwise."""
    rtsp_transport: RtspTransport = "auto"
    """How RTSP cameras send pictures: over TCP, and over UDP where one does that alone."""
    video_track: int | None = None
    """Number of the stream to read of several pictures; `None` reads the main one."""
    reconnect_attempts: int = 8
    """Attempts in a row before a live feed is given up."""
    reconnect_wait_s: float = 1.0
    """Wait before the first attempt; it doubles from one to the next, to at most a minute."""

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_duration_s", "max_side_px", "max_fps", "max_streams"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")

    @property
    def max_pixels(self) -> int:
        """Largest number of pixels of a picture."""
        return self.max_side_px**2


@dataclass(slots=True, kw_only=True)
class Source:
    """An open container and the stream chosen from it; the holder closes it."""

    uri: str
    """For messages: without the name and password of a camera."""
    address: str = field(repr=False)
    container: InputContainer
    stream: VideoStream
    is_live: bool
    warnings: tuple[str, ...]
    end_s: float | None = None
    """Of a file, on its own clock, where the header leaves it open."""
    feed: HlsFeed | None = None
    """What the packets come from, of a playlist."""

    @property
    def has_ended(self) -> bool:
        """Whether a live feed has said that nothing more will come."""
        return self.feed is not None and self.feed.has_ended

    def close(self) -> None:
        """Close the file or connection; may be called twice."""
        self.container.close()

    def reopen(self, limits: MediaLimits, *, while_waiting: Callable[[], None]) -> None:
        """Connect to a live feed again, waiting longer before each attempt.

        Raises:
            UnreachableError: All attempts failed.
        """
        self.close()
        for attempt in range(limits.reconnect_attempts):
            ends_at = time.monotonic() + min(60.0, limits.reconnect_wait_s * 2**attempt)
            while (left_s := ends_at - time.monotonic()) > 0:
                while_waiting()
                time.sleep(min(1.0, left_s))
            try:
                source = open_source(self.address, limits)
            except (UnreachableError, MediaRefusedError):
                continue
            self.container, self.stream = source.container, source.stream
            self.feed = source.feed
            return
        raise UnreachableError(
            f"{self.uri}: the feed broke off and did not come back",
            hint="check the camera and the network, then start again",
        )

    def measure(self, limits: MediaLimits, beat: Callable[[], None]) -> None:
        """Settle `end_s` by reading the packets of a file whose clock may have been set anew.

        The length that FFmpeg takes from the first and the last time stamp is false then. A large
        file is believed until it has been read, unless it would be refused for its length.
        """
        container = self.container
        is_known = self.is_live or self.feed is not None
        if is_known or container.format.name not in STAMP_BITS:
            return
        header_s = (container.duration or 0) / av.time_base
        if container.size > _MEASURED_BYTES and header_s <= limits.max_duration_s:
            return
        with _open_container(self.address, Path(self.address).absolute(), limits) as again:
            self.end_s = scan_end_s(again, self.stream.index, beat)

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_source(uri: str, limits: MediaLimits, *, films: bool = False) -> Source:
    """Open a file or feed by the allowlists and choose its moving picture.

    Args:
        films: Whether a feed is live though its server states a length, as of a loop.
    Raises:
        MediaRefusedError: Not a video, unsafe, or of a kind that is not on the lists.
        LimitExceededError: More bytes, pixels, frames a second or hours than allowed.
        UnreachableError: No such file, or nobody answers at the address.
    """
    # FFmpeg would write a line about every damaged packet to stderr; damage is counted instead.
    av.logging.set_libav_level(av.logging.PANIC)
    end_s: float | None = None
    feed: HlsFeed | None = None
    if is_live_uri(uri):
        container, feed = open_feed(
            uri,
            _options(),
            timeout_s=(limits.open_timeout_s, limits.read_timeout_s),
            allow_http=limits.allow_http,
            films=films,
            transport=limits.rtsp_transport,
        )
    else:
        container, end_s = _open_file(uri, limits)
    shown = redact(uri)
    try:
        stream, warnings = _pick_stream(shown, container, limits)
        _check_stream(shown, stream, limits)
    except BaseException:
        container.close()
        raise
    is_live = is_live_uri(uri) and (films or container.duration is None)
    if feed is not None and feed.is_whole:
        is_live = False
    return Source(
        uri=shown,
        address=uri,
        container=container,
        stream=stream,
        is_live=is_live,
        warnings=warnings,
        end_s=end_s,
        feed=feed,
    )


def open_sound(uri: str, limits: MediaLimits) -> tuple[InputContainer, float | None]:
    """Open a file for its sound alone, by the same allowlists; the caller closes it.

    Returns:
        The file, and its length in seconds if it is known.

    Raises:
        MediaRefusedError: Unsafe, or of a kind that is not on the lists, or without sound.
        LimitExceededError: More bytes, streams or hours than allowed.
        UnreachableError: No such file.
    """
    av.logging.set_libav_level(av.logging.PANIC)
    container, end_s = _open_file(uri, limits)
    length_s = duration_s(container, end_s)
    try:
        _check_streams(uri, container, limits)
        check_duration(uri, length_s or 0.0, limits)
        if not container.streams.audio:
            raise MediaRefusedError(uri, "it holds no sound", hint="give another file")
    except BaseException:
        container.close()
        raise
    return container, length_s


def check_duration(uri: str, length_s: float, limits: MediaLimits) -> None:
    """Raise `LimitExceededError` for a file that is longer than allowed."""
    if length_s > limits.max_duration_s:
        what, length_s = f"{uri}: duration in seconds", round(length_s, 1)
        raise LimitExceededError(what, length_s, limits.max_duration_s, field="max_duration_s")


def _open_file(uri: str, limits: MediaLimits) -> tuple[InputContainer, float | None]:
    """Return a file that may be read, and its end where the header leaves that open."""
    path = Path(uri).absolute()
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise MediaRefusedError(uri, "this is not a file", hint="give a video file")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise UnreachableError(f"{uri}: {reason.lower()}") from error
    if status.st_size > limits.max_bytes:
        raise LimitExceededError(
            f"{uri}: size in bytes", status.st_size, limits.max_bytes, field="max_bytes"
        )
    if reason := sniff(head):
        raise MediaRefusedError(uri, reason, hint="give a video file such as MP4, MKV or TS")
    container = _open_container(uri, path, limits)
    if not starts_late(container):
        return container, None
    end_s = read_end_s(container)
    container.close()
    return _open_container(uri, path, limits), end_s


def _open_container(uri: str, path: Path, limits: MediaLimits) -> InputContainer:
    try:
        return av.open(
            f"file:{path}",
            options=_options() | {"protocol_whitelist": "file"},
            timeout=(limits.open_timeout_s, limits.read_timeout_s),
            metadata_errors="replace",
        )
    except (av.FFmpegError, ValueError) as error:
        if is_jpeg(path):
            raise MediaRefusedError(
                uri, "this is a single picture, not a video", hint="give a video file"
            ) from error
        raise MediaRefusedError(
            uri,
            "damaged or incomplete: no index of a video could be read from it",
            hint="copy or download the file again",
        ) from error


def _options() -> dict[str, str]:
    return {
        "format_whitelist": ",".join(sorted(CONTAINERS)),
        "codec_whitelist": ",".join(sorted(VIDEO_CODECS | AUDIO_CODECS)),
        # FFmpeg's own default: it would hide further tracks without a word.
        "max_streams": "1000",
        # It takes every step back for a wrap of 33 bits; `stamps.py` tells wraps from resets.
        "correct_ts_overflow": "0",
    }


def _pick_stream(
    uri: str, container: InputContainer, limits: MediaLimits
) -> tuple[VideoStream, tuple[str, ...]]:
    """Return the main moving picture of the file, and a warning that names further ones."""
    _check_streams(uri, container, limits)
    still = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    moving = [stream for stream in container.streams.video if not stream.disposition & still]
    if not moving and container.streams.audio:
        raise SoundOnlyError(uri)
    if not moving:
        raise MediaRefusedError(
            uri, "damaged or incomplete: it holds no video stream", hint="copy the file again"
        )
    chosen = _chosen(uri, moving, limits)
    unread = [stream for stream in moving if stream.index != chosen.index]
    for stream in container.streams:
        if stream.index != chosen.index:
            stream.discard = Discard.all
    if not unread:
        return chosen, ()
    names = ", ".join(map(_stream_name, unread))
    return chosen, (f"{len(moving)} video streams; {_stream_name(chosen)} is read, not {names}",)


def _chosen(uri: str, moving: list[VideoStream], limits: MediaLimits) -> VideoStream:
    number = limits.video_track
    if number is None:
        # Previews and sub-streams of cameras may come before the picture itself.
        return max(moving, key=_rank)
    for stream in moving:
        if stream.index == number:
            return stream
    names = " or ".join(map(_stream_name, moving))
    raise MediaRefusedError(uri, f"stream {number} is no picture of it", hint=f"choose {names}")


def _rank(stream: VideoStream) -> tuple[bool, int, bool]:
    """Return what makes a picture the main one: it moves, then is large, then the default.

    Size counts before the mark: whoever joins tracks often leaves it where it was.
    """
    context = stream.codec_context
    n_pixels = 0 if context is None else context.width * context.height
    return stream.frames != 1, n_pixels, bool(stream.disposition & Disposition.default)


def _stream_name(stream: VideoStream) -> str:
    return f"stream {stream.index} ({stream.width}x{stream.height})"


def _check_streams(uri: str, container: InputContainer, limits: MediaLimits) -> None:
    n_streams = len(container.streams)
    if n_streams > limits.max_streams:
        raise LimitExceededError(
            f"{uri}: number of streams", n_streams, limits.max_streams, field="max_streams"
        )


def _check_stream(uri: str, stream: VideoStream, limits: MediaLimits) -> None:
    context = stream.codec_context
    side = limits.max_side_px
    if context is not None and max(context.width, context.height) > side:
        size = f"{context.width}x{context.height}"
        raise LimitExceededError(
            f"{uri}: picture size in pixels", size, f"{side}x{side}", field="max_side_px"
        )
    if context is None:
        raise MissingCapabilityError(
            f"{uri}: no decoder for its video codec is installed", hint="convert it to H.264"
        )
    if context.name not in VIDEO_CODECS:
        raise MediaRefusedError(
            uri, f"video codec {context.name} is not accepted", hint="convert it to H.264"
        )
    # Set on the context, because the option of the same name given to `av.open` has no effect.
    context.options = {"max_pixels": str(limits.max_pixels)}
