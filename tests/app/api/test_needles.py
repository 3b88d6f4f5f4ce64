"""Needles of the user's own: what may be planted, and every way in which an archive is refused."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from app.config.settings import Settings, load_settings
from app.services.needles import list_needles, open_needles, take_archive
from app.worker.handlers import open_worker
from engine.errors import InputRefusedError, NotFoundError
from tests.support.site import Site

LINE = json.dumps({"image": "pictures/a.png", "question": "Which colour?", "answer": "red"})


def picture(side_px: int = 8) -> bytes:
    """A red square as PNG."""
    out = io.BytesIO()
    Image.new("RGB", (side_px, side_px), (200, 0, 0)).save(out, "PNG")
    return out.getvalue()


def archive(**files: bytes | str) -> io.BytesIO:
    """A zip of these files; `__` in a name stands for a slash."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, content in files.items():
            packed.writestr(name.replace("__", "/"), content)
    out.seek(0)
    return out


def good() -> io.BytesIO:
    """What people make who pack a folder: everything below one name."""
    return archive(
        **{
            "signs__needles.jsonl": LINE,
            "signs__pictures__a.png": picture(),
            "signs__run.sh": "rm -rf /",
            "notes.txt": "-",
        }
    )


def settings(home: Path, *roots: Path) -> Settings:
    """Settings with these roots."""
    return load_settings({"paths.media_roots": [str(root) for root in roots]}, home=home)


def test_uploaded_archive_can_be_planted(tmp_path: Path) -> None:
    taken, n_needles = take_archive(tmp_path, "signs", good())
    assert n_needles == 1
    (needle,) = open_needles(settings(tmp_path), taken.key)
    assert needle.answer == "red"
    kept = sorted(path.name for path in (tmp_path / "needles").rglob("*") if path.is_file())
    assert kept == ["a.png", "needles.jsonl"], "nothing but listing and pictures is unpacked"


@pytest.mark.parametrize(
    ("packed", "complaint"),
    [
        (io.BytesIO(b"no zip at all"), "no zip that can be read"),
        (io.BytesIO(good().getvalue()[:-40]), "no zip that can be read"),
        (archive(**{"a.png": picture()}), r"no needles\.jsonl in the archive"),
        (archive(**{"needles.jsonl": ""}), "lists no needle"),
        (archive(**{"needles.jsonl": LINE}), r"signs/needles\.jsonl, line 1: there is no pictures"),
        (archive(**{"needles.jsonl": LINE, "..__a.png": picture()}), "outside the folder"),
        (archive(**{"needles.jsonl": "{"}), "line 1: not JSON"),
        (archive(**{"needles.jsonl": b"\xff\xfe"}), "not UTF-8"),
        (archive(**{"needles.jsonl": LINE, "pictures__a.png": b"GIF?"}), "is no picture"),
        (archive(**{"needles.jsonl": LINE, "pictures__a.png": picture(9000)}), "too large"),
        (
            archive(**{"needles.jsonl": "\n".join([LINE] * 65), "pictures__a.png": picture()}),
            "more than 64 needles",
        ),
    ],
)
def test_what_cannot_be_planted_is_refused_and_leaves_nothing(
    tmp_path: Path, packed: io.BytesIO, complaint: str
) -> None:
    packed.seek(0)
    with pytest.raises(InputRefusedError, match=complaint):
        take_archive(tmp_path, "signs", packed)
    assert not list((tmp_path / "needles").iterdir())


def test_archive_that_swells_is_stopped(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("needles.jsonl", LINE)
        with packed.open("bomb.png", "w", force_zip64=True) as bomb:
            for _ in range(260):
                bomb.write(bytes(1 << 20))
    assert out.tell() < 1 << 20
    out.seek(0)
    with pytest.raises(InputRefusedError, match="256 MiB when unpacked"):
        take_archive(tmp_path, "bomb", out)


@pytest.mark.parametrize("name", ["..", "a/b", "", ".hidden", "a" * 65, "x\n"])
def test_name_is_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputRefusedError, match="cannot be the name"):
        take_archive(tmp_path, name, good())


def test_folders_below_the_roots_are_found_and_others_are_not(tmp_path: Path) -> None:
    inside, outside = tmp_path / "root" / "signs", tmp_path / "elsewhere"
    for folder in (inside, outside):
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(folder / "a.png")
        (folder / "needles.jsonl").write_text(LINE.replace("pictures/", ""))
    (tmp_path / "root" / "link").symlink_to(outside)
    known = settings(tmp_path / "home", tmp_path / "root")
    assert [each.key for each in list_needles(known)] == [str(inside)]
    assert len(open_needles(known, str(inside))) == 1
    for key in (str(outside), f"{inside}/../../elsewhere", "upload/../root", "upload/none"):
        with pytest.raises(NotFoundError, match="no needles"):
            open_needles(known, key)


def test_api_takes_lists_and_forgets_needles(site: Site) -> None:
    put = {"content": good().getvalue(), "headers": {"content-type": "application/zip"}}
    made = site.admin.put("/api/v1/needles/signs", **put)
    assert made.status_code == 201, made.text
    key = {"key": "upload/signs", "name": "signs", "is_upload": True}
    assert made.json() == {**key, "n_needles": 1}
    assert site.admin.get("/api/v1/needles").json()["sets"] == [key]
    assert site.admin.put("/api/v1/needles/signs", **put).status_code == 422
    order = {"lengths": [8], "depths": [0, 1], "needles": "upload/signs"}
    assert site.admin.post("/api/v1/probes", json=order).status_code == 202
    open_worker(site.services).run(until_idle=True)
    run = site.admin.get("/api/v1/probes").json()["runs"][0]
    assert [cell["n"] for cell in run["cells"]] == [1, 1]
    still = site.viewer.get(f"/api/v1/probes/{run['run_id']}/needles/0.png")
    assert still.headers["content-type"] == "image/png"
    assert site.admin.delete("/api/v1/needles/signs").status_code == 204
    assert site.admin.post("/api/v1/probes", json=order).status_code == 404
    site.admin.delete(f"/api/v1/probes/{run['run_id']}")
