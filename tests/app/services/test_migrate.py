"""A library that moves to a server and back, and is backed up there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.doctor import _server
from app.config.settings import Settings, load_settings
from app.services.backup import back_up, restore
from app.services.context import ServiceContext
from app.services.migrate import migrate
from engine.errors import InputRefusedError, NotFoundError
from storage.catalog import open_catalog
from tests.storage.samples import add_ingesting, chunk

TABLE_OF = {"videos": 1, "chunks": 3, "users": 1}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A library in a file: a video with three chunks, and a user."""
    folder = tmp_path / "home"
    with open_catalog(f"sqlite:///{folder / 'longwatch.db'}") as catalog:
        video = add_ingesting(catalog)
        for ordinal in range(3):
            catalog.chunks.commit(chunk(video, ordinal))
        catalog.accounts.add_user("ada", "admin")
    return folder


def settings_of(home: Path, url: str | None = None) -> Settings:
    return load_settings({} if url is None else {"database_url": url}, home=home)


def rows_of(settings: Settings) -> tuple[object, ...]:
    context = ServiceContext(settings)
    try:
        catalog = context.catalog
        return catalog.videos.list(), catalog.accounts.users()
    finally:
        context.close()


def test_library_that_is_not_there_is_no_library(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no library"):
        migrate(settings_of(tmp_path / "none"), "sqlite:////tmp/none.db")
    assert not (tmp_path / "none" / "longwatch.db").exists()


@pytest.mark.parametrize("to", ["lobby", "sqlite"])
def test_target_that_is_no_other_database_is_refused(home: Path, to: str) -> None:
    with pytest.raises(InputRefusedError, match=r"address of a database|is already"):
        migrate(settings_of(home), to)


def test_copy_in_another_file_holds_every_row(home: Path, tmp_path: Path) -> None:
    document = migrate(settings_of(home), f"sqlite:///{tmp_path / 'copy.db'}")
    counts = {table.table: table.rows for table in document.tables}
    assert TABLE_OF.items() <= counts.items()
    assert document.rows == sum(TABLE_OF.values())
    assert "LONGWATCH_DATABASE_URL" in document.message


@pytest.mark.scale
def test_library_moves_to_a_server_and_back(home: Path, postgres_url: str) -> None:
    before = rows_of(settings_of(home))
    there = migrate(settings_of(home), postgres_url)
    assert rows_of(settings_of(home, postgres_url)) == before == rows_of(settings_of(home))
    (home / "longwatch.db").rename(home / "kept.db")
    back = migrate(settings_of(home, postgres_url), "sqlite")
    assert back.tables == there.tables
    assert back.message.endswith("then start servers and workers")
    assert rows_of(settings_of(home)) == before


@pytest.mark.scale
def test_command_that_is_killed_goes_on_and_shows_no_secret(home: Path, postgres_url: str) -> None:
    url = postgres_url.replace("postgres@", "postgres:hunter2@")
    with open_catalog(f"sqlite:///{home / 'longwatch.db'}") as catalog:
        for number in range(400):
            catalog.videos.add(name=f"video {number}", uri="x")
    command = [sys.executable, "-m", "app", "migrate", "--to", "-", "--json", "--home", str(home)]
    first = subprocess.Popen(
        [sys.executable, "-c", KILLED, *command[3:]], stdin=subprocess.PIPE, text=True
    )
    first.communicate(url)
    assert first.returncode == -9
    done = subprocess.run(command, input=url, capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert '"rows": 405' in done.stdout


KILLED = """
import os, signal, sys
from storage import transfer
store, pages = transfer._store, []
def killed(target, table, rows):
    store(target, table, rows)
    if table.name == "videos":
        os.kill(os.getpid(), signal.SIGKILL)
transfer._store = killed
from app.cli.main import run
sys.argv = ["longwatch", *sys.argv[1:]]
run()
"""


@pytest.mark.scale
def test_library_on_a_server_is_backed_up_and_restored_in_a_file_or_on_a_server(
    home: Path, postgres_url: str, tmp_path: Path
) -> None:
    migrate(settings_of(home), postgres_url)
    (home / "longwatch.db").unlink()
    (home / "longwatch.toml").write_text("")
    context = ServiceContext(settings_of(home, postgres_url))
    before = rows_of(context.settings)
    back_up(context, tmp_path / "backup")
    back_up(context, tmp_path / "backup")
    context.close()
    restore(settings_of(tmp_path / "elsewhere"), tmp_path / "backup")
    assert rows_of(settings_of(tmp_path / "elsewhere")) == before
    with pytest.raises(InputRefusedError, match="holds a library already"):
        restore(settings_of(tmp_path / "third", postgres_url), tmp_path / "backup")
    assert not (tmp_path / "third").exists()


@pytest.mark.scale
def test_backup_is_restored_on_an_empty_server(
    home: Path, postgres_url: str, tmp_path: Path
) -> None:
    context = ServiceContext(settings_of(home))
    before = rows_of(context.settings)
    back_up(context, tmp_path / "backup")
    context.close()
    restored = settings_of(tmp_path / "elsewhere", postgres_url)
    restore(restored, tmp_path / "backup")
    assert rows_of(restored) == before
    assert not restored.home.joinpath("longwatch.db").exists()


@pytest.mark.scale
def test_doctor_says_how_the_server_is(home: Path, postgres_library: str) -> None:
    context = ServiceContext(settings_of(home, postgres_library))
    (finding,) = _server(context)
    context.close()
    assert finding.state == "ok"
    assert "PostgreSQL 18" in finding.detail
    gone = ServiceContext(settings_of(home, "postgresql://ada:hunter2@127.0.0.1:1/none"))
    (finding,) = _server(gone)
    assert finding.state == "missing"
    assert "hunter2" not in f"{finding.detail} {finding.hint}"
