"""The sandbox: hostile files end as their manifest says, touch nothing, and never hang."""

import gc
import http.server
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from app.errors import hint_for
from app.sandbox.channel import SandboxLimits
from app.sandbox.reader import SandboxedReader, frame_at_foreign, probe_foreign
from engine.errors import (
    InputRefusedError,
    LimitExceededError,
    LongwatchError,
    MediaDecodeError,
    MediaRefusedError,
    UnreachableError,
)
from engine.media.encode import write_video
from engine.media.sample import FrameReader, SamplingConfig
from engine.media.source import MediaLimits
from tests.support.synthetic import read_index, spelled_video

LIMITS = MediaLimits()
EVERY = SamplingConfig(fps=1000.0, thin_static=False)
MOST_CPU_S = 4.0
MOST_WALL_S = 30.0
"""Of a busy machine; what a file costs is seen in processor time."""
MOST_RESIDENT_KIB = 1 << 20


def _hostile() -> list[dict[str, object]]:
    """Rows of the manifest; none where the recordings are missing, and then the test skips."""
    root = Path(os.environ.get("LONGWATCH_TEST_DATA", "../shared/data"))
    manifest = root / "manifest.json"
    if not manifest.is_file():
        return []
    rows = json.loads(manifest.read_text())["hostile"]
    return [{"file": row["file"], **row["expected"]} for row in rows]


@pytest.fixture(scope="module")
def small_parent() -> Iterator[ProcessPoolExecutor]:
    """A process that has little memory: what a child starts with counts as the child's."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("row", _hostile(), ids=lambda row: ascii(row["file"]))
def test_hostile_file_ends_as_its_manifest_says(
    row: dict[str, object], shared_data: Path, small_parent: ProcessPoolExecutor
) -> None:
    path = shared_data / str(row["file"])
    (outcome, n, warned), spent = small_parent.submit(_measured, path).result()
    assert spent.wall_s < MOST_WALL_S
    assert spent.cpu_s < MOST_CPU_S
    assert spent.resident_kib <= MOST_RESIDENT_KIB
    expected, frames = str(row["outcome"]), row["video_frames"]
    match expected:
        case "accept":
            assert (outcome, n) == ("read", frames)
        case "accept_partial":
            assert outcome == "read"
            assert isinstance(frames, int)
            assert 0.9 * frames <= n <= frames
            assert warned, "what is missing must be said"
        case "accept_or_reject" | "accept_or_limit":
            assert (outcome, n) == ("read", frames) or outcome in ("refused", "limit")
        case "audio_only":
            assert outcome == "sound only"
        case "reject":
            assert outcome == "refused"
        case "refuse_unsafe":
            assert outcome == "unsafe"
        case _:
            pytest.fail(f"the manifest knows an outcome that this test does not: {expected}")


class _Spent(NamedTuple):
    wall_s: float
    cpu_s: float
    resident_kib: int
    """Of the largest child so far."""


def _measured(path: Path) -> tuple[tuple[str, int, bool], _Spent]:
    """What became of a file, and what its child spent."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    outcome = _outcome(path)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return outcome, _Spent(time.monotonic() - started, cpu_s, used.ru_maxrss)


def _outcome(path: Path) -> tuple[str, int, bool]:
    """What became of a file, frames read, and whether anything was warned about."""
    try:
        with SandboxedReader(str(path), EVERY, limits=LIMITS) as reader:
            times = [frame.pts_s for frame in reader]
            info = reader.info
    except (LimitExceededError, MediaRefusedError) as error:
        return _refusal(error), 0, False
    assert times == sorted(set(times)), "times must rise"
    assert times[0] == 0
    return "read", len(times), bool(info.warnings)


def _refusal(error: LimitExceededError | MediaRefusedError) -> str:
    assert "\n" not in error.message
    assert hint_for(error)
    if isinstance(error, LimitExceededError):
        return "limit"
    if "sound only" in error.reason:
        return "sound only"
    return "unsafe" if "other files or hosts" in error.reason else "refused"


@pytest.fixture
def listener() -> Iterator[tuple[int, list[str]]]:
    """A local web server that remembers what it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1], asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("name", ["clip.mp4", "clip.m3u8", "clip.txt"])
def test_scripts_open_neither_files_nor_sockets(
    tmp_path: Path, listener: tuple[int, list[str]], name: str
) -> None:
    port, asked = listener
    canary = spelled_video(tmp_path / "canary.mp4", 5)
    os.utime(canary, (1, 1))
    scripts = [
        f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:{port}/a.ts\n",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{canary}\n",
        f"ffconcat version 1.0\nfile canary.mp4\nfile http://127.0.0.1:{port}/b.mp4\n",
        f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "http://127.0.0.1:{port}/c">]><a/>',
        f"<MPD><BaseURL>http://127.0.0.1:{port}/d.mp4</BaseURL></MPD>",
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\n",
        # The same behind bytes that a sniffer takes for a video: the lists must hold alone.
        f"RIFF....AVI #EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:{port}/e.ts\n",
    ]
    for script in scripts:
        path = tmp_path / name
        path.write_text(script)
        with pytest.raises(MediaRefusedError):
            probe_foreign(str(path), LIMITS)
    assert asked == []
    assert canary.stat().st_atime == 1, "another file was read"


def test_sandboxed_frames_equal_those_read_here(tmp_path: Path) -> None:
    path = str(spelled_video(tmp_path / "clip.mp4", 60))
    with FrameReader(path, EVERY, limits=LIMITS) as here:
        expected = list(here)
    with SandboxedReader(path, EVERY, limits=LIMITS) as there:
        frames = list(there)
        assert there.info == here.info
        assert there.stats == here.stats
    assert [frame.pts_s for frame in frames] == [frame.pts_s for frame in expected]
    assert all(
        a.pixels.tobytes() == b.pixels.tobytes() for a, b in zip(frames, expected, strict=True)
    )


def test_sandboxed_reader_resumes_with_the_same_bytes(tmp_path: Path) -> None:
    path = str(spelled_video(tmp_path / "clip.mp4", 120))
    config = SamplingConfig(fps=5.0, group_frames=4, static_threshold=0.05)
    with SandboxedReader(path, config, limits=LIMITS) as reader:
        whole = list(reader)
    with SandboxedReader(path, config, limits=LIMITS, after_s=whole[7].pts_s) as reader:
        rest = list(reader)
    assert [frame.pts_s for frame in rest] == [frame.pts_s for frame in whole[8:]]
    assert all(
        a.pixels.tobytes() == b.pixels.tobytes() for a, b in zip(rest, whole[8:], strict=True)
    )


def test_sandbox_hands_on_where_thinning_ends_a_chunk(tmp_path: Path) -> None:
    path = tmp_path / "door.mp4"
    levels = [40] * 40 + [200] * 20
    write_video(path, (np.full((64, 64, 3), level, dtype=np.uint8) for level in levels), 1.0)
    config = SamplingConfig(group_frames=4)
    with SandboxedReader(str(path), config, limits=LIMITS) as reader:
        assert [frame.pts_s for frame in reader if frame.starts_chunk] == [40]


def test_sandboxed_moment_is_the_frame_shown_then(tmp_path: Path) -> None:
    path = str(spelled_video(tmp_path / "clip.mp4", 60))
    frame = frame_at_foreign(path, 1.25, limits=LIMITS)
    assert read_index(frame.pixels) == 31
    assert frame.pts_s == pytest.approx(1.24)


def test_closing_early_ends_the_child(tmp_path: Path) -> None:
    path = str(spelled_video(tmp_path / "clip.mp4", 400))
    reader = SandboxedReader(path, EVERY, limits=LIMITS)
    assert read_index(next(reader).pixels) == 0
    reader.close()
    reader.close()
    assert list(reader) == []
    with pytest.raises(ProcessLookupError):
        os.kill(reader.pid, 0)


def test_forgotten_reader_takes_its_child_along(tmp_path: Path) -> None:
    path = str(spelled_video(tmp_path / "clip.mp4", 400))
    reader = SandboxedReader(path, EVERY, limits=LIMITS)
    next(reader)
    pid = reader.pid
    del reader
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_too_little_memory_is_a_sentence(tmp_path: Path) -> None:
    path = str(spelled_video(tmp_path / "clip.mp4", 5))
    with pytest.raises(LongwatchError) as caught:
        probe_foreign(path, LIMITS, sandbox=SandboxLimits(memory_bytes=64 << 20))
    assert isinstance(caught.value, InputRefusedError)


def test_passed_processor_time_is_a_sentence(shared_data: Path) -> None:
    path = str(shared_data / "long" / "patrol_10min.mp4")
    with (
        pytest.raises(MediaDecodeError, match="processor time"),
        SandboxedReader(path, EVERY, limits=LIMITS, sandbox=SandboxLimits(cpu_s=1)) as reader,
    ):
        for _ in reader:
            pass


def test_crash_of_the_decoder_is_a_sentence_with_the_last_good_time(tmp_path: Path) -> None:
    path = str(spelled_video(tmp_path / "clip.mp4", 400, height=360, width=640))
    with SandboxedReader(path, EVERY, limits=LIMITS) as reader:
        next(reader)
        os.kill(reader.pid, signal.SIGSEGV)
        with pytest.raises(MediaDecodeError, match="SIGSEGV") as caught:
            list(reader)
    assert caught.value.pts_s is not None


def test_hang_of_the_decoder_is_a_sentence(tmp_path: Path) -> None:
    path = str(spelled_video(tmp_path / "clip.mp4", 5))
    with pytest.raises(MediaDecodeError, match="nothing moved"):
        # Python itself takes longer to start.
        probe_foreign(path, LIMITS, sandbox=SandboxLimits(stall_s=0.01))


def test_missing_file_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="no such file"):
        probe_foreign(str(tmp_path / "none.mp4"), LIMITS)


def test_limits_have_two_sides(tmp_path: Path) -> None:
    path = spelled_video(tmp_path / "clip.mp4", 25)
    size = path.stat().st_size
    assert probe_foreign(str(path), MediaLimits(max_bytes=size, max_side_px=160)).width_px == 160
    for limits in (
        MediaLimits(max_bytes=size - 1),
        MediaLimits(max_side_px=159),
        MediaLimits(max_duration_s=0.5),
    ):
        with pytest.raises(LimitExceededError):
            probe_foreign(str(path), limits)


WALLED = """
import json, sys
sys.path.insert(0, sys.argv[1])
from app.sandbox.child import readable_paths
from app.sandbox.confine import confine

def opened(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode()
    except OSError as error:
        return type(error).__name__

request = {"uri": sys.argv[2], "network": False, "device": None, "root": sys.argv[1]}
walls = confine(memory_bytes=3 << 30, cpu_s=60, readable=readable_paths(request), network=False)
print(json.dumps([walls.no_other_files, *map(opened, sys.argv[2:])]))
"""


WALLED_DEVICE = """
import fcntl, json, os, sys, termios
sys.path.insert(0, sys.argv[1])
from app.sandbox.confine import confine

def used(path):
    try:
        device = os.open(path, os.O_RDWR)
    except OSError as error:
        return type(error).__name__
    try:
        fcntl.ioctl(device, termios.TIOCGWINSZ, bytes(8))
    except OSError as error:
        return os.strerror(error.errno)

walls = confine(memory_bytes=3 << 30, cpu_s=60, readable=[], network=False, device="/dev/full")
print(json.dumps([walls.no_other_files, used("/dev/full"), used("/dev/zero")]))
"""


def test_child_of_a_webcam_may_use_its_device_and_no_other() -> None:
    # Any device stands for a webcam: the walls are about its path.
    root = Path(__file__).resolve().parents[3]
    child = subprocess.run(
        [sys.executable, "-c", WALLED_DEVICE, root], check=True, capture_output=True, text=True
    )
    has_walls, used, refused = json.loads(child.stdout)
    if not has_walls:
        pytest.skip("this kernel has no Landlock")
    assert used == "Inappropriate ioctl for device", "it was asked, and is no terminal"
    assert refused == "PermissionError"


def test_child_may_open_its_file_and_no_neighbour_of_it(tmp_path: Path) -> None:
    own, neighbour = tmp_path / "own.mp4", tmp_path / "neighbour.mp4"
    own.write_text("mine")
    neighbour.write_text("somebody's")
    root = Path(__file__).resolve().parents[3]
    child = subprocess.run(
        [sys.executable, "-c", WALLED, root, own, neighbour],
        check=True,
        capture_output=True,
        text=True,
    )
    has_walls, read, refused = json.loads(child.stdout)
    if not has_walls:
        pytest.skip("this kernel has no Landlock")
    assert read == "mine"
    assert refused == "PermissionError"
