"""A library that is backed up in use and restored on an empty home is the same library."""

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from app.services.access import find_video
from app.services.backup import LIST_NAME, back_up, restore
from app.services.context import ServiceContext
from app.services.repair import reindex
from app.services.scope import resolve_scope
from app.services.search import search
from app.worker.foreground import ingest_now
from engine.errors import InputRefusedError, NotFoundError
from tests.app.services.conftest import DURATION_S, open_library

N_CHUNKS = DURATION_S // 4


@pytest.fixture
def filled(context: ServiceContext, clip: Path) -> ServiceContext:
    """A library with an uploaded original, settings and a needle set."""
    home = context.settings.home
    context.catalog.accounts.add_user("ada", "admin")
    original = home / "media" / "abc.bin"
    original.parent.mkdir()
    original.write_bytes(clip.read_bytes())
    ingest_now(context, [str(original)], name="upload")
    (home / "longwatch.toml").write_text("[sampling]\nfps = 1.0\n")
    (home / "needles" / "cards").mkdir(parents=True)
    (home / "needles" / "cards" / "needles.json").write_text("[]")
    (home / "uploads").mkdir()
    (home / "uploads" / "open.part").write_bytes(b"half")
    return context


def test_restored_library_is_the_one_that_was_backed_up(
    filled: ServiceContext, tmp_path: Path, checkpoint: Path
) -> None:
    # Somebody writes at this moment: the copy holds what was committed.
    writer = sqlite3.connect(filled.settings.home / "longwatch.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM videos")
    back_up(filled, tmp_path / "backup")
    writer.close()

    restored = open_library(tmp_path / "elsewhere", checkpoint)
    restore(restored.settings, tmp_path / "backup")
    before, after = find_video(filled, "upload"), find_video(restored, "upload")
    assert after.uri == str(tmp_path / "elsewhere" / "media" / "abc.bin")
    assert (
        replace(after, uri=before.uri, media=before.media, updated_at=before.updated_at) == before
    )
    assert contents(restored.settings.home) == contents(filled.settings.home)
    assert [user.name for user in restored.catalog.accounts.users()] == ["ada"]
    assert reindex(restored).message == f"{N_CHUNKS} chunks indexed"
    assert search(restored, "a door", resolve_scope(restored)).hits
    restored.close()


def contents(home: Path) -> dict[str, bytes]:
    kept = [
        path
        for name in ("latents", "stills", "media", "needles")
        for path in (home / name).rglob("*")
    ]
    kept.append(home / "longwatch.toml")
    return {str(path.relative_to(home)): path.read_bytes() for path in kept if path.is_file()}


def test_second_backup_copies_what_is_new_and_drops_what_is_gone(
    filled: ServiceContext, tmp_path: Path, clip: Path
) -> None:
    folder = tmp_path / "backup"
    back_up(filled, folder)
    first = {path.name: path.stat().st_mtime_ns for path in (folder / "files").glob("*/*")}
    (filled.settings.home / "needles" / "cards" / "needles.json").unlink()
    (filled.settings.home / "media" / "more.bin").write_bytes(b"more")
    back_up(filled, folder)
    second = {path.name: path.stat().st_mtime_ns for path in (folder / "files").glob("*/*")}
    assert len(second.keys() - first.keys()) <= 2
    assert len(first.keys() - second.keys()) <= 2
    assert all(first[name] == second[name] for name in first.keys() & second.keys())
    assert sorted(path.name for path in folder.iterdir()) == ["files", LIST_NAME]


def test_backup_and_restored_home_are_their_owners_alone(
    filled: ServiceContext, tmp_path: Path, checkpoint: Path
) -> None:
    """Whatever the umask allows: a library holds pictures and password hashes."""
    before = os.umask(0o022)
    try:
        back_up(filled, tmp_path / "new" / "backup")
        restored = open_library(tmp_path / "elsewhere", checkpoint)
        restore(restored.settings, tmp_path / "new" / "backup")
        restored.close()
    finally:
        os.umask(before)
    for root in (tmp_path / "new", tmp_path / "elsewhere"):
        for path in (root, *root.rglob("*")):
            assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_restore_refuses_a_home_that_is_not_empty(filled: ServiceContext, tmp_path: Path) -> None:
    back_up(filled, tmp_path / "backup")
    with pytest.raises(InputRefusedError, match="not empty"):
        restore(filled.settings, tmp_path / "backup")


def test_damaged_file_of_a_backup_is_named(
    filled: ServiceContext, tmp_path: Path, checkpoint: Path
) -> None:
    back_up(filled, tmp_path / "backup")
    largest = max((tmp_path / "backup" / "files").glob("*/*"), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1] + b"\0\0")
    other = open_library(tmp_path / "elsewhere", checkpoint)
    with pytest.raises(InputRefusedError, match=largest.name):
        restore(other.settings, tmp_path / "backup")
    with pytest.raises(NotFoundError, match="no backup"):
        restore(other.settings, tmp_path / "nothing")
