"""A home that cannot be written to: listed, searched and asked; writes end in a sentence."""

import codecs
import json
import os
import shutil
import sqlite3
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from app.cli.main import main
from app.worker.foreground import ingest_now
from tests.app.services.conftest import open_library
from tests.support.read_only import (
    become_reader,
    close_to_writers,
    open_folder,
    run_on_read_only_mount,
)

READS = [
    ["videos", "list"],
    ["videos", "show", "front door"],
    ["search", "a door"],
    ["ask", "What happens?"],
]
WRITES = [
    ["videos", "rm", "front door"],
    ["caption", "front door"],
    ["videos", "reindex"],
    ["serve", "--port", "0"],
    ["worker"],
    ["user", "add", "ada", "--role", "admin", "--password", "correct horse battery"],
]


@pytest.fixture
def home(checkpoint: Path, clip: Path) -> Iterator[Path]:
    with open_folder() as folder:
        home, model = folder / "home", folder / "model"
        shutil.copytree(checkpoint, model)
        context = open_library(home, model)
        ingest_now(context, [str(clip)])
        context.close()
        (home / "longwatch.toml").write_text(f'model = "{model}"\n')
        for path in folder.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield home


def contents(home: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in home.rglob("*")}


def leave_log(home: Path) -> None:
    """Leave the database as a killed writer does: its last row in the log alone."""
    child = os.fork()
    if child == 0:
        writer = sqlite3.connect(home / "longwatch.db", isolation_level=None)
        writer.execute("UPDATE videos SET name = 'back door'")
        os._exit(0)
    os.waitpid(child, 0)
    assert (home / "longwatch.db-wal").stat().st_size > 0


def run_as_reader(arguments: Sequence[str], out: Path) -> int:
    """Run a command as a user who may read the home; its output goes to a file."""
    with out.open("wb") as file:
        child = os.fork()
        if child == 0:
            code = 99
            try:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
                sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
                codecs.lookup("cp437")  # Of zip files, from where the other user may not look.
                become_reader()
                code = main(list(arguments))
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


@pytest.mark.parametrize("log", ["none", "of a killed writer", "without its index"])
def test_home_of_another_user_is_read(home: Path, tmp_path: Path, log: str) -> None:
    name = "front door"
    if log != "none":
        leave_log(home)
        name = "back door"
    if log == "without its index":
        (home / "longwatch.db-shm").unlink()
    close_to_writers(home)
    before = contents(home)
    for command in READS:
        command = [name if word == "front door" else word for word in command]
        out = tmp_path / "out"
        code = run_as_reader([*command, "--json", "--home", str(home)], out)
        text = out.read_text()
        assert code == 0, text
        document = json.loads(text[text.index("{") : text.rindex("}") + 1])
        if "videos" in document:
            assert [video["name"] for video in document["videos"]] == [name]
    assert contents(home) == before


def test_home_of_another_user_refuses_every_write(home: Path, tmp_path: Path, clip: Path) -> None:
    shutil.copyfile(clip, home.parent / "other.mp4")
    with (home.parent / "other.mp4").open("ab") as file:
        file.write(b"\0")
    close_to_writers(home)
    before = contents(home)
    for command in [*WRITES, ["ingest", str(home.parent / "other.mp4")]]:
        out = tmp_path / "out"
        code = run_as_reader([*command, "--home", str(home)], out)
        assert code == 3, out.read_text()
        assert "longwatch: " in out.read_text()
        assert "cannot be written to" in out.read_text()
    assert contents(home) == before


def test_read_only_mount_is_read_and_refuses_writes(home: Path) -> None:
    before = contents(home)
    for command in (READS[0], READS[3]):
        done = run_on_read_only_mount(home, [*command, "--json", "--home", str(home)])
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)
    done = run_on_read_only_mount(home, [*WRITES[0], "--home", str(home)])
    assert done.returncode == 3
    assert "cannot be written to" in done.stderr
    assert contents(home) == before


def test_writer_is_seen_by_a_reader_without_rights(home: Path, tmp_path: Path) -> None:
    """A server runs in the home of its owner; another user looks at the library meanwhile."""
    writer = sqlite3.connect(home / "longwatch.db", isolation_level=None)
    writer.execute("UPDATE videos SET name = 'side door'")
    close_to_writers(home)
    out = tmp_path / "out"
    assert run_as_reader(["videos", "list", "--json", "--home", str(home)], out) == 0
    assert "side door" in out.read_text()
    writer.close()


def test_backup_is_made_of_a_home_that_cannot_be_written_to(home: Path, tmp_path: Path) -> None:
    leave_log(home)
    close_to_writers(home)
    target = home.parent / "backups"
    target.mkdir()
    target.chmod(0o777)
    out = tmp_path / "out"
    code = run_as_reader(["backup", str(target / "today"), "--home", str(home)], out)
    assert code == 0, out.read_text()
    assert (target / "today" / "longwatch-backup.json").exists()
