"""Soak of many cameras on one machine: are all frames accounted for, is memory flat, who waits?

Cameras are drawn clips that are sent over HTTP in real time, each to a camera of a library of its
own; the whole product films them: sandboxed readers, recording, the model, the catalog. Figures:
frames that were sampled, looked at and dropped, the slowest and the fastest camera, and resident
memory of this process and of all readers, after a third of the time and at the end.
"""

import http.server
import socketserver
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import av
import psutil

from app.config.settings import load_settings
from app.services.benchmarks._footage import Undisturbed, patrol
from app.services.camera_registry import add_camera, list_cameras
from app.services.context import ServiceContext
from app.services.filming import run_filming
from app.services.filming_jobs import enqueue_filming
from app.services.timelines import parts_of
from engine.media.encode import write_video
from storage.camera_records import CameraRow

N_CAMERAS: Final = 8
SECONDS: Final = 180.0
CLIP_S: Final = 60
FPS: Final = 15
SIZE_PX: Final = (360, 640)


def measure(
    *, model: str | None = None, cameras: int = N_CAMERAS, seconds: float = SECONDS
) -> dict[str, Any]:
    """Film drawn cameras for a while.

    Args:
        model: That looks at them; the settings' when `None`.
        cameras: How many at a time.
        seconds: For how long, from when the last of them is live.
    """
    with tempfile.TemporaryDirectory() as folder, _sources(Path(folder), cameras) as addresses:
        flags: dict[str, object] = {"model": model, "allow_network": True, "sight.observers": []}
        context = ServiceContext(load_settings(flags, home=Path(folder) / "home"))
        rows = [
            add_camera(context, f"Camera {n}", address) for n, address in enumerate(addresses, 1)
        ]
        filming = [_Filming(context, row) for row in rows]
        try:
            started = time.monotonic()
            while any(row.state != "live" for row in context.catalog.cameras.list()):
                time.sleep(0.5)
            all_live_s = time.monotonic() - started
            time.sleep(seconds / 3)
            early_bytes, cpu_s = _resident_bytes(), _cpu_s()
            time.sleep(seconds * 2 / 3)
            late_bytes, cpu_s = _resident_bytes(), _cpu_s() - cpu_s
        finally:
            for camera in filming:
                camera.stop()
        items = list_cameras(context).cameras
        parts = [part for row in rows for part in parts_of(context, row)]
        looked_at = sum(
            chunk.n_frames
            for part in parts
            if part.fingerprint is not None
            for chunk in context.catalog.chunks.list(part.id, part.fingerprint)
        )
        context.close()
    sampled = sum(part.stats.frames_sampled for part in parts)
    dropped = sum(item.frames_dropped for item in items)
    filmed_s = [item.filmed_s for item in items]
    return {
        "cameras": cameras,
        "seconds": seconds,
        "all_live_s": round(all_live_s, 1),
        "frames_sampled": sampled,
        "frames_looked_at": looked_at,
        "frames_dropped": dropped,
        "frames_unaccounted_for": sampled - looked_at - dropped,
        "reconnects": sum(item.reconnects for item in items),
        "filmed_least_s": round(min(filmed_s), 1),
        "filmed_most_s": round(max(filmed_s), 1),
        "recorded_bytes": sum(item.recorded_bytes for item in items),
        "resident_third_bytes": early_bytes,
        "resident_end_bytes": late_bytes,
        "resident_growth": round(late_bytes / early_bytes - 1, 4),
        "cores_busy": round(cpu_s / (seconds * 2 / 3), 2),
    }


class _Filming(Undisturbed):
    """A job that films a camera on a thread of its own, until it is stopped."""

    def __init__(self, context: ServiceContext, camera: CameraRow) -> None:
        self._stops = threading.Event()
        job = enqueue_filming(context, camera)
        assert job is not None, "the camera is switched on"
        self._thread = threading.Thread(target=run_filming, args=(context, job, self))
        self._thread.start()

    def should_stop(self) -> bool:
        """Tell whether it was stopped."""
        return self._stops.is_set()

    def stop(self) -> None:
        """End the job, and wait until what it has is written down."""
        self._stops.set()
        self._thread.join()


@contextmanager
def _sources(folder: Path, cameras: int) -> Iterator[list[str]]:
    """Serve a drawn clip again and again, in real time, to whoever connects."""
    clip = folder / "minute.mp4"
    write_video(clip, patrol(CLIP_S * FPS, SIZE_PX), float(FPS), gop_frames=2 * FPS)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            try:
                _send(clip, self.wfile)
            except (OSError, av.FFmpegError):
                return

        def log_message(self, *_: object) -> None:
            """Say nothing: the figures do."""

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Say nothing: a reader goes when it likes."""

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    try:
        yield [f"http://127.0.0.1:{port}/{n}.ts" for n in range(cameras)]
    finally:
        server.shutdown()
        server.server_close()


def _send(clip: Path, out: Any) -> None:
    started, ahead = time.monotonic(), 0
    sink = av.open(_Flushed(out), "w", format="mpegts", options={"flush_packets": "1"})
    track: Any = None
    while True:
        with av.open(clip) as source:
            stream = source.streams.video[0]
            if track is None:
                track = sink.add_stream_from_template(stream)
            tick_s = float(stream.time_base or 0)
            end = 0
            for packet in source.demux(stream):
                if packet.pts is None or packet.dts is None:
                    continue
                end = max(end, packet.pts + (packet.duration or 0))
                packet.pts, packet.dts = packet.pts + ahead, packet.dts + ahead
                time.sleep(max(0.0, started + packet.dts * tick_s - time.monotonic()))
                packet.stream = track
                sink.mux(packet)
            ahead += end


class _Flushed:
    """A socket that is written to at once."""

    def __init__(self, out: Any) -> None:
        self._out = out

    def write(self, data: bytes) -> int:
        self._out.write(data)
        self._out.flush()
        return len(data)


def _processes() -> list[psutil.Process]:
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def _resident_bytes() -> int:
    """Return memory of this process and its readers that no file or other process stands behind."""
    total = 0
    for process in _processes():
        state = process.memory_info()
        total += state.rss - getattr(state, "shared", 0)
    return int(total)


def _cpu_s() -> float:
    return float(sum(sum(process.cpu_times()[:2]) for process in _processes()))
