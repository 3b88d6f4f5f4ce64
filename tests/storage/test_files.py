"""Files: no name leaves the home folder, and a file is whole or not there."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.errors import DiskFullError, UnreachableError
from engine.records import VideoId
from storage.files import Blobs, move, writing, writing_beside
from storage.records import UploadId

VIDEO = VideoId("a1b2c3")


def write_half(path: Path, error: Exception) -> None:
    with writing(path) as file:
        file.write(b"half of")
        raise error


def test_files_lie_where_the_contract_says(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    assert blobs.media(VIDEO, ".mp4") == tmp_path / "media" / "a1b2c3.mp4"
    assert blobs.thumb(VIDEO, "00012.jpg") == tmp_path / "thumbs" / "a1b2c3" / "00012.jpg"
    assert blobs.proxy(VIDEO) == tmp_path / "proxies" / "a1b2c3.mp4"
    assert blobs.upload(UploadId("ff")) == tmp_path / "uploads" / "ff"
    assert (blobs.latents, blobs.index) == (tmp_path / "latents", tmp_path / "index")
    assert not any(tmp_path.iterdir())


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text())
@example("..")
@example("../a")
@example("a/../../b")
@example("/etc/passwd")
@example("a\x00b")
@example("a\n")
@example("C:\\a")
@example("%2e%2e")
@example("a" * 4096)
@example("")
def test_no_name_leaves_its_folder(tmp_path: Path, name: str) -> None:
    blobs = Blobs(tmp_path)
    for folder, at in (
        ("proxies", lambda: blobs.proxy(VideoId(name))),
        ("uploads", lambda: blobs.upload(UploadId(name))),
        (f"thumbs/{VIDEO}", lambda: blobs.thumb(VIDEO, name)),
        ("media", lambda: blobs.media(VIDEO, name)),
    ):
        try:
            path = at()
        except ValueError:
            continue
        assert path.parent == tmp_path / folder
        assert path.resolve().parent == path.parent


def test_written_file_is_there_and_nothing_beside_it(tmp_path: Path) -> None:
    path = Blobs(tmp_path).thumb(VIDEO, "a.jpg")
    for content in (b"first", b"second"):
        with writing(path) as file:
            file.write(content)
        assert path.read_bytes() == content
    assert [*path.parent.iterdir()] == [path]


def test_full_disk_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"earlier")
    with pytest.raises(DiskFullError, match=r"a\.jpg: no space left"):
        write_half(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert path.read_bytes() == b"earlier"
    assert [*tmp_path.iterdir()] == [path]


def test_file_that_failed_half_way_never_appears(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with pytest.raises(ZeroDivisionError):
        write_half(path, ZeroDivisionError())
    assert not any(tmp_path.iterdir())


def test_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "thumbs").write_text("in the way")
    path = Blobs(tmp_path).thumb(VIDEO, "a.jpg")
    with pytest.raises(UnreachableError, match="thumbs"), writing(path):
        pass


def test_writer_that_was_killed_leaves_only_what_is_swept(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    path = blobs.proxy(VIDEO)
    code = (
        "import os, signal; from pathlib import Path; from storage.files import writing\n"
        f"with writing(Path({str(path)!r})) as file:\n"
        "    file.write(b'half of'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    assert killed.returncode == -9
    assert not path.exists()
    assert blobs.sweep() == 0
    assert blobs.sweep(older_than_s=-1) == 1
    assert not any(path.parent.iterdir())


def test_moved_file_is_the_same_file(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    upload, target = blobs.upload(UploadId("ff")), blobs.media(VIDEO, ".mp4")
    with writing(upload) as file:
        file.write(b"whole")
    inode = upload.stat().st_ino
    move(upload, target)
    assert (target.stat().st_ino, upload.exists()) == (inode, False)
    with pytest.raises(UnreachableError):
        move(upload, target)


def test_everything_of_a_video_goes_and_nothing_else(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    kept = [
        blobs.media(VideoId("a1b2c3.d"), ".mp4"),
        blobs.proxy(VideoId("a1b2c3d")),
        blobs.latents / "f1" / "other" / "00000000.safetensors",
        tmp_path / "longwatch.db",
    ]
    gone = [
        blobs.media(VIDEO, ".mp4"),
        blobs.proxy(VIDEO),
        blobs.thumb(VIDEO, "a.jpg"),
        blobs.latents / "f1" / VIDEO / "00000000.safetensors",
        blobs.latents / "f2" / VIDEO / "00000000.safetensors",
    ]
    for path in kept + gone:
        with writing(path) as file:
            file.write(b"x")
    blobs.remove(VIDEO)
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in gone)
    blobs.remove(VIDEO)


def test_free_space_is_known_before_the_home_folder_exists(tmp_path: Path) -> None:
    assert Blobs(tmp_path / "not" / "yet").free_bytes() > 0


def test_sweep_leaves_young_parts_alone(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    with writing_beside(blobs.proxy(VIDEO)) as beside:
        beside.write_bytes(b"growing")
        os.utime(beside, (time.time() - 3600, time.time() - 3600))
        assert blobs.sweep() == 0
