"""The line to the sandbox's child: starts it, asks, and checks whatever comes back.

A crash, hang or passed limit of the child ends as a sentence about the file. What it sends is
foreign data: lengths, numbers and words are checked before anything is made of them.
"""

import json
import mmap
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

from app.sandbox.child import (
    BEAT,
    CUES,
    END,
    ERROR,
    FRAME,
    FRAME_HEAD,
    HEADER,
    LIVE_HEAD,
    RECORDED,
    SOUND,
)
from app.sandbox.confine import Confinement
from engine.errors import (
    FeedRefusedError,
    LimitExceededError,
    LongwatchError,
    MediaDecodeError,
    MediaRefusedError,
    MissingCapabilityError,
    NetworkDisabledError,
    SoundOnlyError,
    UnreachableError,
)
from engine.media.address import device_path, is_device_uri, is_live_uri, redact
from engine.media.audio import RATE_HZ
from engine.media.frame import Frame
from engine.media.live import LiveConfig
from engine.media.sample import SamplingConfig
from engine.media.source import MediaLimits
from engine.media.subtitles import MAX_CHARS, MAX_CUES, SubtitleCue
from engine.records import MediaInfo, SampleStats, TimeSpan

_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from app.sandbox import child as c; c.main()"
_MAX_TEXT_BYTES = 1 << 20
# Ten seconds of 16 kHz mono, 1.67 of 48 kHz stereo.
_SOUND_BYTES = 640_000
# The child measures its own stall and is stopped by the kernel; this is for one that cannot.
_GRACE_S = 5.0
_PIPE_BYTES = 1 << 20
_LOOK_S = 0.5
_MAPPED_BYTES = 1 << 16
_MAX_RECORDED_BYTES = 1 << 28
"""Of a fragment of a second or of one picture group: far more than any camera sends."""
# Threads of numpy's linear algebra, which is never used, and arenas of the allocator would each
# reserve address space, and that is limited.
_CHILD_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}
_KEPT_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """Limits on what a child process may use."""

    memory_bytes: int = 3 * 2**30
    """Address space, of which libraries take about 0.3 GiB: enough for 8192x8192 H.264."""
    cpu_s: int = 24 * 3600
    """Over all threads of one read-through; a guard against a loop, not a budget."""
    stall_s: float = 20.0
    """Longest wait for the next packet or frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundShape:
    """Rate and layout of the sound that is handed over; what models hear by default."""

    rate_hz: int = RATE_HZ
    layout: Literal["mono", "stereo"] = "mono"

    @property
    def n_channels(self) -> int:
        """Rows of samples."""
        return 1 if self.layout == "mono" else 2

    @property
    def step_s(self) -> float:
        """Seconds that fit a message."""
        return _SOUND_BYTES / (4 * self.rate_hz * self.n_channels)


class Child:
    """The process, and the messages that come from it."""

    def __init__(
        self, uri: str, config: SamplingConfig, limits: MediaLimits, sandbox: SandboxLimits
    ) -> None:
        self._uri, self._shown = uri, redact(uri)
        self._config, self._limits, self._sandbox = config, limits, sandbox
        self._max_frame_bytes = 3 * limits.max_pixels + FRAME_HEAD.size + LIVE_HEAD.size
        self._pts_s: float | None = None
        self.while_waiting: Callable[[float], None] | None = None
        """Called about twice a second with how long nothing has come (s); may raise to stop."""
        self.maps_frames = False
        """Whether what is large gets memory of its own, which goes back to the system when it is
        dropped: on the heap, a camera's pictures would leave holes between what stays."""
        self._process = _start()
        # A reader that is forgotten instead of closed takes its child along.
        weakref.finalize(self, _kill, self._process)
        assert self._process.stdout is not None
        self._pipe = self._process.stdout.fileno()
        self._reading = threading.RLock()
        """Held while the pipe is read: its number is another file's as soon as it is closed."""
        self.pid = self._process.pid

    def ask(
        self,
        *,
        after_s: float | None = None,
        probe_only: bool = False,
        moment_s: float | None = None,
        sound: SoundShape | None = None,
        sound_only: bool = False,
        subtitles: bool = False,
        picture_px: int | None = None,
        live: LiveConfig | None = None,
    ) -> None:
        """Send the request: one in the life of a child, though spans of sound follow one by one."""
        network = is_live_uri(self._uri) and not is_device_uri(self._uri)
        request = {
            "uri": self._uri if is_live_uri(self._uri) else os.path.abspath(self._uri),
            "config": asdict(self._config),
            "limits": asdict(self._limits),
            "after_s": after_s,
            "probe_only": probe_only,
            "moment_s": moment_s,
            "sound": None if sound is None else asdict(sound),
            "sound_only": sound_only,
            "subtitles": subtitles,
            "picture_px": picture_px,
            "live": None if live is None else asdict(live),
            "network": network,
            "device": device_path(self._uri),
            "root": str(_ROOT),
            **asdict(self._sandbox),
        }
        self._say(request, is_last=sound is None)

    def sound(
        self, start_s: float, end_s: float, shape: SoundShape, *, afresh: bool
    ) -> Float32[np.ndarray, "channel sample"] | None:
        """Return a span of sound in the shape asked for; `None` where there is no track."""
        self._say({"start_s": start_s, "end_s": end_s, "afresh": afresh}, is_last=False)
        kind, payload = self.message(SOUND, END)
        if kind == END:
            return None
        expected = round(end_s * shape.rate_hz) - round(start_s * shape.rate_hz)
        if len(payload) != 4 * expected * shape.n_channels:
            raise self._broken("the decoder sent sound of the wrong length")
        samples = np.frombuffer(payload, dtype=np.float32)
        if not np.isfinite(samples).all():
            raise self._broken("the decoder sent sound that is not finite")
        return samples.reshape(shape.n_channels, expected)

    def cues(self) -> tuple[SubtitleCue, ...]:
        """Return every subtitle of the source, in time order."""
        cues: list[SubtitleCue] = []
        while True:
            kind, payload = self.message(CUES, END)
            if kind == END:
                return tuple(cues)
            try:
                cues += [
                    SubtitleCue(
                        span=TimeSpan(start_s=float(start_s), end_s=float(end_s)),
                        text=str(text)[:MAX_CHARS],
                    )
                    for start_s, end_s, text in json.loads(bytes(payload))
                ]
            except (ValueError, TypeError) as error:
                raise self._broken("the decoder sent subtitles that make no sense") from error
            if len(cues) > MAX_CUES:
                raise self._broken("the decoder sent subtitles without end")

    def _say(self, request: dict[str, object], *, is_last: bool) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            if is_last:
                self._process.stdin.close()
        except BrokenPipeError as error:
            raise self._ended() from error

    def message(self, *kinds: bytes) -> tuple[bytes, memoryview]:
        """Return the next message of these kinds; what the child refuses is raised.

        A beat that nobody waits for is left out, any other kind breaks the protocol.
        """
        while True:
            kind, n_bytes = HEADER.unpack(self._exactly(HEADER.size))
            if n_bytes > self._most_bytes(kind):
                raise self._broken("the decoder sent a message that is too large")
            payload = self._exactly(n_bytes)
            if kind == ERROR:
                raise self._refusal(payload)
            if kind in kinds:
                return kind, payload
            if kind != BEAT:
                raise self._broken("the decoder sent something unasked")

    def _most_bytes(self, kind: bytes) -> int:
        if kind == FRAME:
            return self._max_frame_bytes
        return _MAX_RECORDED_BYTES if kind == RECORDED else _MAX_TEXT_BYTES

    def frame(self, payload: memoryview) -> tuple[Frame, SampleStats]:
        """Return a frame and the counts up to it."""
        head = FRAME_HEAD.unpack(payload[: FRAME_HEAD.size])
        pts_s, *stats, height, width, starts_chunk = head
        pixels = np.frombuffer(payload, dtype=np.uint8)[FRAME_HEAD.size :]
        if pixels.size != height * width * 3:
            raise self._broken("the decoder sent a frame of the wrong size")
        self._pts_s = pts_s
        frame = Frame(
            pixels=pixels.reshape(height, width, 3), pts_s=pts_s, starts_chunk=starts_chunk
        )
        return frame, unpacked_stats(stats)

    def info(self, payload: memoryview) -> tuple[MediaInfo, Confinement]:
        """Return what is known of the source, and the walls around the child."""
        try:
            facts = json.loads(bytes(payload))
            info = facts["info"]
            info["warnings"] = tuple(info["warnings"])
            info["tags"] = tuple((key, value) for key, value in info["tags"])
            return MediaInfo(**info), Confinement(**facts["walls"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._broken("the decoder sent facts that make no sense") from error

    def _refusal(self, payload: memoryview) -> LongwatchError:
        try:
            return _parsed_error(self._shown, json.loads(bytes(payload)), self._sandbox)
        except (ValueError, KeyError, TypeError):
            return self._broken("the decoder sent a refusal that makes no sense")

    def end(self) -> None:
        """Kill the process if it still runs; may be called twice, and while another thread reads.

        The thread that reads then finds the end of the pipe, and only after that is it closed.
        """
        _stop(self._process)
        with self._reading:
            _kill(self._process)

    def _exactly(self, n_bytes: int) -> memoryview:
        """Read so many bytes, into memory of their own."""
        with self._reading:
            return self._read(n_bytes)

    def _read(self, n_bytes: int) -> memoryview:
        if self._process.stdout is None or self._process.stdout.closed:
            raise self._ended()
        if self.maps_frames and n_bytes >= _MAPPED_BYTES:
            buffer = memoryview(mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        else:
            buffer = np.empty(n_bytes, dtype=np.uint8).data
        filled = 0
        began_at = time.monotonic()
        deadline = began_at + self._sandbox.stall_s + _GRACE_S
        while filled < n_bytes:
            left_s = max(0.0, deadline - time.monotonic())
            if self.while_waiting is not None:
                left_s = min(left_s, _LOOK_S)
            ready, _, _ = select.select([self._pipe], [], [], left_s)
            if not ready and self.while_waiting is not None and time.monotonic() < deadline:
                self.while_waiting(time.monotonic() - began_at)
                continue
            if not ready:
                raise self._broken(f"nothing moved for {self._sandbox.stall_s:.0f} s")
            got = os.readv(self._pipe, [buffer[filled:]])
            if not got:
                raise self._ended()
            filled += got
        return buffer

    def _broken(self, reason: str) -> MediaDecodeError:
        self.end()
        return _decode_error(self._shown, reason, self._pts_s)

    def _ended(self) -> LongwatchError:
        """Return the error that the exit status of a child stands for."""
        status = self._process.wait()
        self.end()
        if status == -signal.SIGALRM:
            reason = f"nothing moved for {self._sandbox.stall_s:.0f} s"
        elif status in (-signal.SIGXCPU, -signal.SIGKILL):
            reason = "the decoder was stopped by the system: too much memory or processor time"
        elif status < 0:
            reason = f"the decoder crashed on it ({signal.Signals(-status).name})"
        else:
            reason = f"the decoder process ended early (exit code {status})"
        return _decode_error(self._shown, reason, self._pts_s)


_ROOT = Path(__file__).resolve().parents[2]


def _start() -> "subprocess.Popen[bytes]":
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-I", "-B", "-X", "utf8", "-c", _BOOT, str(_ROOT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**_CHILD_ENVIRONMENT, **kept},
        cwd="/",
        start_new_session=True,
        pipesize=_PIPE_BYTES,
    )


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.kill()
    process.wait()


def _kill(process: "subprocess.Popen[bytes]") -> None:
    _stop(process)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def unpacked_stats(values: Sequence[int]) -> SampleStats:
    """Return the counts that stand before a frame, in the order of their fields."""
    return SampleStats(**dict(zip(_STATS_FIELDS, values, strict=True)))


_STATS_FIELDS = tuple(field.name for field in fields(SampleStats))


def _decode_error(uri: str, reason: str, pts_s: float | None) -> MediaDecodeError:
    return MediaDecodeError(
        uri, reason, pts_s=pts_s, hint="convert it to H.264 with a tool you trust, then try again"
    )


def _parsed_error(uri: str, message: dict[str, Any], sandbox: SandboxLimits) -> LongwatchError:
    """Return the child's refusal as one of our own classes; it can raise nothing else."""
    facts = message["fields"]
    match message["class"]:
        case "NetworkDisabledError":
            return NetworkDisabledError(uri)
        case "SoundOnlyError":
            return SoundOnlyError(uri)
        case "MediaRefusedError":
            return MediaRefusedError(uri, facts["reason"], hint=facts["hint"])
        case "MediaDecodeError":
            return MediaDecodeError(uri, facts["reason"], pts_s=facts["pts_s"], hint=facts["hint"])
        case "LimitExceededError":
            return LimitExceededError(
                facts["what"], facts["value"], facts["limit"], field=facts["field"]
            )
        case "FeedRefusedError":
            return FeedRefusedError(facts["message"], hint=facts["hint"])
        case "UnreachableError":
            return UnreachableError(facts["message"], hint=facts["hint"])
        case "MissingCapabilityError":
            return MissingCapabilityError(facts["message"], hint=facts["hint"])
        case "MemoryError":
            return MediaRefusedError(
                uri,
                f"decoding it takes more than {sandbox.memory_bytes / 2**30:.2g} GiB of memory",
                hint="convert it to a smaller picture size",
            )
    return _decode_error(uri, "the decoder process failed", None)
