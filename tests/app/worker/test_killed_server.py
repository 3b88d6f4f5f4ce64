"""A server killed while it reads goes on after its next start and ends with the same bytes."""

import hashlib
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.services.benchmarks.web import sign_in
from app.services.sources import identify
from engine.media.encode import write_video
from engine.models.video_xl.model import write_tiny
from engine.records import VideoId
from storage.catalog import open_catalog
from tests.browser.stage import open_stage

VIDEO = VideoId("noise")
FRAMES = 600


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights."""
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise, so that no frame is thinned out."""
    path = tmp_path_factory.mktemp("clip") / "noise.mp4"
    rng = np.random.default_rng(7)
    frames = (rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(FRAMES))
    write_video(path, frames, 1.0)
    return path


def wait_until(client: httpx.Client, n_chunks: int | None) -> dict[str, object]:
    """The video once it has so many chunks, or is ready."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        row: dict[str, object] = client.get(f"/api/v1/videos/{VIDEO}").json()
        if row["status"] == "ready" or (n_chunks and int(str(row["chunks"])) >= n_chunks):
            return row
        time.sleep(0.02)
    raise TimeoutError(f"not read within 90 s: {row}")


def prepare(home: Path, clip: Path) -> None:
    """The same id in both libraries: it stands in the files."""
    with open_catalog(f"sqlite:///{home / 'longwatch.db'}") as catalog:
        catalog.videos.add(name="noise", uri=str(clip), identity=identify(clip), id=VIDEO)


def latents(home: Path) -> dict[str, str]:
    """A digest of every latent file."""
    files = sorted((home / "latents").rglob("*.safetensors"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
def test_killed_server_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, model: Path, clip: Path
) -> None:
    for name in ("calm", "killed"):
        (tmp_path / name).mkdir()
        prepare(tmp_path / name, clip)
    with open_stage(tmp_path / "calm", model=str(model)) as stage, sign_in(stage) as client:
        client.post(f"/api/v1/videos/{VIDEO}/ingest").raise_for_status()
        wait_until(client, None)
    with open_stage(tmp_path / "killed", model=str(model)) as stage, sign_in(stage) as client:
        client.post(f"/api/v1/videos/{VIDEO}/ingest").raise_for_status()
        before = wait_until(client, 3)
        stage.process.kill()
        stage.process.wait()
    assert before["status"] == "ingesting", "it was read before it could be killed"
    half = latents(tmp_path / "killed")
    with open_stage(tmp_path / "killed", model=str(model)) as stage, sign_in(stage) as client:
        wait_until(client, None)
        states = [job["state"] for job in client.get("/api/v1/jobs").json()["jobs"]]
    assert 0 < len(half) < len(latents(tmp_path / "calm"))
    assert latents(tmp_path / "killed") == latents(tmp_path / "calm")
    assert "failed" not in states
