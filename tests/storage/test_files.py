"""The home folder: one place spells its paths, and no name leads out of it."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.errors import UnreachableError
from engine.records import VideoId
from storage.files import HomeFolder
from storage.records import ProbeRunId, UploadId

VIDEO = VideoId("a1b2c3")


def write(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_files_lie_where_libraries_of_before_have_them(tmp_path: Path) -> None:
    home = HomeFolder(tmp_path)
    paths = {
        "longwatch.db": home.database,
        "media/ff.bin": home.original(UploadId("ff")),
        "uploads/ff.part": home.upload_part(UploadId("ff")),
        "latents": home.latents,
        "index": home.index,
        "models": home.models,
        "thumbs/a1b2c3/12_320.jpg": home.still(VIDEO, 12, 320),
        "thumbs/a1b2c3/sprite.jpg": home.sprite(VIDEO),
        "thumbs/a1b2c3/sprite.json": home.sprite_facts(VIDEO),
        "thumbs/probes/7/0.png": home.probe_still(ProbeRunId(7), 0),
        "proxies/a1b2c3.mp4": home.proxy(VIDEO),
        "needles/my cards": home.needle_set("my cards"),
    }
    assert {str(path.relative_to(tmp_path)) for path in paths.values()} == {*paths}
    assert all(path == tmp_path / name for name, path in paths.items())
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
    home = HomeFolder(tmp_path)
    calls: dict[str, Callable[[], Path]] = {
        "proxies": lambda: home.proxy(VideoId(name)),
        "uploads": lambda: home.upload_part(UploadId(name)),
        "media": lambda: home.original(UploadId(name)),
        "thumbs": lambda: home.stills(VideoId(name)),
        "needles": lambda: home.needle_set(name),
    }
    for folder, call in calls.items():
        try:
            path = call()
        except ValueError:
            continue
        assert path.parent == tmp_path / folder
        assert path.resolve().parent == path.parent


def test_everything_of_a_video_goes_and_nothing_else(tmp_path: Path) -> None:
    home = HomeFolder(tmp_path)
    original = home.original(UploadId("ff"))
    kept = [
        home.original(UploadId("fe")),
        home.proxy(VideoId("a1b2c3d")),
        home.proxies / ".a1b2c3d.mp4.part",
        home.sprite(VideoId("a1b2c3.d")),
        home.probe_still(ProbeRunId(1), 0),
        home.database,
    ]
    removed = [original, home.proxy(VIDEO), home.proxies / ".a1b2c3.mp4.part", home.sprite(VIDEO)]
    write(*kept, *removed)
    assert home.remove_video(VIDEO, str(original))
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in removed)
    assert not home.stills(VIDEO).exists()
    assert home.remove_video(VIDEO, str(original))


@pytest.mark.parametrize("uri", ["rtsp://camera/1", "elsewhere/media/film.mp4"])
def test_original_that_was_not_uploaded_is_left_alone(tmp_path: Path, uri: str) -> None:
    film = tmp_path / "elsewhere" / "media" / "film.mp4"
    write(film)
    uri = uri if "://" in uri else str(film)
    assert not HomeFolder(tmp_path / "home").remove_video(VIDEO, uri)
    assert film.exists()


def test_file_that_cannot_be_deleted_is_named(tmp_path: Path) -> None:
    home = HomeFolder(tmp_path)
    home.proxy(VIDEO).mkdir(parents=True)
    with pytest.raises(UnreachableError, match=r"a1b2c3\.mp4: cannot be deleted"):
        home.remove_video(VIDEO, "elsewhere.mp4")


def test_folder_whose_name_begins_alike_is_another_one(tmp_path: Path) -> None:
    home = HomeFolder(tmp_path / "home")
    assert home.contains(str(home.original(UploadId("ff"))))
    assert not home.contains(str(tmp_path / "home movies" / "film.mp4"))
    assert not home.contains("rtsp://camera/1")


def test_no_other_file_spells_a_path_below_the_home_folder() -> None:
    root = Path(__file__).parents[2]
    spelled = [
        f"{file.relative_to(root)}:{node.lineno}: {ast.unparse(node)}"
        for folder in ("app", "storage")
        for file in (root / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
        if ast.unparse(node.left).split(".")[-1] == "home"
        if isinstance(node.right, ast.Constant | ast.JoinedStr)
    ]
    assert spelled == []
