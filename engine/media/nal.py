"""Tells H.264 keyframes that decode on their own from the start of a gradual refresh.

Encoders for cameras and low delay may spread the intra picture over many frames. Containers mark
where such a refresh starts as a keyframe, but no picture is whole until it has ended.

Source: ITU-T H.264, 7.3.1 (NAL units), 7.3.2.3 and D.1.8 (recovery point).
"""

from collections.abc import Iterator

_SLICE_TYPES = (1, 5)
_SEI = 6
_RECOVERY_POINT = 6
# Headers and messages come before the first slice; a few hundred bytes hold them.
_MAX_BYTES = 4096


def starts_gradual_refresh(data: bytes, *, length_prefixed: bool) -> bool:
    """Whether an access unit has a recovery point that lies in later frames.

    Args:
        data: One packet.
        length_prefixed: As in MP4 and Matroska; else with start codes, as in MPEG-TS.
    """
    data = data[:_MAX_BYTES]
    for unit in _prefixed(data) if length_prefixed else _start_coded(data):
        kind = unit[0] & 0x1F
        if kind in _SLICE_TYPES:
            return False
        if kind == _SEI and (payload := _message(unit[1:], _RECOVERY_POINT)):
            # An Exp-Golomb number whose first bit is set is 0: whole at once.
            return not payload[0] & 0x80
    return False


def _prefixed(data: bytes) -> Iterator[bytes]:
    at = 0
    while at + 4 < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size:
            yield data[at + 4 : at + 4 + size]
        at += 4 + size


def _start_coded(data: bytes) -> Iterator[bytes]:
    at = data.find(b"\x00\x00\x01")
    while at >= 0:
        following = data.find(b"\x00\x00\x01", at + 3)
        unit = data[at + 3 : following if following >= 0 else None]
        if unit:
            yield unit
        at = following


def _message(sei: bytes, wanted: int) -> bytes | None:
    """The payload of one kind among the messages of an SEI unit."""
    at = 0
    while at + 2 < len(sei):
        kind, at = _coded(sei, at)
        size, at = _coded(sei, at)
        if kind == wanted:
            return sei[at : at + size] or None
        at += size
    return None


def _coded(sei: bytes, at: int) -> tuple[int, int]:
    """A number written as a run of 255s and a last byte, and where it ends."""
    number = 0
    while at < len(sei):
        number += sei[at]
        at += 1
        if sei[at - 1] != 255:
            break
    return number, at
