"""HLS playlists as text: which segments there are, of what length, and where the clock is set.

Source: RFC 8216, 4 (playlists); 6.3 (what a client does with them).
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_MAX_TARGET_S: Final = 300.0
_ATTRIBUTE: Final = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",]*)')
_IV: Final = re.compile(r"0[xX]([0-9a-fA-F]{1,32})")
_RANGE: Final = re.compile(r"(\d{1,15})(?:@(\d{1,15}))?")


class PlaylistError(ValueError):
    """Text that is no playlist, or one of a kind that is not read; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentKey:
    """The key that segments are encrypted with: AES-128 in CBC mode."""

    uri: str
    """Of the 16 bytes of the key."""
    iv: bytes | None
    """16 bytes; `None` means the number of the segment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A file, or a part of one, that is fetched in one piece."""

    uri: str
    """As the playlist has it, which is relative to its own address."""
    span: tuple[int, int] | None = None
    """First byte and number of bytes, of a part of a file."""
    key: SegmentKey | None = None
    """Where it is encrypted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaylistSegment:
    """A stretch of the video."""

    sequence: int
    resource: Resource
    length_s: float
    is_clock_set: bool
    """Whether its clock has nothing to do with that of the segment before it."""
    is_missing: bool
    """Whether the playlist names it and says that it is not there."""
    header: Resource | None
    """Of segments of MP4: what stands before each of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPlaylist:
    """The segments of one video, or of the part of it that can be had now."""

    segments: tuple[PlaylistSegment, ...]
    target_s: float
    """Longest segment there may be; a live playlist is renewed about this often."""
    has_ended: bool

    @property
    def length_s(self) -> float:
        """Seconds of all segments."""
        return sum(segment.length_s for segment in self.segments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of several playlists of the same video."""

    uri: str
    n_pixels: int
    bits_per_s: int


def parse_playlist(text: str) -> MediaPlaylist | tuple[Variant, ...]:
    """Return the segments of a playlist, or the playlists that it offers.

    Raises:
        PlaylistError: It is none, is encrypted in another way than AES-128, or makes no sense.
    """
    lines = [line.strip() for line in text.removeprefix("\ufeff").splitlines()]
    if not lines or lines[0] != "#EXTM3U":
        raise PlaylistError("this is no playlist")
    if any(line.startswith("#EXT-X-STREAM-INF:") for line in lines):
        return tuple(_variants(lines))
    return _media(lines)


def _variants(lines: list[str]) -> Iterator[Variant]:
    offered: dict[str, str] | None = None
    for line in lines:
        if line.startswith("#EXT-X-STREAM-INF:"):
            offered = _attributes(line)
        elif line and not line.startswith("#") and offered is not None:
            width, _, height = offered.get("RESOLUTION", "").partition("x")
            n_pixels = _whole(width, 0) * _whole(height, 0)
            bits_per_s = _whole(offered.get("BANDWIDTH", ""), 0)
            yield Variant(uri=line, n_pixels=n_pixels, bits_per_s=bits_per_s)
            offered = None


def _media(lines: list[str]) -> MediaPlaylist:
    segments: list[PlaylistSegment] = []
    sequence, target_s, has_ended = 0, 0.0, False
    length_s, is_clock_set, is_missing = 0.0, False, False
    header: Resource | None = None
    key: SegmentKey | None = None
    span_text, span_end = "", 0
    for line in lines:
        tag, _, value = line.partition(":")
        if tag == "#EXT-X-MEDIA-SEQUENCE":
            sequence = _whole(value, 0)
        elif tag == "#EXT-X-TARGETDURATION":
            target_s = _seconds(value)
        elif tag == "#EXT-X-ENDLIST":
            has_ended = True
        elif tag == "#EXT-X-DISCONTINUITY":
            is_clock_set = True
        elif tag == "#EXT-X-GAP":
            is_missing = True
        elif tag == "#EXT-X-KEY":
            key = _key(_attributes(line))
        elif tag == "#EXT-X-MAP":
            attributes = _attributes(line)
            if key is not None and key.iv is None:
                raise PlaylistError("it is encrypted, and does not say how it begins")
            header = Resource(
                uri=attributes.get("URI", ""),
                span=_span(attributes.get("BYTERANGE", ""), 0),
                key=key,
            )
        elif tag == "#EXT-X-BYTERANGE":
            span_text = value
        elif tag == "#EXTINF":
            length_s = _seconds(value.partition(",")[0])
        elif line and not line.startswith("#"):
            span = _span(span_text, span_end)
            segments.append(
                PlaylistSegment(
                    sequence=sequence + len(segments),
                    resource=Resource(uri=line, span=span, key=key),
                    length_s=length_s,
                    is_clock_set=is_clock_set,
                    is_missing=is_missing,
                    header=header,
                )
            )
            span_end = sum(span) if span is not None else 0
            length_s, is_clock_set, is_missing, span_text = 0.0, False, False, ""
    longest_s = max((segment.length_s for segment in segments), default=0.0)
    target_s = min(_MAX_TARGET_S, max(target_s, longest_s, 0.5))
    return MediaPlaylist(segments=tuple(segments), target_s=target_s, has_ended=has_ended)


def _key(attributes: dict[str, str]) -> SegmentKey | None:
    method, iv = attributes.get("METHOD", ""), _IV.fullmatch(attributes.get("IV", ""))
    if method == "NONE":
        return None
    if method != "AES-128" or attributes.get("KEYFORMAT", "identity") != "identity":
        raise PlaylistError("it is encrypted in a way that is not read here")
    if "IV" in attributes and iv is None:
        raise PlaylistError("it is encrypted, and does not say how it begins")
    return SegmentKey(
        uri=attributes.get("URI", ""),
        iv=None if iv is None else bytes.fromhex(iv[1].rjust(32, "0")),
    )


def _attributes(line: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in _ATTRIBUTE.findall(line.partition(":")[2])}


def _span(text: str, at: int) -> tuple[int, int] | None:
    """Return first byte and length; a span without a beginning follows the one before it."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        return None
    return int(match[2]) if match[2] else at, int(match[1])


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and value > 0 else 0.0


def _whole(text: str, default: int) -> int:
    return int(text) if re.fullmatch(r"\d{1,15}", text.strip()) else default
