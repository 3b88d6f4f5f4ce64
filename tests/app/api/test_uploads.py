"""Resumable uploads: parts, interruptions, limits, names, and what is refused."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx
import pytest
from starlette.testclient import TestClient

from app.services.ingest import add_source
from app.services.library import MAX_NAME_CHARS
from app.services.uploads import UploadPart, clean_name
from storage.files import HomeFolder
from storage.records import UploadId
from tests.support.disk_log import record_disk
from tests.support.site import ADDRESS, Site, draw_clip

PART = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}


def begin(client: httpx.Client, size: int, name: str = "clip.mp4") -> str:
    """Announce a file and return the address of its parts."""
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": str(size),
        "Upload-Metadata": f"filename {base64.b64encode(name.encode()).decode()}",
    }
    answer = client.post("/api/v1/uploads", headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.headers["location"]


def send(client: httpx.Client, address: str, offset: int, part: bytes) -> int:
    """Append a part and return the status."""
    headers = {**PART, "Upload-Offset": str(offset)}
    return client.patch(address, headers=headers, content=part).status_code


def test_interrupted_upload_goes_on_where_it_stopped(site: Site, tmp_path: Path) -> None:
    data = draw_clip(tmp_path / "new.mp4", seed=5, seconds=4).read_bytes()
    address = begin(site.admin, len(data), "holiday.mp4")
    assert send(site.admin, address, 0, data[:1000]) == 204
    told = site.admin.head(address)
    assert told.headers["upload-offset"] == "1000"
    assert send(site.admin, address, 1000, data[1000:]) == 204

    row = site.services.catalog.uploads.get(UploadId(address.rsplit("/", 1)[1]))
    assert row.video is not None
    video = site.services.catalog.videos.get(row.video)
    assert video.name == "holiday"
    assert Path(video.uri).read_bytes() == data
    assert not list((site.services.settings.home / "uploads").glob(f"{row.id}*"))
    assert [job.kind for job in site.services.catalog.jobs.list(video=video.id)][-1] == "ingest"
    assert site.admin.delete(f"/api/v1/videos/{video.id}").status_code == 204
    assert not Path(video.uri).exists()


def test_part_whose_beginning_is_gone_is_refused_with_a_sentence(site: Site) -> None:
    address = begin(site.admin, 200)
    uploads = HomeFolder(site.services.settings.home).uploads
    for part in uploads.iterdir():
        part.unlink()
    uploads.rmdir()
    headers = {**PART, "Upload-Offset": "0"}
    answer = site.admin.patch(address, headers=headers, content=b"a" * 100)
    assert answer.status_code == 503
    assert "not on this server" in answer.json()["error"]["message"]


def test_second_part_at_once_is_refused_and_writes_nothing(site: Site) -> None:
    first, second = b"a" * 100, b"b" * 100
    address = begin(site.admin, 200)

    async def send_both() -> tuple[int, int]:
        is_held, may_go_on = anyio.Event(), anyio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield first[:50]
            # Taken only by a request that has begun to read its body.
            is_held.set()
            await may_go_on.wait()
            yield first[50:]

        statuses = []
        transport = httpx.ASGITransport(site.app)
        headers = {**dict(site.admin.headers), **PART, "Upload-Offset": "0"}
        cookies = dict(site.admin.cookies)
        async with httpx.AsyncClient(
            transport=transport, base_url=ADDRESS, headers=headers, cookies=cookies
        ) as client:

            async def send_slowly() -> None:
                statuses.append((await client.patch(address, content=slowly())).status_code)

            async with anyio.create_task_group() as group:
                group.start_soon(send_slowly)
                await is_held.wait()
                refused = await client.patch(address, content=second)
                may_go_on.set()
        return statuses[0], refused.status_code

    assert anyio.run(send_both) == (204, 409)
    row = site.services.catalog.uploads.get(UploadId(address.rsplit("/", 1)[1]))
    assert row.offset_bytes == 100
    part = site.services.settings.home / "uploads" / f"{row.id}.part"
    assert part.read_bytes() == first
    assert send(site.admin, address, 100, b"c") == 204


def test_part_is_on_the_disk_before_it_counts_and_the_file_before_its_video(
    site: Site, tmp_path: Path
) -> None:
    data = draw_clip(tmp_path / "new.mp4", seed=6, seconds=4).read_bytes()
    address = begin(site.admin, len(data))
    upload = address.rsplit("/", 1)[1]
    with record_disk(site.services.settings.home) as log:
        assert send(site.admin, address, 0, data[:1000]) == 204
    assert log.index("fsync", f"{upload}.part") < log.index("UPDATE", "uploads")
    with record_disk(site.services.settings.home) as log:
        assert send(site.admin, address, 1000, data[1000:]) == 204
    renamed = log.index("rename", f"{upload}.part", f"{upload}.bin")
    assert log.index("fsync", f"{upload}.part") < renamed
    assert renamed < log.index("fsync", "media/") < log.index("INSERT", "videos")


def test_part_that_does_not_fit_the_end_is_refused(site: Site) -> None:
    address = begin(site.admin, 100)
    assert send(site.admin, address, 0, b"x" * 40) == 204
    assert send(site.admin, address, 0, b"x" * 40) == 409
    assert send(site.admin, address, 60, b"x" * 40) == 409
    assert send(site.admin, address, 40, b"x" * 61) == 422
    assert site.admin.head(address).headers["upload-offset"] == "40"
    assert site.admin.delete(address).status_code == 204
    assert site.admin.head(address).status_code == 404


def test_what_is_no_video_leaves_nothing_behind(site: Site) -> None:
    data = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
    address = begin(site.admin, len(data), "holiday.mp4")
    before = set((site.services.settings.home / "media").glob("*"))
    headers = {**PART, "Upload-Offset": "0"}
    answer = site.admin.patch(address, headers=headers, content=data)
    assert answer.status_code == 422
    assert "holiday: this is a playlist" in answer.json()["error"]["message"]
    assert str(site.services.settings.home) not in answer.text
    assert set((site.services.settings.home / "media").glob("*")) == before
    assert site.admin.head(address).status_code == 404


def test_size_is_checked_before_the_first_byte(site: Site) -> None:
    limit = int(site.services.settings.limits.upload_bytes)
    over = {"Tus-Resumable": "1.0.0", "Upload-Length": str(limit + 1)}
    assert site.admin.post("/api/v1/uploads", headers=over).status_code == 413
    options = site.admin.options("/api/v1/uploads")
    assert options.headers["tus-max-size"] == str(limit)


def test_upload_of_another_user_does_not_exist(site: Site) -> None:
    accounts = site.services.catalog.accounts
    other = accounts.add_user("olga", "admin")
    row = site.services.catalog.uploads.add(
        name="x", size_bytes=9, expires_at=other.created_at.replace(year=2999), user=other.id
    )
    assert site.admin.head(f"/api/v1/uploads/{row.id}").status_code == 404
    accounts.remove_user(other.id)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("holiday.mp4", "holiday"),
        ("../../etc/passwd", "passwd"),
        ("C:\\films\\night.mkv", "night"),
        ("a\x00b\x1b[31m.mp4", "ab[31m"),
        ("", "upload"),
        ("...", "upload"),
        ("x" * 4096, "x" * MAX_NAME_CHARS),
        ("録画 🎥.mp4", "録画 🎥"),
        ("file.with.dots.webm", "file.with.dots"),
    ],
)
def test_name_is_shown_and_never_a_path(name: str, shown: str) -> None:
    assert clean_name(name) == shown


def arrive(site: Site, data: bytes, *, killed_before: str) -> str:
    """Upload a whole file and leave it as a server that was killed before a step; its address."""
    address = begin(site.admin, len(data), "holiday.mp4")
    services, upload = site.services, UploadId(address.rsplit("/", 1)[1])
    part = UploadPart(services, services.catalog.uploads.get(upload), 0)
    part.write(data)
    part.close()
    home = HomeFolder(services.settings.home)
    if killed_before != "the rename":
        home.media.mkdir(exist_ok=True)
        home.upload_part(upload).rename(home.original(upload))
    if killed_before == "the link":
        add_source(services, str(home.original(upload)), name="holiday")
    return address


@pytest.mark.parametrize("way_on", ["start", "HEAD", "PATCH"])
@pytest.mark.parametrize("killed_before", ["the rename", "the row", "the link"])
def test_upload_killed_before_it_was_registered_becomes_its_video(
    site: Site, tmp_path: Path, killed_before: str, way_on: str
) -> None:
    data = draw_clip(tmp_path / "new.mp4", seed=7, seconds=4).read_bytes()
    address = arrive(site, data, killed_before=killed_before)
    if way_on == "start":
        with TestClient(site.app, base_url=ADDRESS):
            pass
    elif way_on == "HEAD":
        assert site.admin.head(address).headers["upload-offset"] == str(len(data))
    else:
        assert send(site.admin, address, len(data), b"") == 204
    row = site.services.catalog.uploads.get(UploadId(address.rsplit("/", 1)[1]))
    assert row.video is not None
    video = site.services.catalog.videos.get(row.video)
    assert (video.name, Path(video.uri).read_bytes()) == ("holiday", data)
    assert len(site.services.catalog.videos.list()) == 3
    jobs = site.services.catalog.jobs.list(video=video.id)
    assert [job.kind for job in jobs].count("ingest") == 1


def test_whole_upload_whose_bytes_are_gone_says_so(site: Site, tmp_path: Path) -> None:
    data = draw_clip(tmp_path / "new.mp4", seed=8, seconds=4).read_bytes()
    address = arrive(site, data, killed_before="the rename")
    (site.services.settings.home / "uploads" / f"{address.rsplit('/', 1)[1]}.part").unlink()
    assert send(site.admin, address, len(data), b"") == 404
    assert site.admin.head(address).status_code == 404


def test_cancelled_upload_that_became_no_video_leaves_no_file(site: Site, tmp_path: Path) -> None:
    data = draw_clip(tmp_path / "new.mp4", seed=9, seconds=4).read_bytes()
    address = arrive(site, data, killed_before="the row")
    assert site.admin.delete(address).status_code == 204
    assert not list((site.services.settings.home / "media").glob("*"))
