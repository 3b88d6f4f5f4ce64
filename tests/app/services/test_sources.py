"""What a user names to what can be read."""

from pathlib import Path

import pytest

from app.services.sources import expand, identify
from engine.errors import InputRefusedError, UnreachableError


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
