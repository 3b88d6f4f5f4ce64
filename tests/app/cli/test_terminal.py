"""What people read in a terminal: names as they are, hints whole."""

import pytest
from rich.table import Table

from app.cli.render import plain_table
from app.cli.terminal import Terminal
from app.progress import ProgressUpdate
from app.schemas.doctor import DoctorResponse, FindingItem

NAMES = ("a:dog:b.mp4", "[red]gate[/red].mp4", "gate [2].mp4", "[/]")


def shown(table: Table, capsys: pytest.CaptureFixture[str]) -> str:
    screen = Terminal(json=False)
    screen._out.print(table)
    return capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_names_are_shown_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = plain_table("video")
    table.add_row(name)
    assert name in shown(table, capsys)


@pytest.mark.parametrize("name", NAMES)
def test_progress_names_files_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal(json=False).progress() as progress:
        progress.step(ProgressUpdate(what=name, done=1.0, total=1.0, note=name))
    assert capsys.readouterr().err.count(name) == 2


def test_hint_names_the_extra_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    hint = "pip install 'longwatch[gpu]'"
    finding = FindingItem(name="GPU", state="warning", detail="none", hint=hint)
    Terminal(json=False).show(DoctorResponse(findings=[finding]))
    assert hint in " ".join(capsys.readouterr().out.split())
