"""HLS as one stream of bytes: segments fetched one after the other from addresses that are checked.

Decision: playlists are read here and not by FFmpeg, which looks hosts up by itself, follows
redirects, and opens whatever a playlist names. Each host that a playlist names is checked as that
of a camera is (engine/media/fetch.py); FFmpeg is given bytes, and the one container that they are
in. So segments are deciphered here too, where they are encrypted with AES-128.
Decision: a segment is fetched whole before any of it is handed on, so that one that breaks off is
fetched again and never torn.
Decision: where a playlist says that the clock was set, or segments were missed, the reader of time
stamps is told so by position in the stream, because stamps alone cannot say which it was.

Source: RFC 8216, 6.3.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult

from engine.errors import FeedRefusedError, MediaRefusedError, UnreachableError
from engine.media.address import IpAddress
from engine.media.fetch import Fetcher, GoneError
from engine.media.playlist import (
    MediaPlaylist,
    PlaylistError,
    PlaylistSegment,
    Resource,
    SegmentKey,
    Variant,
    parse_playlist,
)

MPEGTS: Final = "mpegts"
MP4: Final = "mov,mp4,m4a,3gp,3g2,mj2"
_MAX_PLAYLIST_BYTES: Final = 1 << 24
"""16 MiB: a day in segments of a second, with long names."""
_MAX_SEGMENT_BYTES: Final = 1 << 28
_KEY_BYTES: Final = 16
_KEPT_KEYS: Final = 16
_ATTEMPTS: Final = 4
"""Attempts to fetch a segment, with pauses of half a second, 1 and 2 seconds between them."""
_LOST_AFTER: Final = 2.5
"""Multiple of the longest segment for which a live playlist may stay unchanged."""
_LOOK_FROM: Final = 0.85
"""Share of a segment after which the next one is looked for."""
_LOOK_EVERY_S: Final = 0.25
_LATE_AFTER: Final = 1.5
"""Multiple of the longest segment for which one is awaited before the feed counts as silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """A place between two segments that do not follow each other."""

    position: int
    """Position in the stream of the first byte behind it."""
    is_clock_set: bool
    missed_s: float
    """Seconds of segments that were not fetched; one never seen counts as long as others."""


class HlsFeed:
    """The segments of a playlist, read like a file that cannot be sought."""

    def __init__(
        self,
        parts: SplitResult,
        address: IpAddress,
        shown: str,
        *,
        timeout_s: tuple[float, float],
    ) -> None:
        """Fetch the playlist and the first segment: of a live one the newest.

        Args:
            parts: Of the address, with the sign-in.
            address: That was checked, and is connected to.
            shown: The address, for messages.
            timeout_s: Longest wait for a connection, and for each read.
        Raises:
            UnreachableError: There is no playlist, or no segment.
            FeedRefusedError: It wants a name and a password, or others.
            MediaRefusedError: It names an address that is not opened, is encrypted in another way
                than AES-128, or holds no video.
        """
        self._shown = shown
        self._read_timeout_s = timeout_s[1]
        self._fetcher = Fetcher(parts, address, shown, timeout_s)
        self.on_wait: Callable[[], None] | None = None
        """Called while nothing is missing, though nothing comes."""
        self._base = self._fetcher.base
        self._playlist = self._first_playlist()
        self._changed_at = self._waits_from = time.monotonic()
        self._has_changed = False
        """Whether it was seen when a segment was published."""
        self.is_whole = self._playlist.has_ended
        """Whether the playlist had ended when it was opened: a video, and no feed."""
        self.length_s = self._playlist.length_s
        self._is_over = False
        self.has_ended = False
        """Whether everything was read up to the end that the playlist states."""
        segments = self._playlist.segments
        first = segments[0 if self.is_whole else -1] if segments else None
        self._next = 0 if first is None else first.sequence
        self._last: PlaylistSegment | None = None
        self._keys: dict[str, bytes] = {}
        self._header: bytes = b""
        self._data = memoryview(b"")
        self._position = 0
        self._joints: deque[Joint] = deque()
        if not self._advance():
            raise UnreachableError(
                f"{shown}: its playlist holds nothing yet", hint="try again in a while"
            )
        self.container = _container(bytes(self._data[:12]), shown)
        """FFmpeg's name of what the segments are in."""

    def read(self, n_bytes: int) -> bytes:
        """Return the next bytes, and none at the end; waits for segments that are to come."""
        while not self._data:
            if not self._advance():
                return b""
        block, self._data = bytes(self._data[:n_bytes]), self._data[n_bytes:]
        return block

    def joint_before(self, position: int) -> Joint | None:
        """Return the joint that was passed on the way to a position; each is told once."""
        passed: Joint | None = None
        while self._joints and self._joints[0].position <= position:
            joint = self._joints.popleft()
            if passed is not None:
                joint = Joint(
                    position=joint.position,
                    is_clock_set=joint.is_clock_set or passed.is_clock_set,
                    missed_s=joint.missed_s + passed.missed_s,
                )
            passed = joint
        return passed

    def _first_playlist(self) -> MediaPlaylist:
        playlist = self._fetched_playlist()
        if isinstance(playlist, MediaPlaylist):
            return playlist
        if not playlist:
            raise MediaRefusedError(self._shown, "its playlist offers nothing")
        # As of several pictures in a file: the largest one.
        best = max(playlist, key=lambda variant: (variant.n_pixels, variant.bits_per_s))
        self._base = self._fetcher.resolved(self._base, best.uri)
        chosen = self._fetched_playlist()
        if not isinstance(chosen, MediaPlaylist):
            raise MediaRefusedError(self._shown, "its playlist leads to further ones")
        return chosen

    def _fetched_playlist(self) -> MediaPlaylist | tuple[Variant, ...]:
        data = self._fetcher.fetch(self._base, _MAX_PLAYLIST_BYTES, beat=self._beat)
        try:
            return parse_playlist(data.decode(errors="replace"))
        except PlaylistError as error:
            raise MediaRefusedError(self._shown, str(error)) from None

    def _advance(self) -> bool:
        """Hold the next segment; return whether there is one."""
        # Whoever was away while segments came did not wait for them.
        self._waits_from = time.monotonic()
        while not self._is_over:
            segment = self._segment_due()
            if segment is not None:
                self._next = segment.sequence + 1
                if not segment.is_missing and self._take(segment):
                    return True
            elif self._playlist.has_ended:
                self.has_ended = self._is_over = True
            else:
                self._renew()
        return False

    def _segment_due(self) -> PlaylistSegment | None:
        return next((row for row in self._playlist.segments if row.sequence >= self._next), None)

    def _take(self, segment: PlaylistSegment) -> bool:
        """Fetch a segment; return False for one that is gone."""
        header = b"" if segment.header is None else self._plain(segment.header, segment.sequence)
        data = self._plain(segment.resource, segment.sequence)
        if data is None or header is None:
            return False
        if self._header and header != self._header:
            if self.is_whole:
                raise MediaRefusedError(
                    self._shown, "the format changes in it", hint="give each part's own playlist"
                )
            # Another reader is needed: whoever reads connects again.
            self._is_over = True
            return False
        before, self._last = self._last, segment
        missed = 0 if before is None else segment.sequence - before.sequence - 1
        if before is not None and (missed or segment.is_clock_set):
            self._joints.append(
                Joint(
                    position=self._position,
                    is_clock_set=segment.is_clock_set,
                    missed_s=missed * before.length_s,
                )
            )
        self._data = memoryview(data if self._header else header + data)
        self._header = header
        self._position += len(self._data)
        return True

    def _plain(self, resource: Resource, sequence: int) -> bytes | None:
        """Return what a resource holds, deciphered; `None` where a live feed has it no more."""
        data = self._fetched(resource, _MAX_SEGMENT_BYTES)
        key = None if data is None or resource.key is None else self._key(resource.key)
        if data is None or resource.key is None or key is None:
            return data if resource.key is None else None
        iv = sequence.to_bytes(_KEY_BYTES, "big") if resource.key.iv is None else resource.key.iv
        try:
            return _deciphered(data, key, iv)
        except ValueError:
            raise MediaRefusedError(
                self._shown, "its segments do not fit the key that its playlist names"
            ) from None

    def _key(self, named: SegmentKey) -> bytes | None:
        """Return a key; it is fetched once. `None` where a live feed has it no more."""
        address = self._fetcher.resolved(self._base, named.uri)
        if address not in self._keys:
            key = self._fetched(Resource(uri=named.uri), _KEY_BYTES)
            if key is None:
                return None
            while len(self._keys) >= _KEPT_KEYS:
                self._keys.pop(next(iter(self._keys)))
            self._keys[address] = key
        return self._keys[address]

    def _fetched(self, resource: Resource, max_bytes: int) -> bytes | None:
        """Return what a resource holds; `None` where a live feed has it no more."""
        address = self._fetcher.resolved(self._base, resource.uri)
        for attempt in range(_ATTEMPTS):
            try:
                return self._fetcher.fetch(address, max_bytes, span=resource.span, beat=self._beat)
            except FeedRefusedError:
                raise
            except GoneError:
                if self.is_whole:
                    raise
                return None
            except UnreachableError:
                if attempt == _ATTEMPTS - 1:
                    raise
                self._wait(2.0**attempt / 2)
        return None

    def _renew(self) -> None:
        """Wait and fetch the playlist again, unless it has been as it is for too long."""
        now, target_s = time.monotonic(), self._playlist.target_s
        if now - self._waits_from > max(self._read_timeout_s, _LOST_AFTER * target_s):
            self._is_over = True
            return
        silent_s = now - self._changed_at
        # Differs from RFC 8216, 6.3.4, which asks for half a target between any two: when a
        # segment arrives is what the wall clock is taken from, so it is looked for when it is due.
        length_s = target_s if self._last is None else self._last.length_s
        early_s = _LOOK_FROM * length_s - silent_s if self._has_changed else 0.0
        step_s = _LOOK_EVERY_S if silent_s < _LATE_AFTER * length_s else target_s / 2
        self._wait(max(early_s, step_s))
        try:
            playlist = self._fetched_playlist()
        except FeedRefusedError:
            raise
        except UnreachableError:
            return
        if not isinstance(playlist, MediaPlaylist):
            return
        newest = playlist.segments[-1].sequence if playlist.segments else -1
        if newest >= self._next:
            self._changed_at = self._waits_from = time.monotonic()
            self._has_changed = True
        elif newest < self._next - 1 - len(playlist.segments):
            # The server counts anew; a playlist that is merely old is soon renewed.
            self._is_over = True
        self._playlist = playlist

    def _wait(self, pause_s: float) -> None:
        ends_at = time.monotonic() + pause_s
        while (left_s := ends_at - time.monotonic()) > 0:
            time.sleep(min(1.0, left_s))
            self._beat()

    def _beat(self) -> None:
        if self.on_wait is None:
            return
        late_s = time.monotonic() - self._waits_from - _LATE_AFTER * self._playlist.target_s
        if self.is_whole or late_s < 1:
            self.on_wait()


def is_playlist(parts: SplitResult) -> bool:
    """Return whether an address is that of a playlist, by the end of its path."""
    return parts.path.lower().endswith((".m3u8", ".m3u"))


def _deciphered(data: bytes, key: bytes, iv: bytes) -> bytes:
    """Return plain bytes of AES-128 in CBC mode, padded as PKCS7 has it.

    Raises:
        ValueError: It is of another length or padding, or the key is.
    """
    # Late: few feeds are encrypted.
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    if len(key) != _KEY_BYTES:
        raise ValueError(f"a key of {len(key)} bytes")
    decryptor = Cipher(algorithms.AES128(key), modes.CBC(iv)).decryptor()
    unpadder = PKCS7(algorithms.AES128.block_size).unpadder()
    padded = decryptor.update(data) + decryptor.finalize()
    return unpadder.update(padded) + unpadder.finalize()


def _container(head: bytes, shown: str) -> str:
    if head[:1] == b"\x47":
        return MPEGTS
    if head[4:8] in {b"ftyp", b"styp", b"moov", b"moof", b"sidx", b"emsg", b"prft"}:
        return MP4
    raise MediaRefusedError(
        shown, "its segments hold no video that is known here", hint="choose MPEG-TS or MP4"
    )
