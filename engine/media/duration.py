"""The length of a file: its header's word, checked against its end where headers disagree."""

from collections.abc import Callable
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from engine.media.stamps import PictureStamps

# A reordered stream begins with a stamp of a few frames; that is no late start.
_LATE_S = 1.0


def starts_late(container: InputContainer) -> bool:
    """Return whether the length that the header gives may count from zero and not from the start.

    Matroska leaves it open. FFmpeg writes the time of the end, mkvmerge the length.
    """
    return container.format.name == "matroska,webm" and start_s(container) > _LATE_S


def start_s(container: InputContainer) -> float:
    """Return when the first of a file's streams begins, on the file's own clock."""
    return float(Fraction(container.start_time or 0, av.time_base))


def read_end_s(container: InputContainer) -> float | None:
    """Return when the last packets end, on the file's own clock; `None` if none can be read.

    Cost: the packets from the last keyframe on. The container stands at its end afterwards.
    """
    end_s: float | None = None
    try:
        container.seek((container.start_time or 0) + (container.duration or 0))
        for packet in container.demux():
            if packet.pts is not None:
                packet_end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                end_s = packet_end_s if end_s is None else max(end_s, packet_end_s)
    except (av.FFmpegError, IndexError):
        # Damage is reported where the file is read; av 18.1 trips over streams that appear late.
        return end_s
    return end_s


def scan_end_s(
    container: InputContainer, stream_index: int, beat: Callable[[], None]
) -> float | None:
    """Return when the picture ends on a clock that goes on where the file's was set anew.

    Args:
        beat: Called for every packet.
    Cost: all packets of the file; none is decoded.
    """
    stream = container.streams[stream_index]
    assert isinstance(stream, VideoStream)
    stamps = PictureStamps(container.format.name, stream)
    end: int | None = None
    try:
        for packet in container.demux(stream):
            beat()
            if not packet.size:
                continue
            stamps.correct(packet)
            if packet.pts is not None:
                packet_end = packet.pts + (packet.duration or stamps.frame_ticks)
                end = packet_end if end is None else max(end, packet_end)
    except (av.FFmpegError, IndexError):
        # Damage is reported where the file is read.
        pass
    if end is None:
        return None
    return (end + stamps.n_unstamped * stamps.frame_ticks) / stamps.ticks_per_s


def duration_s(
    container: InputContainer, end_s: float | None, *, first_s: float | None = None
) -> float | None:
    """Return the seconds from the first frame to the end; `None` where nothing tells.

    Args:
        end_s: As `read_end_s` found it; the header's word holds where it is `None`.
        first_s: Time of the first frame on the file's own clock; its start if left out.
    """
    if end_s is None:
        if container.duration is None:
            return None
        end_s = float(Fraction((container.start_time or 0) + container.duration, av.time_base))
    first_s = start_s(container) if first_s is None else first_s
    return end_s - first_s if end_s > first_s else None
