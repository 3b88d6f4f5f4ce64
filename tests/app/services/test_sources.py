"""What a user names to what can be read."""

import os
import time
from pathlib import Path

import pytest

from app.services.context import ServiceContext
from app.services.sources import describe_skipped, expand, identify
from app.worker.foreground import ingest_now
from engine.errors import InputRefusedError, LongwatchError, UnreachableError


def test_folder_becomes_its_media_sorted(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.MKV", "notes.txt", "deep/c.ts"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    names = [Path(found).name for found in expand([str(tmp_path)])]
    assert names == ["a.MKV", "b.mp4", "c.ts"]


def test_cameras_are_left_as_they_are() -> None:
    assert list(expand(["rtsp://camera.example/1"])) == ["rtsp://camera.example/1"]


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match=r"nowhere\.mp4"):
        list(expand([str(tmp_path / "nowhere.mp4")]))


@pytest.mark.parametrize("source", ["", " "])
def test_empty_path_is_not_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    (tmp_path / "front.mp4").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnreachableError, match="empty path"):
        list(expand([source]))


def test_folder_without_media_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefusedError, match="no video"):
        list(expand([str(tmp_path)]))


def test_identity_is_of_content_not_of_name(tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    one.write_bytes(bytes(range(256)) * 4096)
    same.write_bytes(one.read_bytes())
    other.write_bytes(one.read_bytes()[:-1] + b"!")
    assert identify(one) == identify(same)
    assert identify(one) != identify(other)


def test_empty_file_has_an_identity(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert identify(tmp_path / "empty")


@pytest.mark.parametrize("kind", ["pipe", "device", "loop", "long name"])
def test_what_is_no_file_is_refused_at_once(
    context: ServiceContext, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "clip.mp4"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)
    else:
        path = tmp_path / ("x" * 5000)
    began = time.monotonic()
    with pytest.raises(LongwatchError):
        ingest_now(context, [str(path)])
    assert time.monotonic() - began < 5


def test_hidden_files_links_and_other_endings_are_left_alone_and_counted(tmp_path: Path) -> None:
    for name in (".hidden.mp4", "a.mp4", "b.gif", "c.gif", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".trash").mkdir()
    (tmp_path / ".trash" / "d.mp4").write_bytes(b"x")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "a.mp4")
    assert list(expand([str(tmp_path)])) == [str(tmp_path / "a.mp4")]
    assert describe_skipped(str(tmp_path)) == (
        f"6 files of {tmp_path} left alone: 2 .gif, 1 .txt, 2 hidden, 1 link"
    )
    assert describe_skipped(str(tmp_path / "a.mp4")) is None
