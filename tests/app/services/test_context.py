"""What the threads of a process share: one engine, one catalog, settings that stay whole."""

import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.config.settings import FILE_NAME, load_settings
from app.services.context import ServiceContext
from engine.errors import SettingsError
from storage.files import HomeFolder
from tests.support.site import open_library


def test_every_thread_gets_the_same_engine_and_catalog(tmp_path: Path) -> None:
    context = open_library(tmp_path)
    together = threading.Barrier(8)

    def ask_for_both(_: int) -> tuple[int, int]:
        together.wait(20)
        return id(context.engine), id(context.catalog)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask_for_both, range(8)))) == 1
    context.close()


def test_changes_of_settings_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    context = open_library(tmp_path)
    names = ("cache.host_bytes", "cache.disk_bytes", "stream.compression_ratio", "retention.days")
    together = threading.Barrier(len(names))

    def change(name: str) -> None:
        together.wait(20)
        context.change_settings({name: 7})

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(change, names))
    written = (tmp_path / FILE_NAME).read_text()
    assert all(f"{name.rpartition('.')[2]} = 7" in written for name in names)
    # The only one of them that needs no restart is in force.
    assert context.settings.retention.days == 7
    assert context.settings.cache.host_bytes is None


def test_settings_that_were_taken_do_not_change_under_whoever_has_them(tmp_path: Path) -> None:
    context = open_library(tmp_path)
    before = context.settings
    context.change_settings({"retention.days": 3})
    assert (before.retention.days, context.settings.retention.days) == (None, 3)
    with pytest.raises(SettingsError):
        context.change_settings({"retention.days": 9, "stream.compression_ratio": 0})
    assert context.settings.retention.days == 3


def _modes(home: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in (home, *home.iterdir())}


def test_home_is_closed_to_others(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    context = ServiceContext(load_settings(home=home))
    context.catalog.accounts.users()
    assert _modes(home) == {"home": 0o700} | {
        name: 0o600 for name in ("longwatch.db", "longwatch.db-wal", "longwatch.db-shm")
    }
    context.close()
    home.chmod(0o755)
    again = ServiceContext(load_settings(home=home))
    assert again.catalog.accounts.users() == ()
    again.close()
    assert _modes(home)["home"] == 0o700


def test_folder_of_other_things_and_shared_one_stay_open(tmp_path: Path) -> None:
    other, shared = tmp_path / "other", tmp_path / "shared"
    for folder, mode in ((other, 0o755), (shared, 0o2770)):
        folder.mkdir()
        folder.chmod(mode)
    (other / "notes.txt").write_text("x")
    for folder, mode in ((other, 0o755), (shared, 0o2770)):
        HomeFolder(folder).create()
        assert stat.S_IMODE(folder.stat().st_mode) == mode
