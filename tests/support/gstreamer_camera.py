"""GStreamer's RTSP server as a camera with a password: a process of the system's Python.

Run as a script it serves a file: `python3 gstreamer_camera.py PORT FILE SCHEME TRANSPORT BEGAN_AT`.
"""

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAME, PASSWORD = "viewer", "s3cr/t@#?"
SYSTEM_PYTHON = "/usr/bin/python3"
"""Bindings of GStreamer come from the system's packages, for its own Python."""
_NEEDED = "appsrc appsink matroskademux h264parse rtph264pay audiotestsrc alawenc rtppcmapay"
_WHOLE_PICTURES = "video/x-h264,stream-format=byte-stream,alignment=au"
_CHECK = f"""
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
assert all(Gst.ElementFactory.find(name) for name in "{_NEEDED}".split())
"""


def why_not() -> str | None:
    """Why no such server can be started here; `None` where it can."""
    if shutil.which(SYSTEM_PYTHON) is None:
        return f"no {SYSTEM_PYTHON}"
    check = subprocess.run([SYSTEM_PYTHON, "-c", _CHECK], capture_output=True, check=False)
    if check.returncode:
        return (
            "apt-get install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good "
            "gstreamer1.0-plugins-bad"
        )
    return None


@contextmanager
def open_gstreamer_camera(
    port: int,
    file: Path,
    scheme: str,
    *,
    transport: str = "tcp",
    began_at: float | None = None,
) -> Iterator[None]:
    """Serve a Matroska file of H.264 in real time, from its beginning to each who connects.

    Args:
        transport: `tcp`, or `udp` alone, with a tone as G.711 beside the picture.
        began_at: When its first picture was shown, in seconds since 1970: who connects later sees
            what is shown then. A file whose pictures are decoded in the order in which they are
            shown.
    """
    began = "" if began_at is None else repr(began_at)
    command = [SYSTEM_PYTHON, __file__, str(port), str(file), scheme, transport, began]
    server = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield
    finally:
        server.kill()
        server.wait()


def _serve(port: str, file: str, scheme: str, transport: str, began_at: str) -> None:
    import gi  # type: ignore[import-not-found]

    for name in ("Gst", "GstRtsp", "GstRtspServer"):
        gi.require_version(name, "1.0")
    from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # type: ignore[import-not-found]

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    source = f"filesrc location={file} ! matroskademux"
    if began_at:
        source = (
            f"appsrc name=film is-live=true do-timestamp=true format=time caps={_WHOLE_PICTURES}"
        )
    picture = f"{source} ! h264parse config-interval=1 ! rtph264pay name=pay0 pt=96"
    tone = "audiotestsrc ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1 pt=8"
    factory.set_launch(f"( {picture} {tone if transport == 'udp' else ''} )")
    if began_at:
        film = _read_film(Gst, file)
        factory.connect("media-configure", _film, Gst, film, float(began_at))
    ways = GstRtsp.RTSPLowerTrans
    factory.set_protocols(ways.UDP if transport == "udp" else ways.TCP)
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if scheme == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(NAME, PASSWORD, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(NAME, PASSWORD), token)
    server.set_auth(auth)
    factory.add_role_from_structure(
        Gst.Structure.from_string(
            "viewer, media.factory.access=true, media.factory.construct=true"
        )[0]
    )
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    GLib.MainLoop().run()


def _read_film(gst: Any, file: str) -> list[tuple[float, bool, bytes]]:
    """The pictures of a file: when each is shown (s), whether it is a keyframe, and its bytes."""
    pipeline = gst.parse_launch(
        f"filesrc location={file} ! matroskademux ! h264parse config-interval=-1 "
        f"! {_WHOLE_PICTURES} ! appsink name=out sync=false"
    )
    pipeline.set_state(gst.State.PLAYING)
    film, out = [], pipeline.get_by_name("out")
    while (sample := out.emit("pull-sample")) is not None:
        buffer = sample.get_buffer()
        is_key = not buffer.get_flags() & gst.BufferFlags.DELTA_UNIT
        film.append((buffer.pts / gst.SECOND, is_key, buffer.extract_dup(0, buffer.get_size())))
    pipeline.set_state(gst.State.NULL)
    return film


def _film(
    _: Any, media: Any, gst: Any, film: list[tuple[float, bool, bytes]], began_at: float
) -> None:
    """Send what is shown now and from now on to whoever has connected."""
    source = media.get_element().get_by_name("film")

    def send() -> None:
        has_begun = False
        for shown_s, is_key, data in film:
            left_s = began_at + shown_s - time.time()
            has_begun = has_begun or (is_key and left_s > 0)
            if has_begun:
                time.sleep(max(0.0, left_s))
                source.emit("push-buffer", gst.Buffer.new_wrapped(data))

    threading.Thread(target=send, daemon=True).start()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
