"""Soak of many cameras on one machine: are all frames accounted for, is memory flat, who waits?

Cameras are drawn clips that are sent over HTTP in real time, each to a camera of a library of its
own; the whole product films them: sandboxed readers, recording, the model, the catalog. Figures:
frames that were sampled, looked at and dropped, the slowest and the fastest camera, and memory of
this process and of all readers minute by minute, with the load of the machine beside it, because
an hour of a machine that does other work too says less.
"""

import http.server
import os
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
from app.progress import Unattended
from app.services.benchmarks._footage import patrol
from app.services.camera_registry import add_camera, list_cameras
from app.services.context import ServiceContext
from app.services.filming import run_filming
from app.services.filming_jobs import enqueue_filming
from app.services.timelines import parts_of
from engine.media.encode import write_video
from storage.camera_records import CameraRow

N_CAMERAS: Final = 8
SECONDS: Final = 3600.0
BRIEF: Final = {"seconds": 180.0}
SAMPLE_S: Final = 60.0
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
            started, cpu_s = time.monotonic(), _cpu_s()
            samples = _watch(context, seconds)
            filmed_for_s, cpu_s = time.monotonic() - started, _cpu_s() - cpu_s
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
    early = next(sample for sample in samples if sample["at_s"] >= seconds / 3)
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
        "resident_third_bytes": early["resident_bytes"],
        "resident_end_bytes": samples[-1]["resident_bytes"],
        "resident_growth": round(samples[-1]["resident_bytes"] / early["resident_bytes"] - 1, 4),
        "cores_busy": round(cpu_s / filmed_for_s, 2),
        "samples": samples,
    }


def _watch(context: ServiceContext, seconds: float) -> list[dict[str, Any]]:
    """Return memory, load and drops of every minute of a while, and of its end."""
    started = time.monotonic()
    samples: list[dict[str, Any]] = []
    while not samples or samples[-1]["at_s"] < seconds:
        due_s = min(seconds, (len(samples) + 1) * min(SAMPLE_S, seconds / 3))
        time.sleep(max(0.0, started + due_s - time.monotonic()))
        here_bytes, readers_bytes = _resident_bytes()
        rows = context.catalog.cameras.list()
        samples.append(
            {
                "at_s": due_s,
                "resident_bytes": here_bytes + readers_bytes,
                "readers_bytes": readers_bytes,
                "frames_dropped": sum(row.frames_dropped for row in rows),
                "live": sum(row.state == "live" for row in rows),
                "load": round(os.getloadavg()[0], 1),
            }
        )
    return samples


class _Filming(Unattended):
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


def _resident_bytes() -> tuple[int, int]:
    """Return memory of this process and of its readers that no file or other process is behind."""
    this = psutil.Process()
    return _own_bytes(this), sum(map(_own_bytes, this.children(recursive=True)))


def _own_bytes(process: psutil.Process) -> int:
    try:
        state = process.memory_info()
    except psutil.NoSuchProcess:
        return 0
    return int(state.rss - getattr(state, "shared", 0))


def _cpu_s() -> float:
    """Return processor seconds of this process and of all that it has begun."""
    this = psutil.Process()
    total_s = 0.0
    for process in [this, *this.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total_s += times.user + times.system
    return total_s
