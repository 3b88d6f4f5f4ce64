"""A disk that is full at any moment of an ingest: one sentence, and later the same latents.

The home lies on a small disk of its own, in memory, mounted for the command alone.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from engine.media.encode import write_video
from engine.models.video_xl import model as video_xl

FREE_KB = [8, pytest.param(4, marks=pytest.mark.slow)] + [
    pytest.param(kilobytes, marks=pytest.mark.slow) for kilobytes in range(16, 320, 16)
]
SCRIPT = """
set -e
home=$1; free_kb=$2; clip=$3; out=$4; shift 4
mkdir -p "$home"; mount -t tmpfs -o size=8m tmpfs "$home"
"$@" videos list --home "$home" > /dev/null
available=$(df --output=avail -k "$home" | tail -1)
dd if=/dev/zero of="$home/filler" bs=1k count=$((available - free_kb)) 2> /dev/null
set +e
"$@" ingest "$clip" --home "$home" > "$out/full.out" 2> "$out/full.err"; echo $? > "$out/full.rc"
"$@" videos list --home "$home" > "$out/list.out" 2>&1; echo $? > "$out/list.rc"
rm "$home/filler"
"$@" ingest "$clip" --home "$home" > "$out/again.out" 2>&1; echo $? > "$out/again.rc"
"$@" videos reindex --home "$home" > "$out/reindex.out" 2>&1
cp -r "$home/latents" "$out/latents"
find "$home" -name '*.part' > "$out/parts"
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    video_xl.write_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "noise.mp4"
    rng = np.random.default_rng(7)
    write_video(path, (rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(160)), 4.0)
    return path


def fill_up(folder: Path, checkpoint: Path, clip: Path, free_kb: int) -> dict[str, str]:
    """Ingest on a disk with so much room, then with enough; what the commands left."""
    out = folder / "out"
    out.mkdir(parents=True)
    longwatch = [
        *("env", f"LONGWATCH_MODEL={checkpoint}", "LONGWATCH_LIMITS__DISK_RESERVE_BYTES=0"),
        *(sys.executable, "-m", "app"),
    ]
    arguments = [str(folder / "home"), str(free_kb), str(clip), str(out), *longwatch]
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*namespace, "true"], check=False).returncode:
        pytest.skip("this machine lets nobody mount a disk")
    subprocess.run([*namespace, "sh", "-c", SCRIPT, "sh", *arguments], check=True)
    texts = {path.name: path.read_text() for path in out.iterdir() if path.is_file()}
    texts["digests"] = " ".join(
        tensor_digest(path) for path in sorted((out / "latents").rglob("*.safetensors"))
    )
    return texts


def tensor_digest(path: Path) -> str:
    """Digest the tensors; the header names the video, which has another id each time."""
    tensors = load_file(path)
    content = b"".join(tensors[name].tobytes() for name in sorted(tensors))
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, clip: Path) -> str:
    left = fill_up(tmp_path_factory.mktemp("whole"), checkpoint, clip, 4000)
    assert left["full.rc"].strip() == "0", left["full.err"]
    return left["digests"]


@pytest.mark.parametrize("free_kb", FREE_KB)
def test_full_disk_is_a_sentence_and_loses_nothing(
    tmp_path: Path, checkpoint: Path, clip: Path, expected: str, free_kb: int
) -> None:
    left = fill_up(tmp_path, checkpoint, clip, free_kb)
    assert left["full.rc"].strip() in {"0", "3"}, left["full.err"]
    if left["full.rc"].strip() == "3":
        assert "space" in left["full.err"].splitlines()[-1]
    assert left["list.rc"].strip() == "0", left["list.out"]
    assert left["again.rc"].strip() == "0", left["again.out"]
    assert left["parts"] == ""
    assert left["digests"] == expected
