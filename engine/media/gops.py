"""Groups of pictures (GOPs): a file's packets, cut where decoding can begin."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine.media.stamps import VideoPacket

# Compressed packets held at once, twice over; x264's longest default group has 250.
_MAX_PACKETS = 600
_MAX_BYTES = 32 * 2**20


@dataclass(slots=True)
class Gop:
    """Packets in decoding order; the first is a keyframe unless the group is a continuation."""

    packets: list[VideoPacket]
    is_continuation: bool = False
    """It begins where the group before it was cut off."""
    is_cut_off: bool = False
    """The group was too long to be held: the rest follows as a continuation."""


def split_into_gops(
    packets: Iterator[VideoPacket], is_entry: Callable[[VideoPacket], bool]
) -> Iterator[Gop]:
    """Yield the packets as groups, each beginning at a packet that decodes on its own.

    Packets before the first keyframe cannot be decoded and are left out.

    Args:
        is_entry: Whether a packet marked as a keyframe really decodes on its own.
    """
    held: list[VideoPacket] = []
    n_bytes, is_continuation = 0, False
    for packet in packets:
        if packet.is_keyframe and (is_entry(packet) or not (held or is_continuation)):
            if held:
                yield Gop(held, is_continuation)
            held, n_bytes, is_continuation = [], 0, False
        elif not held and not is_continuation:
            continue
        held.append(packet)
        n_bytes += packet.size
        if len(held) >= _MAX_PACKETS or n_bytes >= _MAX_BYTES:
            yield Gop(held, is_continuation, is_cut_off=True)
            held, n_bytes, is_continuation = [], 0, True
    if held:
        yield Gop(held, is_continuation)
