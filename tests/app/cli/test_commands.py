"""Every command in one table: what it ends with over an empty library."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from app.cli.main import cli, main

PASSWORD = "correct horse battery"

# Words after `longwatch`, and the exit code: 0 done, 2 no such thing or wrong usage, 3 not
# reachable, 5 refused. `{tmp}` is an empty folder.
COMMANDS: list[tuple[str, int]] = [
    ("ingest {tmp}/gone.mp4", 3),
    ("ingest {tmp}/a {tmp}/b --name one", 2),
    ("ask What?", 2),
    ("search car", 2),
    ("caption nowhere", 2),
    ("captions nowhere", 2),
    ("probe --lengths 4", 5),
    ("probe --recall some", 2),
    ("probe --lengths many", 2),
    ("demo {tmp}/gone.mp4 --output {tmp}/demo", 3),
    ("videos list", 0),
    ("videos show nowhere", 2),
    ("videos rm nowhere", 2),
    ("videos export nowhere {tmp}/clip.mp4 --start 0 --end 1", 2),
    ("videos reindex", 0),
    ("models list", 0),
    ("models pull nano", 5),
    ("models check {tmp}", 2),
    ("models calibrate nowhere", 2),
    ("models evidence nowhere", 2),
    ("models compare", 0),
    ("user list", 0),
    (f"user add ada --role owner --password {PASSWORD.replace(' ', '-')}", 2),
    ("user add a+b --password long-enough-for-this", 5),
    ("user password nobody --password long-enough-for-this", 2),
    ("user rm nobody", 2),
    ("train nothing --output {tmp}/runs", 2),
    ("vico {tmp}/gone.mp4 --output {tmp}/questions.jsonl", 3),
    ("eval nothing --results {tmp}/results.jsonl", 2),
    ("bench nothing", 2),
    ("doctor", 0),
    ("backup {tmp}/home/inside", 5),
    ("restore {tmp}/nowhere", 2),
    ("serve --host 0.0.0.0", 2),
]
# It ends when it is interrupted: the last test.
ENDLESS = {"worker"}
WITHOUT_HOME = {"models check", "models compare", "train", "bench", "demo"}
WITHOUT_JSON = {"serve"}


def commands() -> Iterator[str]:
    """The name of every command, that of its group before it."""
    group = typer.main.get_command(cli)
    for name, command in getattr(group, "commands", {}).items():
        inner = getattr(command, "commands", None)
        yield from [name] if inner is None else [f"{name} {subcommand}" for subcommand in inner]


def name_of(line: str) -> str:
    """The command that a line begins with."""
    return max((name for name in commands() if line.startswith(name)), key=len)


@pytest.mark.parametrize(("line", "exit_code"), COMMANDS, ids=[line for line, _ in COMMANDS])
def test_command_ends_as_the_table_says(
    line: str,
    exit_code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LONGWATCH_HOME", str(tmp_path / "home"))
    name = name_of(line)
    words = [word.replace("{tmp}", str(tmp_path)) for word in line.split()]
    words += [] if name in WITHOUT_HOME else ["--home", str(tmp_path / "home")]
    words += [] if name in WITHOUT_JSON else ["--json"]
    assert main(words) == exit_code
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    if name not in WITHOUT_JSON:
        document = json.loads(output.out)
        assert ("error" in document) == (exit_code != 0)
    if exit_code:
        assert output.err.startswith("longwatch: ")
        assert output.err.count("\n") == 1


def test_every_command_stands_in_the_table() -> None:
    assert {name_of(line) for line, _ in COMMANDS} | ENDLESS == set(commands())


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)], ids=["Ctrl-C", "stopped"]
)
def test_worker_ends_when_it_is_interrupted(
    tmp_path: Path, number: signal.Signals, exit_code: int
) -> None:
    command = [sys.executable, "-m", "app", "worker", "--home", str(tmp_path)]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    first_line = running.stderr.readline()
    assert "worker" in first_line
    running.send_signal(number)
    _, rest = running.communicate(timeout=60)
    assert running.returncode == exit_code
    assert "Traceback" not in rest
