"""The packets of a sound track from a moment on, where a seek cannot find the moment.

Where the clock of a file may be set anew on the way (`stamps.py`), packets are read from the start,
picture and sound together, because the picture says how the clock goes on.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Discard
from av.video.stream import VideoStream

from engine.media.stamps import AnyPacket, PictureStamps, SoundStamps

# Windows overlap a little and are longest for families that hear; sound has some 10 kB a second.
_KEPT_S = 60.0

OpenSound = Callable[[], tuple[InputContainer, VideoStream, AudioStream]]


class SoundPackets:
    """A pass over the sound of a file; going back a little is free, further it starts again."""

    def __init__(self, opens: OpenSound, on_packet: Callable[[], None] | None = None) -> None:
        """Start before the first packet.

        Args:
            opens: Opens the file at its start; what it opened is closed here.
            on_packet: Called for every packet.
        """
        self._on_packet = on_packet
        self._opens = opens
        self._container: InputContainer | None = None
        self._kept: deque[AnyPacket] = deque()
        self._has_dropped = False
        self._unread: Iterator[AnyPacket] = iter(())
        self._restart()

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._container is not None:
            self._container.close()

    def since(self, time_s: float) -> Iterator[AnyPacket]:
        """Yield the packets from a moment of the file's clock on; the decoder is left clean."""
        if self._has_dropped and _start_s(self._kept[0]) > time_s:
            self._restart()
        self._stream.codec_context.flush_buffers()
        packets = itertools.chain(tuple(self._kept), self._keep())
        return itertools.dropwhile(lambda packet: _start_s(packet) < time_s, packets)

    def _restart(self) -> None:
        self.close()
        self._container, picture, self._stream = self._opens()
        self._kept.clear()
        self._has_dropped = False
        self._unread = self._read(self._container, picture, self._stream)

    def _keep(self) -> Iterator[AnyPacket]:
        for packet in self._unread:
            self._kept.append(packet)
            while _start_s(packet) - _start_s(self._kept[0]) > _KEPT_S:
                self._kept.popleft()
                self._has_dropped = True
            yield packet

    def _read(
        self, container: InputContainer, picture: VideoStream, sound: AudioStream
    ) -> Iterator[AnyPacket]:
        for stream in container.streams:
            stream.discard = Discard.all
        picture.discard = sound.discard = Discard.default
        stamps = PictureStamps(container.format.name, picture)
        sound_stamps = SoundStamps(stamps)
        packets = container.demux([picture, sound])
        while True:
            try:
                packet = next(packets)
            except (StopIteration, IndexError):
                # At the end, av 18.1 trips over streams that appeared on the way.
                return
            except av.FFmpegError:
                # Damage becomes silence.
                packets = container.demux([picture, sound])
                continue
            if self._on_packet is not None:
                self._on_packet()
            if not packet.size:
                continue
            if packet.stream_index == picture.index:
                stamps.correct(packet)
            else:
                sound_stamps.correct(packet)
                yield packet


def _start_s(packet: AnyPacket) -> float:
    stamp = packet.pts if packet.pts is not None else packet.dts or 0
    return float(stamp * packet.time_base)
