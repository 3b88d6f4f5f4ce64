"""The packets of one stream, and what was met on the way to them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from engine.errors import MediaDecodeError, MediaRefusedError
from engine.media.source import Source

if TYPE_CHECKING:
    AnyPacket = Packet[Stream]
    VideoPacket = Packet[VideoStream]
else:  # The class takes no parameters at run time.
    AnyPacket = VideoPacket = Packet

_MAX_BAD_READS = 64


@dataclass(slots=True)
class Counts:
    """What happened so far, in one read-through of a source."""

    decoded: int = 0
    sampled: int = 0
    static: int = 0
    damaged: int = 0
    gaps: int = 0


class PacketReader:
    """Reads packets, skips what the container cannot make sense of, and counts it."""

    def __init__(self, source: Source, counts: Counts) -> None:
        self.on_packet: Callable[[], None] | None = None
        self.read_up_to = 0
        """Bytes of the file up to the end of the last packet."""
        self._source = source
        self._counts = counts
        self._reads = source.container.demux(source.stream)

    def __iter__(self) -> Iterator[VideoPacket]:
        return self

    def __next__(self) -> VideoPacket:
        for _ in range(_MAX_BAD_READS):
            try:
                packet = next(self._reads)
            except IndexError:
                # At the end, av 18.1 trips over streams that appeared on the way.
                raise StopIteration from None
            except av.InvalidDataError:
                self._counts.damaged += 1
                self.restart()
                continue
            except av.FFmpegError as error:
                raise MediaDecodeError(
                    self._source.uri, "reading stopped", hint="check the disk or the network"
                ) from error
            self._note(packet)
            return packet
        raise StopIteration

    def restart(self) -> None:
        """Go on from where the container stands, after a seek or an error."""
        self._reads = self._source.container.demux(self._source.stream)

    def beat(self) -> None:
        """Show a watchdog that this is alive."""
        if self.on_packet is not None:
            self.on_packet()

    def _note(self, packet: VideoPacket) -> None:
        if packet.has_sidedata("encryption_info"):
            raise MediaRefusedError(
                self._source.uri, "it is encrypted", hint="export it without copy protection"
            )
        if packet.pos is not None:
            self.read_up_to = max(self.read_up_to, packet.pos + packet.size)
        self.beat()
