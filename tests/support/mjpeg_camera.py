"""A camera that sends one JPEG after the other over HTTP, at a pace of its own."""

import http.server
import io
import socketserver
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from PIL import Image

from tests.support.synthetic import spelled


@contextmanager
def open_mjpeg_camera(pauses_s: Sequence[float]) -> Iterator[tuple[str, list[float]]]:
    """Serve pictures that spell their number, with a pause behind each, again and again.

    Yields:
        The address, and when each picture of the latest connection was sent (s since 1970).
    """
    sent_at: list[float] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            sent_at.clear()
            try:
                while True:
                    jpeg = _jpeg(len(sent_at))
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}"
                    self.wfile.write(head.encode() + b"\r\n\r\n" + jpeg + b"\r\n")
                    self.wfile.flush()
                    sent_at.append(time.time())
                    time.sleep(pauses_s[len(sent_at) % len(pauses_s)])
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            pass

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Say nothing: a reader may go whenever it likes."""

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/video", sent_at
    finally:
        server.shutdown()
        server.server_close()


def _jpeg(index: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(spelled(index, height=96, width=160)).save(file, "JPEG", quality=95)
    return file.getvalue()
