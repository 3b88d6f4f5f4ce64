"""What the threads of a process share: one engine, one catalog, settings that stay whole."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.config.settings import FILE_NAME
from engine.errors import SettingsError
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
