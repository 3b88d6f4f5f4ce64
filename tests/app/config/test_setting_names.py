"""Every setting that a message, a hint or a page names is one that can be set."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from app.config.settings import SECRETS, Settings

SOURCES = sorted(
    path for folder in ("app", "engine", "storage") for path in Path(folder).rglob("*.py")
)
# Read by those who start a process, not from a settings file.
ENVIRONMENT_ONLY = {
    "LONGWATCH_HOME",
    *(f"LONGWATCH_{secret.upper()}_FILE" for secret in SECRETS),
}


def known(section: type[BaseModel] = Settings, path: str = "") -> Iterator[str]:
    """Dotted names of all settings, sections included."""
    for name, field in section.model_fields.items():
        yield path + name
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from known(kind, f"{path}{name}.")


KNOWN = frozenset(known())
SECTIONS = "|".join(sorted({name.partition(".")[0] for name in KNOWN if "." in name}))
DOTTED = re.compile(rf"(?<![\w./@])(?:{SECTIONS})\.(?!json\b)[a-z_]+\b(?![(.\w/])")
CALLED = re.compile(r"\b[Ss]ettings? `?([a-z_]+\.[a-z_]+)")
ASSIGNED = re.compile(r"\b([a-z_]+(?:\.[a-z_]+)?) = (?:true|false)\b")
VARIABLE = re.compile(r"\bLONGWATCH_(?!TEST_)[A-Z0-9_]*[A-Z0-9]\b")


def strings(path: Path) -> Iterator[str]:
    """The texts of a module that may be shown; a docstring speaks of code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Expr):
            continue
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Constant) and isinstance(child.value, str):
                yield child.value


def named(text: str) -> Iterator[str]:
    """The settings that a text names, dotted."""
    for pattern in (DOTTED, CALLED, ASSIGNED):
        for match in pattern.finditer(text):
            yield match[1] if pattern.groups else match[0]
    for match in VARIABLE.finditer(text):
        if match[0] not in ENVIRONMENT_ONLY:
            yield match[0].removeprefix("LONGWATCH_").lower().replace("__", ".")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("raise the setting film.max_streams", ["film.max_streams"]),
        ("lower limits.disk_reserve_bytes", ["limits.disk_reserve_bytes"]),
        ("set allow_network = true", ["allow_network"]),
        ("LONGWATCH_CACHE__DEVICE_BYTES", ["cache.device_bytes"]),
        ("see engine/media/source.py, app.config.limits and `LONGWATCH_HOME`", []),
    ],
)
def test_names_of_settings_are_found_in_a_text(text: str, names: list[str]) -> None:
    assert list(named(text)) == names


def test_every_setting_that_is_named_exists() -> None:
    mentions = {
        (str(path), name) for path in SOURCES for text in strings(path) for name in named(text)
    }
    assert len(mentions) > 20
    assert {(path, name) for path, name in mentions if name not in KNOWN} == set()
