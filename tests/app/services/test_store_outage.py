"""Cameras that are filmed while the object store is away: nothing is lost, and all is told."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from app.services import home_objects
from app.services.camera_registry import add_camera
from app.services.context import ServiceContext
from app.services.objects import objects_loop, settle, show_status, verify
from app.services.playback import play_recording
from app.services.scope import resolve_scope
from app.services.search import search
from app.services.timelines import parts_of
from tests.app.services.conftest import open_library
from tests.app.services.test_filming import (
    camera,
    clocks,
    filmed_s,
    filming,
    shown,
    wait_until,
)
from tests.support.clock_camera import ClockCamera
from tests.support.object_store import STORES, Way, s3_server, settings_of, way_to

__all__ = ["camera", "clocks"]
"""Fixtures of another file that this one uses."""

Machine = Callable[..., ServiceContext]
Outage = Callable[[], AbstractContextManager[None]]
"""Takes the store away while its body runs."""


@pytest.fixture(scope="module")
def way() -> Iterator[Way]:
    with s3_server() as url, way_to(url) as opened:
        yield opened


@pytest.fixture(params=STORES)
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    """Settings of an empty store."""
    url = "" if request.param == "file" else request.getfixturevalue("way").url
    patience = {"objects__patience_s": 1, "objects__timeout_s": 2}
    return settings_of(request.param, url, tmp_path) | patience


@pytest.fixture
def outage(request: pytest.FixtureRequest, tmp_path: Path, bucket: dict[str, object]) -> Outage:

    @contextmanager
    def of_folder() -> Iterator[None]:
        folder = tmp_path / "bucket"
        folder.rename(tmp_path / "elsewhere")
        folder.write_text("nothing can be put here")
        yield
        folder.unlink()
        (tmp_path / "elsewhere").rename(folder)

    @contextmanager
    def of_server() -> Iterator[None]:
        way: Way = request.getfixturevalue("way")
        way.is_cut = True
        yield
        way.is_cut = False

    return of_server if "objects__endpoint" in bucket else of_folder


@pytest.fixture
def machine(tmp_path: Path, checkpoint: Path, bucket: dict[str, object]) -> Iterator[Machine]:
    opened: list[ServiceContext] = []

    def make(name: str, **flags: object) -> ServiceContext:
        shared = {
            "database_url": f"sqlite:///{tmp_path / 'shared.db'}",
            "allow_network": True,
            "sampling__thin_static": False,
            **bucket,
        }
        opened.append(open_library(tmp_path / name, checkpoint, **{**shared, **flags}))
        return opened[-1]

    yield make
    for context in opened:
        context.close()


def complete(context: ServiceContext) -> dict[str, bytes]:
    """What was filmed and lies in a home folder for good, by key."""
    home, catalog = context.settings.home, context.catalog
    growing = {
        row.name
        for camera in catalog.cameras.list()
        for row in catalog.segments.list(camera.id)
        if row.is_open
    }
    return {
        path.relative_to(home).as_posix(): path.read_bytes()
        for pattern in ("latents/**/*.safetensors", "stills/**/*.zip", "recordings/**/*.mp4")
        for path in sorted(home.glob(pattern))
        if not path.name.startswith(".") and path.name not in growing
    }


def test_what_is_filmed_while_the_store_is_away_is_kept_told_and_put_there_later(
    machine: Machine,
    outage: Outage,
    camera: ClockCamera,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.services.filming.SEGMENT_S", 3.0)
    monkeypatch.setattr("app.services.objects.SETTLE_EVERY_S", 0.5)
    monkeypatch.setattr(home_objects, "AWAY_S", 1.0)
    # Nothing may stay here that is in the store: what is not there must stay all the same.
    a = machine("a", objects__cache_bytes=1)
    gate = add_camera(a, "Gate", camera.address)
    objects = a.objects
    assert objects is not None
    with objects_loop(a), filming(a):
        wait_until(lambda: filmed_s(a, gate) >= 5)
        wait_until(lambda: any(tree.tree == "recordings" for tree in show_status(a).trees))
        with outage():
            began_s = filmed_s(a, gate)
            wait_until(lambda: filmed_s(a, gate) >= began_s + 10)
            assert shown(a).state == "live"
            assert len(parts_of(a, gate)) == 1, "the connection to the camera never broke"
            status = show_status(a)
            assert status.trouble is not None
            assert status.not_stored > 0
            objects.copies.added(0)
            waiting = {
                key: content for key, content in complete(a).items() if not objects.rows.find(key)
            }
            trees = {key.partition("/")[0] for key in waiting}
            assert trees == {"latents", "stills", "recordings"}
        wait_until(lambda: all(objects.rows.find(key) for key in waiting))
    settle(a)
    status = show_status(a)
    assert (status.trouble, status.not_stored) == (None, 0)
    assert verify(a, digests=True).n_missing == verify(a, digests=True).n_damaged == 0
    b = machine("b")
    (row,) = parts_of(b, gate)
    assert b.stills.times(row.id)
    assert search(b, "a door", resolve_scope(b)).left_out == []
    for key, content in waiting.items():
        assert objects.store.read(key, 0, len(content)) == content
    played = play_recording(b, row)
    assert len(b"".join(played.read(0, played.n_bytes))) == played.n_bytes


@pytest.mark.scale
@pytest.mark.xdist_group("s3")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("bucket", ["s3"], indirect=True)
def test_a_store_that_does_not_answer_holds_a_camera_up_once(
    machine: Machine, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.objects.SETTLE_EVERY_S", 0.5)
    monkeypatch.setattr(home_objects, "AWAY_S", 0.1)
    a = machine("a")
    row = a.catalog.videos.add(name="part", uri="rtsp://10.0.0.7/live")
    folder = a.settings.home / "stills" / row.id
    folder.mkdir(parents=True)
    objects = a.objects
    assert objects is not None
    with objects_loop(a):
        wait_until(lambda: objects.is_watched)
        way.is_silent = True
        took_s = []
        for ordinal in range(4):
            path = folder / f"{ordinal:08d}.zip"
            path.write_bytes(b"still")
            began_s = time.monotonic()
            assert objects.publish(path, replaces=True)
            took_s.append(time.monotonic() - began_s)
            time.sleep(0.2)
        assert max(took_s[1:]) < 1 < took_s[0]
        assert len(objects.postponed) == 4
        # What was on its way does not come back.
        way.is_silent, way.is_cut = False, True
        time.sleep(0.3)
        way.is_cut = False
        wait_until(lambda: not objects.postponed)
    assert len(list(objects.store.list("stills"))) == 4
