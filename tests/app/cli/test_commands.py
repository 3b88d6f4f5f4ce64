"""Every command in one table: what it ends with over an empty library."""

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from app.cli.main import cli, main

PASSWORD = "correct horse battery"

# Words after `longwatch`, and the exit code: 0 done, 2 no such thing or wrong usage, 3 not
# reachable, 5 refused. `{tmp}` is an empty folder.
COMMANDS: list[tuple[str, int]] = [
    ("ingest {tmp}/gone.mp4", 3),
    ("ingest {tmp}/a {tmp}/b --name one", 2),
    ("ingest ''", 3),
    ("ask What?", 2),
    ("ask What? --time-of-day 22:00-06:00-or-some-other-time-of-the-day", 2),
    ("search car", 2),
    ("caption nowhere", 2),
    ("captions nowhere", 2),
    ("probe --lengths 4", 5),
    ("probe --recall some", 2),
    ("probe --lengths many", 2),
    ("demo {tmp}/gone.mp4 --output {tmp}/demo", 3),
    ("videos list", 0),
    ("videos list --tag night", 0),
    ("videos show nowhere", 2),
    ("videos rm nowhere", 2),
    ("videos export nowhere {tmp}/clip.mp4 --start 0 --end 1", 2),
    ("videos reindex", 0),
    ("videos set nowhere --name door", 2),
    ("cameras list", 0),
    ("cameras show nowhere", 2),
    ("cameras add Gate gate.mp4", 5),
    ("cameras add Gate rtsp://10.0.0.7/live --fps many", 2),
    ("cameras add Gate http://[::1", 5),
    ("cameras add Gate rtsp://10.0.0.7:99999/live", 5),
    ("cameras add '' rtsp://10.0.0.7/live", 5),
    ("cameras add Gate rtsp://10.0.0.7/live --recordings-size 9GB --stills-days 30", 0),
    ("cameras discover 127.0.0.1:9", 3),
    ("cameras discover 169.254.169.254 --add Gate", 5),
    ("cameras discover --add Gate", 2),
    ("cameras set nowhere --off", 2),
    ("cameras rm nowhere", 2),
    ("cameras export nowhere {tmp}/x.mp4 --start 2026-03-01T22:00 --end 2026-03-01T22:01", 2),
    ("cameras evidence {tmp}/x --camera no --start 2026-03-01T22:00 --end 2026-03-01T22:01", 2),
    ("cameras verify {tmp}", 2),
    ("cameras test nowhere", 2),
    ("cameras test rtsp://127.0.0.1:9/live", 3),
    ("cameras test rtmp://10.0.0.7/live", 5),
    ("ingest ftp://10.0.0.7/clip.mp4", 5),
    ("ask What? --camera nowhere", 2),
    ("videos set nowhere --tag night", 2),
    ("moments nowhere", 2),
    ("moments", 2),
    ("moments --day 2026-03-01", 0),
    ("moments --day today", 5),
    ("moments --day 2026-03-01 --hours 22:00-06:00", 2),
    ("verdicts list", 0),
    ("verdicts export {tmp}/verdicts.csv", 0),
    ("verdicts export {tmp}/verdicts.txt", 5),
    ("observations nowhere", 2),
    ("observe nowhere", 2),
    ("reprocess nowhere", 2),
    ("reprocess", 2),
    ("alerts list", 0),
    ("alerts list --state never", 2),
    ("alerts show 1", 2),
    ("alerts ack 1", 2),
    ("alerts false-alarm 1", 2),
    ("alerts try nothing", 2),
    ("alerts deliveries --state dead", 0),
    ("alerts retry 1", 2),
    ("alerts rules list", 0),
    ("alerts rules show nothing", 2),
    ("alerts rules add door --object person", 0),
    ("alerts rules add door", 2),
    ("alerts rules add '' --object person", 2),
    ("alerts rules add door --object grievance", 5),
    ("alerts rules add door --motion --hours late", 5),
    ("alerts rules add door --motion --zone 0,0", 5),
    ("alerts rules add door --motion --zone here", 2),
    ("alerts rules add door --motion --direction left", 2),
    ("alerts rules add door --motion --speech help", 2),
    ("alerts rules set nothing --off", 2),
    ("alerts rules set nothing", 2),
    ("alerts rules rm nothing", 2),
    ("alerts destinations list", 0),
    ("alerts destinations add hook https://example.org/x --kind webhook", 0),
    ("alerts destinations add hook ftp://example.org --kind webhook", 5),
    ("alerts destinations add hook mqtt://h --kind mqtt --topic #", 2),
    ("alerts destinations test nothing", 2),
    ("alerts destinations rm nothing", 2),
    ("conversations list", 0),
    ("conversations show nowhere", 2),
    ("models list", 0),
    ("models pull nano", 5),
    ("models check {tmp}", 2),
    ("models calibrate nowhere", 2),
    ("models evidence nowhere", 2),
    ("models claim concepts --root {tmp}", 5),
    ("models compare", 0),
    ("user list", 0),
    (f"user add ada --role owner --password {PASSWORD.replace(' ', '-')}", 2),
    ("user add a+b --password long-enough-for-this", 5),
    ("user password nobody --password long-enough-for-this", 2),
    ("user rm nobody", 2),
    ("retention confirm", 0),
    ("objects push", 2),
    ("objects status", 2),
    ("objects verify --digests", 2),
    ("objects adopt", 2),
    ("objects clean --dry-run", 2),
    ("objects clean --hours 0", 2),
    ("train nothing --output {tmp}/runs", 2),
    ("train nano_smoke --plan", 5),
    ("train finetune --plan --output {tmp}/runs", 5),
    ("study {tmp}/gone.toml", 2),
    ("ask What? --image {tmp}/gone.png", 3),
    ("vico {tmp}/gone.mp4 --output {tmp}/questions.jsonl", 3),
    ("recaption {tmp}/gone.mp4 --output {tmp}/captions", 3),
    ("recaption {tmp} --output {tmp}/captions --formats srt", 5),
    ("eval", 0),
    ("eval nothing --results {tmp}/results.jsonl", 2),
    ("eval avqa --root {tmp} --results {tmp}/results.jsonl", 5),
    ("curate {tmp}/records.jsonl --output {tmp}/set", 5),
    ("curate avqa={tmp}/records.jsonl --output {tmp}/set", 2),
    ("persistence --ages soon --results {tmp}/facts.jsonl", 2),
    ("persistence --ages 0 --results {tmp}/facts.jsonl", 2),
    ("persistence --memories all-of-it --results {tmp}/facts.jsonl", 5),
    ("bench nothing", 2),
    ("doctor", 0),
    ("doctor --plan banana", 5),
    ("backup {tmp}/home/inside", 5),
    ("restore {tmp}/nowhere", 2),
    ("migrate --to sqlite:///{tmp}/copy.db", 2),
    ("serve --host 0.0.0.0", 2),
    ("serve --model banana", 2),
    ("serve --model {tmp}", 2),
]
# It ends when it is interrupted: the last test.
ENDLESS = {"worker"}


def command_options() -> dict[str, set[str]]:
    """The options of every command by its name, those of its groups before it."""
    return {
        name: {option for param in leaf.params for option in param.opts}
        for name, leaf in leaves("", typer.main.get_command(cli))
    }


def leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """The commands of a group, of groups within it too."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for subname, subcommand in inner.items():
        yield from leaves(f"{name} {subname}".strip(), subcommand)


def commands() -> Iterator[str]:
    """The name of every command, that of its group before it."""
    yield from command_options()


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
    words = [word.replace("{tmp}", str(tmp_path)) for word in shlex.split(line)]
    words += ["--home", str(tmp_path / "home"), "--json"]
    assert main(words) == exit_code
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    document = json.loads(output.out)
    assert ("error" in document) == (exit_code != 0)
    if exit_code:
        assert output.err.startswith("longwatch: ")
        assert output.err.count("\n") == 1


@pytest.mark.parametrize("name", [*commands()])
def test_every_command_takes_json_and_home(name: str) -> None:
    assert {"--json", "--home"} <= command_options()[name]


def test_home_of_a_variable_that_is_not_set_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    # `--home "$CASE"`: an empty path is the working folder, where nobody meant a library to be.
    assert main(["videos", "list", "--home", ""]) == 2
    assert "the name of the folder is empty" in capsys.readouterr().err


def test_demo_keeps_its_library_where_it_is_told(tmp_path: Path) -> None:
    clip = tmp_path / "notes.mp4"
    clip.write_text("no video at all")
    home = tmp_path / "home"
    assert main(["demo", str(clip), "--output", str(tmp_path / "out"), "--home", str(home)]) == 5
    assert (home / "longwatch.db").exists()
    assert not (tmp_path / "out" / "library").exists()


def test_worker_says_in_json_that_it_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app", "worker", "--home", str(tmp_path), "--json"]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert running.stdout is not None
    lines = [running.stdout.readline()]
    while lines[-1].rstrip() != "}":
        lines.append(running.stdout.readline())
    running.send_signal(signal.SIGTERM)
    rest, _ = running.communicate(timeout=60)
    assert json.loads("".join(lines))["home"] == str(tmp_path)
    assert rest == ""
    assert running.returncode == 0


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
