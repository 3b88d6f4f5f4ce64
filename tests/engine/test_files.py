"""Files: whole or not there, and on the disk before anybody is told of them."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.files import (
    atomic_write,
    atomic_write_bytes,
    fsync_rename,
    is_out_of_space,
    make_folder,
)
from tests.support.disk_log import record_disk


def write_half(path: Path, error: Exception) -> None:
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"half of")
        raise error


def test_written_file_is_there_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    for content in (b"first", b"second"):
        atomic_write_bytes(path, content)
        assert path.read_bytes() == content
    assert [*tmp_path.iterdir()] == [path]


def test_readers_see_the_earlier_file_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"earlier")
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"later")
        assert path.read_bytes() == b"earlier"
    assert path.read_bytes() == b"later"


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), ZeroDivisionError()]
)
def test_failed_write_leaves_the_earlier_file_and_nothing_else(
    tmp_path: Path, error: Exception
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"earlier")
    with pytest.raises(type(error)):
        write_half(path, error)
    assert path.read_bytes() == b"earlier"
    assert [*tmp_path.iterdir()] == [path]


def test_two_writers_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    with atomic_write(path) as first, atomic_write(path) as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert path.read_bytes() == b"first"
    assert [*tmp_path.iterdir()] == [path]


def test_single_writer_overwrites_what_a_killed_one_left(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    code = (
        "import os, signal; from pathlib import Path; from engine.files import atomic_write\n"
        f"with atomic_write(Path({str(path)!r}), single_writer=True) as temporary:\n"
        "    temporary.write_bytes(b'half of'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists()
    assert len([*tmp_path.iterdir()]) == 1
    with atomic_write(path, single_writer=True) as temporary:
        temporary.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    assert [*tmp_path.iterdir()] == [path]


def test_file_is_flushed_before_it_gets_its_name_and_the_name_after(tmp_path: Path) -> None:
    with record_disk(tmp_path) as log, atomic_write(tmp_path / "a", single_writer=True) as path:
        path.write_bytes(b"x")
    folder = f"{tmp_path.name}/"
    assert log.entries == [("fsync", ".a.part"), ("rename", ".a.part", "a"), ("fsync", folder)]


def test_file_that_may_be_lost_is_not_flushed(tmp_path: Path) -> None:
    with record_disk(tmp_path) as log:
        atomic_write_bytes(tmp_path / "a", b"x", durable=False)
    assert [verb for verb, *_ in log.entries] == ["rename"]


def test_moved_file_is_the_same_file_and_on_the_disk(tmp_path: Path) -> None:
    uploads, media = tmp_path / "uploads", tmp_path / "media"
    for folder in (uploads, media):
        folder.mkdir()
    source, target = uploads / "ff.part", media / "ff.bin"
    source.write_bytes(b"whole")
    inode = source.stat().st_ino
    with record_disk(tmp_path) as log:
        fsync_rename(source, target)
    assert (target.stat().st_ino, source.exists()) == (inode, False)
    assert log.entries == [
        ("fsync", "ff.part"),
        ("rename", "ff.part", "ff.bin"),
        ("fsync", "media/"),
        ("fsync", "uploads/"),
    ]
    with pytest.raises(FileNotFoundError):
        fsync_rename(source, target)


def test_every_new_folder_is_on_the_disk(tmp_path: Path) -> None:
    with record_disk(tmp_path) as log:
        make_folder(tmp_path / "latents" / "f00d" / "lobby")
    folders = [f"{tmp_path.name}/", "latents/", "f00d/"]
    assert log.entries == [("fsync", name) for name in folders]
    with record_disk(tmp_path) as log:
        make_folder(tmp_path / "latents" / "f00d" / "lobby")
    assert log.entries == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_full_disk_is_told_from_a_broken_one(code: int) -> None:
    assert is_out_of_space(OSError(code, "x")) == (code != errno.EIO)
