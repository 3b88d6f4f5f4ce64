"""Hints of services in the words of the web: no command where a page does the same."""

import ast
import re
from pathlib import Path

import pytest

import app
import engine
import storage
from app.services.access import FULL_ACCESS
from app.services.moments import NOT_OBSERVED
from app.ui.hints import ASK_AN_ADMIN, web_hint
from tests.app.services.test_library_query import Some


@pytest.mark.parametrize(
    ("hint", "admin", "viewer"),
    [
        (None, None, None),
        ("describe it in words", "describe it in words", "describe it in words"),
        (
            NOT_OBSERVED,
            "Nothing was observed in this video yet; “Observe” on its page looks at it.",
            "Nothing was observed in this video yet; “Observe” on its page looks at it.",
        ),
        (
            "`longwatch ingest VIDEO` or the library page adds videos",
            "the library page adds videos",
            "the library page adds videos",
        ),
        (
            "`longwatch videos list` shows what there is; set `media.timezone`",
            "the library shows what there is; set media.timezone",
            "the library shows what there is; set media.timezone",
        ),
        (
            "run `longwatch videos reindex`, then ingest the video again",
            "run the command “longwatch videos reindex”, then ingest the video again",
            ASK_AN_ADMIN,
        ),
        (
            "`longwatch ingest /srv/cameras/door.mp4` reads what is missing",
            "“Go on reading” in the library reads what is missing",
            "“Go on reading” in the library reads what is missing",
        ),
        (
            "`longwatch user list` names them",
            "Settings names them",
            "Settings names them",
        ),
        (
            "`longwatch cameras add` has it filmed by a server or worker of the library",
            "the Cameras page has it filmed by a server or worker of the library",
            "the Cameras page has it filmed by a server or worker of the library",
        ),
    ],
)
def test_hint_names_what_its_reader_can_do(
    hint: str | None, admin: str | None, viewer: str | None
) -> None:
    assert web_hint(hint, FULL_ACCESS) == admin
    assert web_hint(hint, Some()) == viewer


def test_commands_in_hints_begin_with_the_program() -> None:
    """A page knows a command by that, and says what does the same, or who may run it."""
    nameless = []
    for package in (app, engine, storage):
        for path in Path(str(package.__file__)).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.keyword) or node.arg != "hint":
                    continue
                texts = [
                    part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant)
                ]
                named = re.findall(r"`([^`]+ [^`]*)`", "".join(map(str, texts)))
                nameless += [name for name in named if not name.startswith(("longwatch ", "ray "))]
    assert not nameless
