"""Boxes of fragmented MP4: two files with a track each, made one file with both.

Source: ISO/IEC 14496-12, 8.3.2 (tkhd), 8.8.3 (trex), 8.8.7 (tfhd), 8.8.12 (tfdt).
"""

import struct
from collections.abc import Iterator
from typing import Final

BOX: Final = struct.Struct(">I4s")
"""Length and kind, in front of the content."""
SOUND_TRACK: Final = 2
"""Number of the track beside the pictures."""


def merged_header(pictures: bytes, sound: bytes) -> bytes:
    """Return the header of a file with two tracks, made of those of files with one each."""
    ours, theirs = _children(_box(pictures, b"moov")), _children(_box(sound, b"moov"))
    children = bytearray()
    for kind, box in ours:
        if kind == b"mvhd":
            children += box[:-4] + (SOUND_TRACK + 1).to_bytes(4, "big")
        elif kind == b"mvex":
            extends = dict(_children(dict(theirs)[b"mvex"]))[b"trex"]
            numbered = extends[:12] + SOUND_TRACK.to_bytes(4, "big") + extends[16:]
            children += _boxed(b"mvex", box[8:] + numbered)
        else:
            children += box
        if kind == b"trak":
            children += _boxed(b"trak", b"".join(map(_numbered, _children(dict(theirs)[b"trak"]))))
    return _box(pictures, b"ftyp") + _boxed(b"moov", bytes(children))


def sound_fragments(data: bytes, *, track: int, late: int) -> bytes:
    """Return the fragments of a muxer of one track as those of another track.

    Args:
        late: Ticks between the beginning of the file and the first packet, which the muxer takes
            for 0.
    """
    passed = bytearray()
    for kind, box in _split(data):
        if kind == b"moof":
            moof = bytearray(box)
            at, times = moof.find(b"tfhd") + 8, decode_at(box)
            moof[at : at + 4] = track.to_bytes(4, "big")
            ticks = int.from_bytes(moof[times : times + 8], "big") + late
            moof[times : times + 8] = ticks.to_bytes(8, "big")
            passed += moof
        elif kind == b"mdat":
            passed += box
    return bytes(passed)


def _numbered(child: tuple[bytes, bytes]) -> bytes:
    kind, box = child
    if kind != b"tkhd":
        return box
    at = 28 if box[8] == 1 else 20
    return box[:at] + SOUND_TRACK.to_bytes(4, "big") + box[at + 4 :]


def _split(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + BOX.size <= len(data):
        n_bytes, kind = BOX.unpack_from(data, at)
        yield kind, data[at : at + n_bytes]
        at += max(BOX.size, n_bytes)


def _children(box: bytes) -> list[tuple[bytes, bytes]]:
    return [*_split(box[BOX.size :])]


def _box(data: bytes, wanted: bytes) -> bytes:
    return next(box for kind, box in _split(data) if kind == wanted)


def _boxed(kind: bytes, content: bytes) -> bytes:
    return BOX.pack(BOX.size + len(content), kind) + content


def decode_at(moof: bytes) -> int:
    """Return the position in a fragment of its time of decoding, 8 bytes."""
    at = moof.find(b"tfdt")
    if at < 0 or moof[at + 4] != 1:
        raise ValueError("a fragment without a time of decoding of 64 bits")
    return at + 8
