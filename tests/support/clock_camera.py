"""A camera whose picture shows a clock, in real time over HTTP, with the faults of real ones.

A frame spells how many fifths of a second have passed since the camera was switched on, so that
whatever is kept of it can be held against the wall clock.
"""

import http.server
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import av

from tests.support.synthetic import encoded_video

FPS: Final = 5
GOP_FRAMES: Final = 5
LENGTH_S: Final = 240


@dataclass(slots=True)
class ClockCamera:
    """A running camera."""

    port: int
    began_at: float
    """Seconds since 1970 at which its clock showed 0."""
    is_silent: bool = False
    """Connections stay and bring nothing."""
    is_down: bool = False
    """Nobody is let in."""
    step_s: float = 0.0
    """What its time stamps are ahead of their clock."""
    is_large: bool = False
    """Whether its picture has the other size."""
    n_connections: int = 0
    generation: int = 0
    lost: set[int] = field(default_factory=set)
    """Frames that are lost on the way."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/live.ts"

    def hang_up(self) -> None:
        """End every connection."""
        self.generation += 1

    def shown_at(self, index: int) -> float:
        """When a picture was shown, in seconds since 1970."""
        return self.began_at + index / FPS


def drawn_clock(folder: Path) -> tuple[Path, Path]:
    """The recordings that such a camera sends, of two sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = ((96, 160), (144, 256))
    paths = (folder / f"clock{height}.mkv" for height, _ in sizes)
    small, large = (
        encoded_video(
            path,
            LENGTH_S * FPS,
            fps=FPS,
            gop_frames=GOP_FRAMES,
            size_px=size,
            noise=False,
            # As cameras encode: no picture waits for a later one.
            options={"bf": "0", "preset": "ultrafast"},
        )
        for path, size in zip(paths, sizes, strict=True)
    )
    return small, large


@contextmanager
def open_clock_camera(clocks: tuple[Path, Path]) -> Iterator[ClockCamera]:
    """Serve the clock in real time to whoever connects."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if camera.is_down:
                self.send_response(503)
                self.end_headers()
                return
            camera.n_connections += 1
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            try:
                _film(camera, clocks, self.wfile)
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            pass

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Say nothing: a reader may go whenever it likes."""

    server = Server(("127.0.0.1", 0), Handler)
    camera = ClockCamera(server.server_address[1], time.time())
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield camera
    finally:
        camera.hang_up()
        server.shutdown()
        server.server_close()


def _film(camera: ClockCamera, clocks: tuple[Path, Path], out: Any) -> None:
    generation, is_large = camera.generation, camera.is_large
    with av.open(clocks[is_large]) as source:
        stream = source.streams.video[0]
        tick_s = float(stream.time_base or 0)
        sink = av.open(_Flushed(out), "w", format="mpegts", options={"flush_packets": "1"})
        track = sink.add_stream_from_template(stream)
        now_s = time.time() - camera.began_at
        has_begun = False
        for packet in source.demux(stream):
            if packet.pts is None or packet.dts is None:
                return
            shown_s = packet.pts * tick_s
            if not has_begun and (shown_s < now_s - 1 or not packet.is_keyframe):
                continue
            has_begun = True
            while (left_s := camera.began_at + shown_s - time.time()) > 0 or camera.is_silent:
                if camera.generation != generation:
                    return
                time.sleep(min(0.05, max(0.001, left_s)))
            if camera.is_large != is_large and packet.is_keyframe:
                return _film(camera, clocks, out)
            if camera.generation != generation:
                return
            if round(shown_s * FPS) in camera.lost:
                continue
            step = round(camera.step_s / tick_s)
            packet.pts, packet.dts = packet.pts + step, packet.dts + step
            packet.stream = track
            sink.mux(packet)


class _Flushed:
    """A socket that is written to at once."""

    def __init__(self, out: Any) -> None:
        self._out = out

    def write(self, data: bytes) -> int:
        self._out.write(data)
        self._out.flush()
        return len(data)
