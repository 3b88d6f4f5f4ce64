"""A server of HLS: playlists and segments, in memory, with the faults of real ones."""

import http.server
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import av

from tests.support.camera import NAME, QUOTED_PASSWORD, Scheme, challenge, is_let_in

Answer = bytes | Callable[[], bytes | None]


@dataclass(slots=True)
class HlsServer:
    """A running server: what it has, and what it was asked for."""

    port: int
    files: dict[str, Answer]
    requests: list[str] = field(default_factory=list)
    fails: dict[str, int] = field(default_factory=dict)
    """How many more times a file breaks off in the middle."""
    is_down: bool = False
    locks: set[str] = field(default_factory=set)
    """Files for which a name and a password are wanted, whatever is given."""
    sign_ins: list[str] = field(default_factory=list)
    """What each request said of who asks."""

    def address(self, name: str = "live.m3u8", sign_in: str = "") -> str:
        return f"http://{sign_in}127.0.0.1:{self.port}/{name}"

    @property
    def signed_in(self) -> str:
        """The address with the password that it wants."""
        return self.address(sign_in=f"{NAME}:{QUOTED_PASSWORD}@")


@contextmanager
def open_hls_server(files: Mapping[str, Answer], scheme: Scheme = "none") -> Iterator[HlsServer]:
    """Serve files; a function is asked for each request, and `None` is a file that is not there."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.lstrip("/").partition("?")[0]
            server.requests.append(name)
            sign_in = self.headers.get("Authorization", "")
            server.sign_ins.append(sign_in)
            if name in server.locks or not is_let_in(scheme, "7", sign_in, "GET"):
                wanted = "basic" if scheme == "none" else scheme
                self._answer(401, b"", **{"WWW-Authenticate": challenge(wanted, "7")})
                return
            content = server.files.get(name)
            data = content() if callable(content) else content
            if server.is_down:
                self._answer(503, b"")
            elif data is None:
                self._answer(404, b"")
            elif server.fails.get(name):
                server.fails[name] -= 1
                self._answer(200, data[: len(data) // 2], **{"Content-Length": str(len(data))})
            elif span := self.headers.get("Range"):
                first, _, last = span.removeprefix("bytes=").partition("-")
                self._answer(206, data[int(first) : int(last) + 1])
            else:
                self._answer(200, data)

        def _answer(self, status: int, data: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(data))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    opened = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    opened.daemon_threads = True
    server = HlsServer(opened.server_address[1], dict(files))
    threading.Thread(target=opened.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        opened.shutdown()
        opened.server_close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A segment, and how long it is."""

    data: bytes
    length_s: float


def segments(
    video: Path, folder: Path, *, kind: Literal["mpegts", "fmp4"] = "mpegts", length_s: float = 1.0
) -> tuple[list[Piece], bytes]:
    """The pieces of a video, cut at keyframes by FFmpeg, and what stands before those of MP4."""
    folder.mkdir(parents=True)
    options = {
        "hls_time": str(length_s),
        "hls_list_size": "0",
        "hls_segment_type": kind,
        "hls_playlist_type": "vod",
    }
    playlist = folder / "all.m3u8"
    with (
        av.open(video) as source,
        av.open(playlist, "w", format="hls", options=options) as out,
    ):
        tracks = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = tracks[packet.stream_index]
                out.mux(packet)
    lengths = [
        float(line[8:].rstrip(","))
        for line in playlist.read_text().splitlines()
        if line.startswith("#EXTINF:")
    ]
    names = [line for line in playlist.read_text().splitlines() if not line.startswith("#")]
    pieces = [
        Piece(data=(folder / name).read_bytes(), length_s=length)
        for name, length in zip(names, lengths, strict=True)
    ]
    header = folder / "init.mp4"
    return pieces, header.read_bytes() if header.exists() else b""


def playlist(
    lengths_s: Mapping[str, float],
    *,
    set_before: tuple[str, ...] = (),
    sequence: int = 0,
    header: str | None = None,
    ends: bool = True,
) -> bytes:
    """The playlist of segments by name.

    Args:
        set_before: Names of those before which the clock was set.
        header: Name of what stands before segments of MP4.
    """
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", f"#EXT-X-MEDIA-SEQUENCE:{sequence}"]
    lines.append(f"#EXT-X-TARGETDURATION:{max(map(round, lengths_s.values()), default=1)}")
    if header is not None:
        lines.append(f'#EXT-X-MAP:URI="{header}"')
    for name, length_s in lengths_s.items():
        if name in set_before:
            lines.append("#EXT-X-DISCONTINUITY")
        lines += [f"#EXTINF:{length_s:.3f},", name]
    if ends:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join([*lines, ""]).encode()


@dataclass(slots=True)
class LiveWindow:
    """Segments that are published one by one as time goes on, of which the newest can be had."""

    pieces: list[Piece]
    n_kept: int = 4
    ends: bool = False
    """Whether the playlist ends behind the last of them."""
    began_at: float = field(default_factory=time.time)
    set_before: tuple[str, ...] = ()

    def files(self) -> dict[str, Answer]:
        """What a server needs."""
        names = [f"{index}.ts" for index in range(len(self.pieces))]
        kept = {name: self._kept(index) for index, name in enumerate(names)}
        return {"live.m3u8": self._playlist, **kept}

    @property
    def _n_published(self) -> int:
        passed_s, at_s = time.time() - self.began_at, 0.0
        for index, piece in enumerate(self.pieces):
            at_s += piece.length_s
            if at_s > passed_s:
                return index
        return len(self.pieces)

    def _kept(self, index: int) -> Callable[[], bytes | None]:
        def content() -> bytes | None:
            end = self._n_published
            return self.pieces[index].data if end - self.n_kept <= index < end else None

        return content

    def _playlist(self) -> bytes:
        end = self._n_published
        first = max(0, end - self.n_kept)
        lengths_s = {f"{at}.ts": self.pieces[at].length_s for at in range(first, end)}
        return playlist(
            lengths_s,
            sequence=first,
            set_before=self.set_before,
            ends=self.ends and end == len(self.pieces),
        )
