"""A cluster that is reached from outside of it, by the port of Ray's client."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.media.encode import write_video
from engine.models.video_xl import model as video_xl
from storage.catalog import open_catalog
from storage.records import JobRow

pytest.importorskip("ray")
pytest.importorskip("grpc", reason="Ray's client needs grpcio: pip install 'ray[client]'")

pytestmark = pytest.mark.scale

PATIENCE_S = 180.0
STORE_BYTES = 80 << 20
ROOT = Path(__file__).parents[3]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@pytest.fixture
def environment() -> dict[str, str]:
    """Of the cluster and of the command, as both have Longwatch installed."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": path}


@pytest.fixture
def head(environment: dict[str, str]) -> Iterator[str]:
    """The address at which the head of a cluster takes clients."""
    # Its sockets lie there, and their paths are short.
    folder = tempfile.mkdtemp(prefix="lw-ray-", dir="/tmp")
    port = free_port()
    options = {
        "port": free_port(),
        "ray-client-server-port": port,
        "num-cpus": 1,
        "include-dashboard": "false",
        "object-store-memory": STORE_BYTES,
        "temp-dir": folder,
    }
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    command += [f"--{name}={value}" for name, value in options.items()]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as started:
        try:
            await_port(port, started)
            yield f"ray://127.0.0.1:{port}"
        finally:
            started.terminate()
            started.wait()
            shutil.rmtree(folder, ignore_errors=True)


def await_port(port: int, started: "subprocess.Popen[bytes]") -> None:
    end_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert started.poll() is None, "the head has ended"
            assert time.monotonic() < end_s, "nobody answers there"
        time.sleep(0.2)


def test_videos_are_read_on_a_cluster_from_outside_though_a_reader_dies(
    head: str, environment: dict[str, str], tmp_path: Path
) -> None:
    checkpoint, home, clips = tmp_path / "tiny", tmp_path / "home", []
    checkpoint.mkdir()
    video_xl.write_tiny(checkpoint)
    rng = np.random.default_rng(5)
    for number in range(2):
        clips.append(tmp_path / f"clip{number}.mp4")
        frames = (rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(2400))
        write_video(clips[-1], frames, 4.0)
    command = [sys.executable, "-m", "app", "ingest", *map(str, clips), "--on", head, "--json"]
    with subprocess.Popen(
        [*command, "--home", str(home), "--model", str(checkpoint)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        killed = kill_reader(home, running)
        printed, said = running.communicate(timeout=2 * PATIENCE_S)
    assert running.returncode == 0, said[-2000:]
    document = json.loads(printed)
    assert [video["status"] for video in document["videos"]] == ["ready", "ready"]
    n_chunks = sum(video["chunks"] for video in document["videos"])
    assert len(list((home / "latents").rglob("*.safetensors"))) == n_chunks
    assert killed.progress.done > 0, "it was at work"


def kill_reader(home: Path, running: "subprocess.Popen[str]") -> JobRow:
    """Kill the process of the first reader that has read something; return its job as it was."""
    end_s = time.monotonic() + PATIENCE_S
    while not (home / "longwatch.db").exists():
        assert running.poll() is None, running.communicate()[1][-2000:]
        assert time.monotonic() < end_s, "nothing was begun"
        time.sleep(0.1)
    with open_catalog(f"sqlite:///{home / 'longwatch.db'}") as catalog:
        while True:
            for job in catalog.jobs.list("running"):
                if job.worker is not None and job.progress.done > 0:
                    os.kill(int(job.worker.rpartition(":")[2]), signal.SIGKILL)
                    return job
            assert running.poll() is None, running.communicate()[1][-2000:]
            assert time.monotonic() < end_s, "nobody reads"
            time.sleep(0.02)
