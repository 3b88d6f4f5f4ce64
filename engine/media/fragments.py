"""Fragmented MP4 files of our own recording: what they hold, and many of them as one.

A file is a header (`ftyp`, `moov`) and fragments (`moof`, `mdat`); one that was cut off anywhere
ends with its last whole fragment. Files of one part of a timeline share the header, so that they
are one long file once their fragments say when they are shown.

Source: ISO/IEC 14496-12, 8.8.12 (tfdt) and 8.16.3 (sidx).
"""

import functools
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from engine.media.boxes import BOX, SOUND_TRACK, decode_at

ReadRange = Callable[[int, int], bytes]
"""Returns the bytes from a start to an end of a file."""

_KEY_FIRST: Final = 0x90000000
_NOT_A_KEY: Final = 0x10000
_MOST_ENTRIES: Final = 65_535
_MAX_HEADER_BYTES: Final = 1 << 20
_MAX_MOOF_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """A stretch of pictures in a file."""

    offset: int
    n_bytes: int
    decode_at: int
    """Position in the file of its time of decoding, 8 bytes."""
    ticks: int
    """That time, on the clock of the file."""
    length: int
    """Ticks over which its pictures are shown."""
    begins_with_key: bool
    """Whether a player may begin here."""
    is_sound: bool
    ticks_per_s: int
    """Of its track."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FragmentedFile:
    """The layout of one file."""

    path: Path
    header: bytes
    """What stands before the fragments."""
    ticks_per_s: int
    fragments: tuple[Fragment, ...]
    first_shown: int
    """Ticks from its zero to when its first picture is shown."""
    read: ReadRange | None = None
    """Reads a part of a file that lies elsewhere; `None` opens the path."""

    @property
    def in_playing_order(self) -> list[Fragment]:
        """The fragments so that whoever begins at a keyframe finds its sound behind it.

        A fragment of sound stands behind those of pictures that begin before it ends.
        """
        return sorted(
            self.fragments,
            key=lambda part: (part.ticks + part.length * part.is_sound) / part.ticks_per_s,
        )

    @property
    def last_pictures(self) -> Fragment | None:
        """The last whole fragment of pictures."""
        return next((part for part in reversed(self.fragments) if not part.is_sound), None)

    @property
    def length_s(self) -> float:
        """Seconds up to the end of the last whole fragment of pictures."""
        last = self.last_pictures
        return 0.0 if last is None else (last.ticks + last.length) / self.ticks_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFile:
    """A file of a recording, and where it lies on the clock of its part."""

    path: Path
    start_s: float
    """Of its first picture."""
    layout: FragmentedFile | None = None
    """Of a file that lies elsewhere; `None` reads it from the path."""


def read_layout(path: Path, *, keeps: bool = True) -> FragmentedFile:
    """Return the layout of a file.

    Args:
        keeps: Whether it stays in memory, for whoever plays the file: 16 kB a minute of a camera.
    Raises:
        OSError: It is not there.
        ValueError: It is no fragmented MP4 file.
    Cost: two small reads for each fragment; a file that has not grown is not read again.
    """
    read = _kept_layout if keeps else _read_layout
    return read(path, path.stat().st_size)


def _read_layout(path: Path, size: int) -> FragmentedFile:
    fragments: list[Fragment] = []
    header, ticks_per_s, moof, first_shown = b"", 0, None, 0
    sound_ticks_per_s, has_pictures = 0, False
    with path.open("rb") as file:
        for kind, offset, n_bytes in _boxes(file, 0, size):
            if kind == b"moov":
                header = _read(file, 0, min(offset + n_bytes, _MAX_HEADER_BYTES))
                ticks_per_s, sound_ticks_per_s = _ticks_per_s(header[offset:])
            elif kind == b"moof":
                box = _read(file, offset, min(n_bytes, _MAX_MOOF_BYTES))
                moof = (offset, offset + decode_at(box), _begins_with_key(box), _length(box))
                is_sound = _track(box) == SOUND_TRACK and sound_ticks_per_s > 0
                if not has_pictures and not is_sound:
                    first_shown, has_pictures = _shown_behind(box), True
            elif kind == b"mdat" and moof is not None:
                (ticks,) = struct.unpack(">Q", _read(file, moof[1], 8))
                fragments.append(
                    Fragment(
                        offset=moof[0],
                        n_bytes=offset + n_bytes - moof[0],
                        decode_at=moof[1],
                        ticks=ticks,
                        begins_with_key=moof[2] and not is_sound,
                        length=moof[3],
                        is_sound=is_sound,
                        ticks_per_s=sound_ticks_per_s if is_sound else ticks_per_s,
                    )
                )
                moof = None
    if not header or not ticks_per_s:
        raise ValueError(f"{path.name} has no header of a recording")
    return FragmentedFile(
        path=path,
        header=header,
        ticks_per_s=ticks_per_s,
        fragments=tuple(fragments),
        first_shown=first_shown,
    )


_kept_layout = functools.lru_cache(maxsize=4096)(_read_layout)


class JoinedRecording:
    """Files of one part as one long MP4 file, which is read piece by piece and never written.

    Its clock is that of the part, plus `shift_s`. What has been recorded when it is made is in it.
    """

    def __init__(self, files: Sequence[RecordedFile]) -> None:
        """Lay the files out.

        Args:
            files: In time order; those that hold no whole fragment are left out.
        Raises:
            ValueError: None of them holds any.
        """
        layouts = [(file, file.layout or _layout_or_none(file.path)) for file in files]
        kept = [(file, layout) for file, layout in layouts if layout and layout.last_pictures]
        if not kept:
            raise ValueError("nothing was recorded")
        _, first = kept[0]
        same = [(file, layout) for file, layout in kept if layout.header == first.header]
        starts = [
            round(file.start_s * layout.ticks_per_s) - layout.first_shown for file, layout in same
        ]
        shift = max(0, -starts[0])
        starts = [start + shift for start in starts]
        self.shift_s = shift / first.ticks_per_s
        """When the clock of the part is at 0: pictures are decoded before that, where some wait for
        later ones."""
        self._pieces: list[bytes | tuple[FragmentedFile, int, int]] = [
            first.header + _index(same, starts)
        ]
        for (_, layout), start in zip(same, starts, strict=True):
            for fragment in layout.in_playing_order:
                begins = start
                if fragment.is_sound:
                    begins = round(start * fragment.ticks_per_s / layout.ticks_per_s)
                ticks = struct.pack(">Q", max(0, begins + fragment.ticks))
                end = fragment.offset + fragment.n_bytes
                self._pieces += [
                    (layout, fragment.offset, fragment.decode_at),
                    ticks,
                    (layout, fragment.decode_at + 8, end),
                ]
        self._ends: list[int] = []
        for piece in self._pieces:
            length = len(piece) if isinstance(piece, bytes) else piece[2] - piece[1]
            self._ends.append((self._ends[-1] if self._ends else 0) + length)

    @property
    def n_bytes(self) -> int:
        """Length of the file."""
        return self._ends[-1]

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes `[start, end)`; it ends early where a file was deleted meanwhile."""
        opened: BinaryIO | None = None
        at = 0
        try:
            for piece, piece_end in zip(self._pieces, self._ends, strict=True):
                low, high = max(start, at), min(end, piece_end)
                if low < high:
                    if isinstance(piece, bytes):
                        yield piece[low - at : high - at]
                    elif (read := piece[0].read) is not None:
                        yield read(piece[1] + low - at, piece[1] + high - at)
                    else:
                        layout, offset, _ = piece
                        if opened is None or opened.name != str(layout.path):
                            if opened is not None:
                                opened.close()
                            opened = layout.path.open("rb")
                        yield _read(opened, offset + low - at, high - low)
                at = piece_end
                if at >= end:
                    return
        except FileNotFoundError:
            return
        finally:
            if opened is not None:
                opened.close()


def _layout_or_none(path: Path) -> FragmentedFile | None:
    try:
        return read_layout(path)
    except (OSError, ValueError):
        # Deleted by age meanwhile, or cut off before its header was whole.
        return None


def _index(files: Sequence[tuple[RecordedFile, FragmentedFile]], starts: Sequence[int]) -> bytes:
    """Return a `sidx` box with an entry a fragment: a player seeks by it without reading all.

    FFmpeg goes from entry to entry, and passes over fragments that have none. Only keyframes have
    a length, so that nobody begins at anything else.
    """
    fragments = [
        (start + fragment.ticks, fragment)
        for (_, layout), start in zip(files, starts, strict=True)
        for fragment in layout.in_playing_order
    ]
    # The count has 16 bits; behind it a player reads on by itself.
    del fragments[_MOST_ENTRIES:]
    last = files[-1][1].last_pictures
    assert last is not None, "a file without pictures is not joined"
    key_at = [ticks for ticks, fragment in fragments if fragment.begins_with_key]
    following = iter([*key_at[1:], starts[-1] + last.ticks + last.length])
    entries = bytearray()
    for ticks, fragment in fragments:
        is_key = fragment.begins_with_key
        length = max(0, next(following) - ticks) if is_key else 0
        entries += struct.pack(
            ">III", fragment.n_bytes & 0x7FFFFFFF, length, _KEY_FIRST if is_key else 0
        )
    timescale, first = files[0][1].ticks_per_s, max(0, key_at[0] if key_at else 0)
    body = struct.pack(">IIIQQHH", 1 << 24, 1, timescale, first, 0, 0, len(fragments))
    return BOX.pack(8 + len(body) + len(entries), b"sidx") + body + entries


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, position and length of the whole boxes in a stretch of a file."""
    at = start
    while at + BOX.size <= end:
        n_bytes, kind = BOX.unpack(_read(file, at, BOX.size))
        if n_bytes == 1 and at + 16 <= end:
            (n_bytes,) = struct.unpack(">Q", _read(file, at + BOX.size, 8))
        if n_bytes < BOX.size or at + n_bytes > end:
            return
        yield kind, at, n_bytes
        at += n_bytes


def _ticks_per_s(moov: bytes) -> tuple[int, int]:
    """Return the ticks of pictures, the first track, and of sound, the second; 0 for none."""
    ticks, at = [0, 0], -1
    for track in range(2):
        at = moov.find(b"mdhd", at + 1)
        if at < 0:
            break
        is_long = moov[at + 4] == 1
        (ticks[track],) = struct.unpack_from(">I", moov, at + (24 if is_long else 16))
    return ticks[0], ticks[1]


def _track(moof: bytes) -> int:
    at = moof.find(b"tfhd")
    return int.from_bytes(moof[at + 8 : at + 12], "big") if at >= 0 else 0


def _shown_behind(moof: bytes) -> int:
    """Return how long after its decoding the first picture of a fragment is shown."""
    run = _Run(moof)
    return run.shown_behind if run.is_there else 0


def _length(moof: bytes) -> int:
    """Return how long the pictures of a fragment are shown."""
    run = _Run(moof)
    return run.length if run.is_there else 0


def _begins_with_key(moof: bytes) -> bool:
    """Return whether the first picture of a fragment is a keyframe."""
    run = _Run(moof)
    return run.is_there and not run.first_flags & _NOT_A_KEY


class _Run:
    """The samples of a fragment: what `trun` says of them, or `tfhd` of all.

    Source: ISO/IEC 14496-12, 8.8.7 and 8.8.8.
    """

    def __init__(self, moof: bytes) -> None:
        track, run = moof.find(b"tfhd"), moof.find(b"trun")
        self.is_there = track >= 0 and run >= 0
        if not self.is_there:
            return
        track_flags = int.from_bytes(moof[track + 5 : track + 8], "big")
        flags = int.from_bytes(moof[run + 5 : run + 8], "big")
        (n_samples,) = struct.unpack_from(">I", moof, run + 8)
        defaults, at = {}, track + 12
        for bit, n_bytes in ((0x1, 8), (0x2, 4), (0x8, 4), (0x10, 4), (0x20, 4)):
            if track_flags & bit:
                defaults[bit] = int.from_bytes(moof[at : at + n_bytes], "big")
                at += n_bytes
        at = run + 12 + (4 if flags & 0x1 else 0)
        first = int.from_bytes(moof[at : at + 4], "big") if flags & 0x4 else None
        at += 4 if flags & 0x4 else 0
        fields = [bit for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit]
        entry = struct.Struct(f">{len(fields)}I")
        n_whole = min(n_samples, (len(moof) - at) // entry.size if fields else 0)
        rows = (entry.unpack_from(moof, at + n * entry.size) for n in range(n_whole))
        samples = [dict(zip(fields, row, strict=True)) for row in rows]
        self.length = (
            sum(sample[0x100] for sample in samples)
            if flags & 0x100
            else n_samples * defaults.get(0x8, 0)
        )
        self.first_flags = (
            first
            if first is not None
            else samples[0][0x400]
            if flags & 0x400 and samples
            else defaults.get(0x20, _NOT_A_KEY)
        )
        self.shown_behind = samples[0][0x800] if flags & 0x800 and samples else 0


def _read(file: BinaryIO, offset: int, n_bytes: int) -> bytes:
    file.seek(offset)
    return file.read(n_bytes)
