"""Plain PyAV: what the reader is measured against, and hours of footage in seconds.

It stands here because no other folder imports av.
"""

from pathlib import Path

import av
from av.video.stream import VideoStream


def sample_plainly(path: Path, fps: float) -> int:
    """Decode every frame and convert those shown at multiples of 1/fps; return their number.

    PyAV's own threads decode, as in a program that takes no further care.
    """
    n, due_s = 0, 0.0
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            if frame.time is not None and frame.time >= due_s:
                frame.to_ndarray(format="rgb24")
                n, due_s = n + 1, due_s + 1 / fps
    return n


def repeat_video(source: Path, n_times: int, path: Path) -> Path:
    """Copy the picture of a video `n_times` in a row, without encoding it again; return `path`."""
    with av.open(path, "w") as out:
        out_stream: VideoStream | None = None
        shift = 0
        for _ in range(n_times):
            with av.open(source) as container:
                stream = container.streams.video[0]
                if out_stream is None:
                    out_stream = out.add_stream_from_template(stream)
                end = 0
                for packet in container.demux(stream):
                    if packet.pts is None or packet.dts is None:
                        continue
                    end = max(end, packet.pts + (packet.duration or 0))
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = out_stream
                    out.mux(packet)
                shift += end
    return path
