"""The child of the sandbox: confines itself, reads one source, writes frames to a pipe.

Started by `app/sandbox/channel.py` as `python -I -c "... child.main()"`. The request is one
line of JSON on stdin, and for sound one more for each span; the answer is a row of messages on the
former stdout, each a kind, a length and a payload. Nothing is unpickled on either side.
"""

import json
import os
import signal
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.sandbox.confine import Confinement, confine

if TYPE_CHECKING:
    from engine.media.audio import SoundFrames
    from engine.media.frame import Frame
    from engine.media.sample import FrameReader

INFO, FRAME, SOUND, CUES, BEAT, END, ERROR = b"I", b"F", b"S", b"C", b"B", b"E", b"X"
PART, RECORDED = b"P", b"R"
HEADER = struct.Struct("<cQ")
"""Kind, and bytes of payload that follow."""
STATS = struct.Struct("<5Q")
"""Fields of `SampleStats` in their order."""
FRAME_HEAD = struct.Struct("<d5QII?")
"""Presentation time, statistics, height, width, `starts_chunk`; the pixels follow."""
PART_HEAD = struct.Struct("<Id")
"""Ordinal of a part of a live feed, and when it began, in seconds since 1970."""
RECORDED_HEAD = struct.Struct("<Idd?")
"""Ordinal of a file of a recording, its start and reach (s), whether it ends; the bytes follow."""
LIVE_HEAD = struct.Struct("<I")
"""Ordinal of the part that a frame of a live feed belongs to; the frame follows."""

CUES_A_MESSAGE = 100
"""A cue has at most 1000 letters, of up to twelve bytes each in JSON."""
_BEAT_S = 1.0
_NO_STATS = (0, 0, 0, 0, 0)
_NETWORK_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl", "/run")


def main() -> None:
    """Read the request, confine this process, serve it, exit."""
    request = json.loads(sys.stdin.buffer.readline())
    pipe = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    walls = confine(
        memory_bytes=request["memory_bytes"],
        cpu_s=request["cpu_s"],
        readable=readable_paths(request),
        network=request["network"],
        device=request["device"],
    )
    wire = Wire(pipe, stall_s=request["stall_s"])
    try:
        _serve(request, wire, walls)
    except BrokenPipeError:
        os._exit(0)


class Wire:
    """The pipe to the parent, and the alarm clock that ends this process when nothing moves."""

    def __init__(self, pipe: int, *, stall_s: float) -> None:
        self._pipe = pipe
        self._stall_s = stall_s
        self._beat_at = self._armed_at = time.monotonic()
        self.arm()

    def arm(self) -> None:
        """Die by SIGALRM unless something happens in time; the kernel keeps this promise."""
        signal.setitimer(signal.ITIMER_REAL, self._stall_s)

    def send(self, kind: bytes, *parts: bytes | memoryview) -> None:
        """Write one message; waiting for a slow parent is no stall."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._write(HEADER.pack(kind, sum(len(part) for part in parts)))
        for part in parts:
            self._write(part)
        self._beat_at = time.monotonic()
        self.arm()

    def rest(self) -> None:
        """Wait for the parent without dying of it."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def beat(self, reader: "FrameReader | None" = None) -> None:
        """Tell the parent now and then that packets are moving though nothing is due.

        Args:
            reader: Of frames, whose counts go along.
        """
        now = time.monotonic()
        if now - self._beat_at >= _BEAT_S:
            self.send(BEAT, STATS.pack(*(_stats(reader) if reader else _NO_STATS)))
        elif now - self._armed_at >= _BEAT_S:
            self._armed_at = now
            self.arm()

    def _write(self, part: bytes | memoryview) -> None:
        view = memoryview(part)
        while view:
            view = view[os.write(self._pipe, view) :]


def _serve(request: dict[str, Any], wire: Wire, walls: Confinement) -> None:
    # Imported here and below, so that everything above runs before numpy starts a thread.
    from engine.errors import LongwatchError

    try:
        if request["sound"]:
            _serve_sound(request, wire)
        elif request["subtitles"]:
            _serve_subtitles(request, wire)
        elif request["sound_only"]:
            _serve_sound_frames(request, wire, walls)
        elif request["picture_px"]:
            _serve_picture(request, wire)
        elif request["live"]:
            _serve_live(request, wire, walls)
        elif request["moment_s"] is None:
            _serve_frames(request, wire, walls)
        else:
            _serve_moment(request, wire)
    except LongwatchError as error:
        wire.send(ERROR, _json({"class": type(error).__name__, "fields": _fields(error)}))
    except MemoryError:
        wire.send(ERROR, _json({"class": "MemoryError", "fields": {}}))


def _serve_frames(request: dict[str, Any], wire: Wire, walls: Confinement) -> None:
    from engine.media.sample import FrameReader, SamplingConfig
    from engine.media.source import MediaLimits

    with FrameReader(
        request["uri"],
        SamplingConfig(**request["config"]),
        limits=MediaLimits(**request["limits"]),
        after_s=request["after_s"],
        on_packet=wire.beat,
    ) as reader:
        opened = reader.info
        wire.send(INFO, _json(_info(reader, walls)))
        if not request["probe_only"]:
            for frame in reader:
                wire.send(FRAME, *_packed(frame, _stats(reader)))
            if reader.info != opened:
                wire.send(INFO, _json(_info(reader, walls)))
        wire.send(END, STATS.pack(*_stats(reader)))


def _serve_live(request: dict[str, Any], wire: Wire, walls: Confinement) -> None:
    from engine.media.live import LiveConfig, LivePart, LiveReader
    from engine.media.recording import RecordedBytes
    from engine.media.sample import SamplingConfig
    from engine.media.source import MediaLimits

    def on_part(part: LivePart) -> None:
        wire.send(PART, PART_HEAD.pack(part.ordinal, part.start_at_s))

    def on_recorded(piece: RecordedBytes) -> None:
        head = RECORDED_HEAD.pack(piece.ordinal, piece.start_s, piece.end_s, piece.is_last)
        wire.send(RECORDED, head, piece.data)

    live = LiveReader(
        request["uri"],
        SamplingConfig(**request["config"]),
        LiveConfig(**request["live"]),
        limits=MediaLimits(**request["limits"]),
        on_packet=wire.beat,
        on_part=on_part,
        on_recorded=on_recorded,
    )
    wire.send(INFO, _json(_info(live.reader, walls)))
    for part, frame in live:
        wire.send(FRAME, LIVE_HEAD.pack(part), *_packed(frame, _stats(live.reader)))
    wire.send(END, STATS.pack(*_stats(live.reader)))


def _serve_moment(request: dict[str, Any], wire: Wire) -> None:
    from engine.media.sample import frame_at
    from engine.media.source import MediaLimits

    frame = frame_at(
        request["uri"],
        request["moment_s"],
        limits=MediaLimits(**request["limits"]),
        max_side_px=request["config"]["max_side_px"],
        on_packet=wire.beat,
    )
    wire.send(FRAME, *_packed(frame, _NO_STATS))


def _serve_picture(request: dict[str, Any], wire: Wire) -> None:
    from engine.media.frame import Frame
    from engine.media.picture import decode_picture

    pixels = decode_picture(
        request["uri"],
        max_side_px=request["limits"]["max_side_px"],
        shown_px=request["picture_px"],
    )
    wire.send(FRAME, *_packed(Frame(pixels=pixels, pts_s=0.0), _NO_STATS))


def _serve_sound_frames(request: dict[str, Any], wire: Wire, walls: Confinement) -> None:
    from engine.media.audio import SoundFrames
    from engine.media.sample import SamplingConfig
    from engine.media.source import MediaLimits

    reader = SoundFrames(
        request["uri"],
        SamplingConfig(**request["config"]),
        limits=MediaLimits(**request["limits"]),
        after_s=request["after_s"],
    )
    wire.send(INFO, _json(_info(reader, walls)))
    for frame in () if request["probe_only"] else reader:
        wire.send(FRAME, *_packed(frame, _stats(reader)))
    wire.send(END, STATS.pack(*_stats(reader)))


def _serve_sound(request: dict[str, Any], wire: Wire) -> None:
    """Answer spans, one line of JSON each, until the parent closes the pipe."""
    from engine.media.audio import AudioReader
    from engine.media.source import MediaLimits
    from engine.records import TimeSpan

    with AudioReader(
        request["uri"],
        limits=MediaLimits(**request["limits"]),
        on_packet=wire.beat,
        **request["sound"],
    ) as reader:
        while True:
            wire.rest()
            line = sys.stdin.buffer.readline()
            if not line:
                return
            wire.arm()
            block = json.loads(line)
            span = TimeSpan(start_s=block["start_s"], end_s=block["end_s"])
            window = reader.window(span, afresh=block["afresh"])
            if window is None:
                wire.send(END)
            else:
                wire.send(SOUND, window.tobytes())


def _serve_subtitles(request: dict[str, Any], wire: Wire) -> None:
    from engine.media.source import MediaLimits
    from engine.media.subtitles import read_subtitles

    limits = MediaLimits(**request["limits"])
    cues = read_subtitles(request["uri"], limits, on_packet=wire.beat)
    rows = [[cue.span.start_s, cue.span.end_s, cue.text] for cue in cues]
    for start in range(0, len(rows), CUES_A_MESSAGE):
        wire.send(CUES, _json(rows[start : start + CUES_A_MESSAGE]))
    wire.send(END)


def _packed(frame: "Frame", stats: tuple[int, ...]) -> tuple[bytes, memoryview]:
    height, width = frame.pixels.shape[:2]
    head = FRAME_HEAD.pack(frame.pts_s, *stats, height, width, frame.starts_chunk)
    # A frame without pixels stands for a moment of sound.
    return head, frame.pixels.data.cast("B") if frame.pixels.size else memoryview(b"")


def _info(reader: "FrameReader | SoundFrames", walls: Confinement) -> dict[str, object]:
    from dataclasses import asdict

    return {"info": asdict(reader.info), "walls": asdict(walls)}


def _stats(reader: "FrameReader | SoundFrames") -> tuple[int, ...]:
    from dataclasses import astuple

    return astuple(reader.stats)


def _fields(error: Exception) -> dict[str, object]:
    return {
        name: value if isinstance(value, int | float | None) else str(value)
        for name, value in vars(error).items()
    }


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def readable_paths(request: dict[str, Any]) -> list[Path]:
    """Return what may be opened: the file itself, and where Python and its packages lie."""
    code = {sys.prefix, sys.base_prefix, *(entry for entry in sys.path if entry)}
    system = ("/lib", "/lib64", "/usr/lib", "/usr/local/lib", "/dev/null", "/dev/urandom")
    network = _NETWORK_FILES if request["network"] else ()
    # The folder of our own packages may be a home: only the packages in it are opened.
    root = request["root"]
    code -= {root}
    packages = (f"{root}/app", f"{root}/engine")
    source = () if request["network"] or request["device"] else (request["uri"],)
    return [Path(path) for path in (*sorted(code), *packages, *system, *network, *source)]
