"""Two machines with homes of their own, one database and one object store."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from app.server import create_app
from app.services import uploads
from app.services.access import find_video
from app.services.ask import ask
from app.services.backup import back_up, restore
from app.services.camera_retention import keep_within_limits
from app.services.context import ServiceContext
from app.services.credentials import hash_password
from app.services.library import list_videos, remove_video
from app.services.objects import push, require_objects, settle, show_status, verify
from app.services.originals import original_path
from app.services.playback import play_recording
from app.services.repair import reindex
from app.services.scope import resolve_scope
from app.services.search import search
from app.services.stills import find_playable, make_still
from app.worker.foreground import ingest_now
from app.worker.handlers import open_worker
from engine.errors import AwayLatentsError, NotFoundError, UnreachableError
from engine.pipeline.resume import resume_points
from storage.camera_records import CameraRetention
from storage.records import VideoRow
from tests.app.services.conftest import DURATION_S, open_library
from tests.app.services.test_camera_evidence import NOON, feed, record
from tests.support.object_store import STORES, s3_server, settings_of
from tests.support.site import PASSWORD, sign_in

Machine = Callable[..., ServiceContext]

__all__ = ["feed"]
"""The fixture of another file that this one uses."""


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(params=STORES)
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    """Settings of an empty store."""
    url = "" if request.param == "file" else request.getfixturevalue("s3")
    return settings_of(request.param, url, tmp_path)


@pytest.fixture
def machine(tmp_path: Path, checkpoint: Path, bucket: dict[str, object]) -> Iterator[Machine]:
    opened: list[ServiceContext] = []

    def make(name: str, **flags: object) -> ServiceContext:
        shared = {"database_url": f"sqlite:///{tmp_path / 'shared.db'}", **bucket}
        opened.append(open_library(tmp_path / name, checkpoint, **{**shared, **flags}))
        return opened[-1]

    yield make
    for context in opened:
        context.close()


def answers(context: ServiceContext) -> tuple[object, ...]:
    found = search(context, "a door", resolve_scope(context))
    answer = ask(context, "What is on the door?", resolve_scope(context), recall="overview")
    assert found.searched_s == answer.searched_s == pytest.approx(DURATION_S, abs=0.5)
    # To nine digits: the order of a sum is not said.
    hits = [(hit.start_s, hit.end_s, round(hit.score, 9)) for hit in found.hits]
    evidence = [(part.start_s, part.end_s, round(part.score, 9)) for part in answer.evidence]
    return hits, answer.answer, evidence, found.left_out, answer.left_out


def files(context: ServiceContext, *trees: str) -> dict[str, bytes]:
    """What lies in a home folder, by key."""
    home = context.settings.home
    return {
        path.relative_to(home).as_posix(): path.read_bytes()
        for tree in trees
        for path in sorted((home / tree).rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def upload(context: ServiceContext, clip: Path) -> VideoRow:
    """Send a file as a browser does, and have it read."""
    content = clip.read_bytes()
    user = context.catalog.accounts.add_user("ada", "admin")
    row = uploads.announce_upload(context, user.id, size_bytes=len(content), file_name=clip.name)
    part = uploads.UploadPart(context, row, 0)
    part.write(content)
    row = part.close()
    video = uploads.admit_upload(context, row)
    open_worker(context).run(until_idle=True)
    return context.catalog.videos.get(video.id)


def test_what_one_machine_read_another_finds_and_answers_byte_for_byte(
    machine: Machine, clip: Path
) -> None:
    a, b = machine("a"), machine("b")
    ingest_now(a, [str(clip)])
    expected = answers(a)
    assert [item.name for item in list_videos(b).videos] == ["front door"]
    assert answers(b) == expected
    a_files, b_files = files(a, "latents"), files(b, "latents")
    latents = {key for key in a_files if key.endswith(".safetensors")}
    assert latents
    assert {key: b_files[key] for key in b_files} == {key: a_files[key] for key in b_files}
    video = find_video(b, "front door").id
    assert b.stills.times(video) == a.stills.times(video)
    assert b.stills.at(video, 3.0) == a.stills.at(video, 3.0)
    status = show_status(b)
    assert (status.trouble, status.not_stored, status.leaving) == (None, 0, 0)
    assert verify(b, digests=True).checked == sum(tree.objects for tree in status.trees)


def test_backup_says_what_lies_in_the_store_alone_and_is_whole_with_it(
    machine: Machine, clip: Path, tmp_path: Path
) -> None:
    a, b, c = machine("a"), machine("b"), machine("c", database_url=f"sqlite:///{tmp_path}/c.db")
    ingest_now(a, [str(clip)])
    expected = answers(a)
    store = require_objects(a).store
    n_stored = sum(1 for _ in store.list())
    here = back_up(a, tmp_path / "of a").message
    assert "object store" not in here
    # Of a machine that has looked at nothing yet; the rows are the same.
    there = back_up(b, tmp_path / "of b").message
    assert f"not in it: originals outside the library, of 1 video and {n_stored} files" in there
    assert there.endswith("in the object store alone")
    restore(c.settings, tmp_path / "of b")
    assert answers(c) == expected


def test_home_that_cannot_hold_a_copy_takes_nothing_from_the_store(
    machine: Machine, clip: Path
) -> None:
    a, b = machine("a"), machine("b")
    ingest_now(a, [str(clip)])
    store = require_objects(a).store
    before = dict(store.list())
    home, trees = b.settings.home, ("latents", "stills")
    home.mkdir(parents=True, exist_ok=True)
    for tree in trees:
        # As on a disk that is full: no folder can be made there.
        (home / tree).write_bytes(b"")
    for key in before:
        if key.startswith(trees):
            with pytest.raises(UnreachableError, match="cannot be written"):
                require_objects(b).bring(home / key)
    assert not require_objects(b).is_away
    assert dict(store.list()) == before


def test_what_is_removed_is_gone_from_search_elsewhere_and_from_the_store(
    machine: Machine, clip: Path
) -> None:
    a, b = machine("a"), machine("b")
    ingest_now(a, [str(clip)])
    answers(b)
    remove_video(a, find_video(a, "front door"))
    assert list_videos(b).videos == []
    with pytest.raises(NotFoundError, match="nothing is indexed yet"):
        resolve_scope(b)
    objects = a.objects
    assert objects is not None
    assert list(objects.store.list()) == []
    # Copies on the other machine leave when it looks for what has changed.
    settle(b)
    assert b.engine.cache.videos() == ()
    assert b.stills.videos() == ()


def test_a_home_that_was_there_before_is_brought_into_the_store(
    machine: Machine, clip: Path
) -> None:
    alone = machine("a", objects__url=None)
    ingest_now(alone, [str(clip)])
    expected = answers(alone)
    alone.close()
    a, b = machine("a"), machine("b")
    assert show_status(a).not_stored > 0
    first = push(a)
    assert first.pushed == first.objects > 0
    assert push(a).pushed == 0
    assert answers(b) == expected


def test_a_lost_or_damaged_object_is_named_and_mended(
    machine: Machine, clip: Path, bucket: dict[str, object]
) -> None:
    a = machine("a")
    ingest_now(a, [str(clip)])
    objects = a.objects
    assert objects is not None
    lost, damaged = sorted(key for key, _ in objects.store.list("latents") if ".safe" in key)[:2]
    whole = a.settings.home / damaged
    objects.store.delete([lost])
    content = bytearray(whole.read_bytes())
    content[-1] ^= 1
    objects.store.put(damaged, bytes(content), "0" * 64, replaces=True)
    found = verify(a, digests=True)
    assert (found.missing, found.damaged) == ([lost], [damaged])
    assert verify(a).damaged == [], "lengths alone do not tell"
    b = machine("b")
    left_out = search(b, "a door", resolve_scope(b)).left_out
    assert {item.reason for item in left_out} == {"damaged"}
    assert verify(a, digests=True, mend=True).mended == 2
    assert verify(a, digests=True).n_damaged == 0
    c = machine("c")
    assert answers(c) == answers(a)


def test_an_upload_is_read_shown_and_played_elsewhere(machine: Machine, clip: Path) -> None:
    a, b = machine("a"), machine("b")
    video = upload(a, clip)
    assert video.status == "ready"
    assert not Path(video.uri).is_relative_to(b.settings.home)
    assert not original_path(b, video).exists()
    assert find_playable(b, video) == original_path(b, video)
    objects = b.objects
    assert objects is not None
    assert objects.read(original_path(b, video), 4, 8) == b"ftyp"
    assert not original_path(b, video).exists(), "a part is read without the rest"
    with Image.open(make_still(b, video, 3.0, 160)) as still:
        assert still.width == 64
    assert original_path(b, video).read_bytes() == clip.read_bytes()
    remove_video(b, video)
    assert list(objects.store.list()) == []
    settle(a)
    assert not Path(video.uri).exists()


def test_reading_goes_on_when_the_store_is_back(
    machine: Machine, clip: Path, tmp_path: Path, bucket: dict[str, object]
) -> None:
    if "objects__endpoint" in bucket:
        pytest.skip("a server of a test cannot be taken away and brought back")
    fresh = machine("fresh")
    ingest_now(fresh, [str(clip)])
    expected = answers(fresh)
    remove_video(fresh, find_video(fresh, "front door"))
    a = machine("a", objects__patience_s=0)
    shutil.rmtree(tmp_path / "bucket" / "latents")
    (tmp_path / "bucket" / "latents").write_text("nothing can be put here")
    with pytest.raises(UnreachableError, match="cannot be written"):
        ingest_now(a, [str(clip)])
    video = find_video(a, "front door")
    assert (video.status, video.n_chunks) == ("failed", 0), "no row speaks of what is not there"
    assert list((a.settings.home / "latents").rglob("*.safetensors")), "and nothing is lost"
    (tmp_path / "bucket" / "latents").unlink()
    settle(a)
    open_worker(a).run(until_idle=True)
    assert a.catalog.videos.get(video.id).status == "ready"
    assert answers(a) == expected
    assert answers(machine("b")) == expected


def test_a_store_that_is_away_is_no_reason_to_deny(
    machine: Machine, clip: Path, tmp_path: Path, bucket: dict[str, object]
) -> None:
    if "objects__endpoint" in bucket:
        pytest.skip("a server of a test cannot be taken away and brought back")
    a, b = machine("a"), machine("b", objects__patience_s=0)
    ingest_now(a, [str(clip)])
    expected = answers(a)
    folder = next(path for path in (tmp_path / "bucket" / "latents").glob("*/*"))
    folder.rename(tmp_path / "elsewhere")
    folder.write_text("nothing can be read here")
    for look in (
        lambda: search(b, "a door", resolve_scope(b)),
        lambda: ask(b, "What is on the door?", resolve_scope(b)),
    ):
        with pytest.raises(AwayLatentsError, match="can be fetched now"):
            look()
    assert b.label(find_video(b, "front door")).left_out_because == "away"
    folder.unlink()
    (tmp_path / "elsewhere").rename(folder)
    objects = b.objects
    assert objects is not None
    objects.forget_trouble()
    assert answers(b) == expected


def test_a_shared_folder_that_is_not_mounted_is_away_and_not_empty(
    machine: Machine, clip: Path, tmp_path: Path, bucket: dict[str, object]
) -> None:
    if "objects__endpoint" in bucket:
        pytest.skip("a server has no mount point")
    a, b = machine("a"), machine("b", objects__patience_s=0)
    ingest_now(a, [str(clip)])
    expected = answers(a)
    folder = tmp_path / "bucket"
    folder.rename(tmp_path / "elsewhere")
    folder.mkdir()
    with pytest.raises(AwayLatentsError, match="can be fetched now"):
        search(b, "a door", resolve_scope(b))
    assert "is it mounted?" in str(show_status(b).trouble)
    for work in (verify, push):
        with pytest.raises(UnreachableError, match="objects are known to lie there"):
            work(b)
    # Nothing was written into the mount point, where the folder would hide it afterwards.
    assert list(folder.iterdir()) == []
    folder.rmdir()
    (tmp_path / "elsewhere").rename(folder)
    objects = b.objects
    assert objects is not None
    objects.forget_trouble()
    assert answers(b) == expected


def test_what_cannot_be_fetched_now_is_not_taken_for_damaged(
    machine: Machine, clip: Path, tmp_path: Path, bucket: dict[str, object]
) -> None:
    if "objects__endpoint" in bucket:
        pytest.skip("a server of a test cannot be taken away and brought back")
    a, b = machine("a"), machine("b", objects__patience_s=0)
    ingest_now(a, [str(clip)])
    expected, video = answers(a), find_video(a, "front door").id
    before = dict(require_objects(a).store.list())
    folder = next(path for path in (tmp_path / "bucket" / "latents").glob("*/*"))
    folder.rename(tmp_path / "elsewhere")
    folder.write_text("nothing can be read here")
    for use in (lambda: reindex(b), lambda: resume_points(b.engine, video)):
        with pytest.raises(UnreachableError, match="cannot be read"):
            use()
    folder.unlink()
    (tmp_path / "elsewhere").rename(folder)
    require_objects(b).forget_trouble()
    settle(b)
    assert dict(require_objects(a).store.list()) == before
    assert answers(b) == expected


def test_copies_leave_when_there_are_too_many_and_come_back(machine: Machine, clip: Path) -> None:
    a = machine("a")
    ingest_now(a, [str(clip)])
    expected = answers(a)
    small = machine("a", objects__cache_bytes=1000)
    objects = small.objects
    assert objects is not None
    stray = small.settings.home / "latents" / "f" / "v" / "00000001.safetensors"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"not in the store yet")
    first = next(path for path in sorted((small.settings.home / "stills").rglob("*.zip")))
    with objects.hold(first):
        objects.copies.added(0)
        left = [path for path in files(small, "latents", "stills") if ".json" not in path]
        assert {small.settings.home / key for key in left} == {stray, first}
    stray.unlink()
    assert answers(small) == expected
    assert answers(machine("a")) == expected


def test_a_browser_plays_what_lies_in_the_store_alone(
    machine: Machine, clip: Path, bucket: dict[str, object]
) -> None:
    a = machine("a")
    video = upload(a, clip)
    user = a.catalog.accounts.user("ada")
    assert user is not None
    a.catalog.accounts.set_password(user.id, hash_password(PASSWORD))
    content = clip.read_bytes()
    # A browser of today plays the original.
    b = machine("b")
    client = sign_in(create_app(b, is_local=True, with_pages=False), "ada")
    for address in (f"/media/{video.id}", f"/media/{video.id}/play.mp4"):
        part = client.get(address, headers={"range": "bytes=100-299"})
        assert (part.status_code, part.content) == (206, content[100:300])
        assert part.headers["content-range"] == f"bytes 100-299/{len(content)}"
        assert client.get(address).content == content
    assert not original_path(b, video).exists()
    signing = machine("c", objects__signed_s=60)
    client = sign_in(create_app(signing, is_local=True, with_pages=False), "ada")
    answer = client.get(f"/media/{video.id}", follow_redirects=False)
    if "objects__endpoint" not in bucket:
        assert answer.content == content, "a shared folder has no addresses"
        return
    assert answer.status_code == 307
    address, endpoint = answer.headers["location"], str(bucket["objects__endpoint"])
    assert address.startswith(endpoint)
    assert f"media-src {endpoint} 'self'" in answer.headers["content-security-policy"]
    played = httpx.get(address, headers={"range": "bytes=100-299"})
    assert (played.status_code, played.content) == (206, content[100:300])


def test_a_recording_is_played_elsewhere_without_being_fetched(
    machine: Machine, feed: Path
) -> None:
    a, b = machine("a"), machine("b")
    camera = record(a, "gate", feed, NOON)
    push(a)
    (video,) = a.catalog.videos.by_id()
    row = a.catalog.videos.get(video)
    here, there = play_recording(a, row), play_recording(b, row)
    assert there.n_bytes == here.n_bytes
    assert b"".join(there.read(0, there.n_bytes)) == b"".join(here.read(0, here.n_bytes))
    assert b"".join(there.read(5000, 9000)) == b"".join(here.read(5000, 9000))
    folder = b.settings.home / "recordings" / camera.id
    assert {path.suffix for path in folder.iterdir()} == {".layout"}
    # What its limits delete on one machine leaves the store and the other machine.
    a.catalog.cameras.change(camera.id, retention=CameraRetention(segment_bytes=1))
    keep_within_limits(a, a.catalog.cameras.get(camera.id), NOON)
    objects = a.objects
    assert objects is not None
    assert list(objects.store.list("recordings")) == []
    settle(b)
    assert files(b, "recordings") == {}


def test_without_a_store_nothing_of_it_is_imported(tmp_path: Path) -> None:
    script = (
        "import sys; from app.cli.main import main; "
        f"main(['videos', 'list', '--home', {str(tmp_path)!r}]); "
        "print(sorted({'obstore', 'storage.object_store', 'app.services.home_objects'} "
        "& set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert ended.stdout.splitlines()[-1] == "[]"
