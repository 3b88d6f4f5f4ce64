"""The documentation names what exists: commands, options, routes, settings, files, links."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from fastapi.routing import APIRoute
from pydantic import BaseModel
from typer.core import TyperGroup

from app.cli.main import cli
from app.cli.overview import PURPOSES
from app.config.camera_secrets import SECRET_PREFIX
from app.config.settings import SECRETS, Settings, load_settings
from app.server import OPEN_ROUTERS, ROUTERS

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("assets/**/*.md")])
INSTALL_PAGE = ROOT / "docs" / "install.md"
COMMAND_PAGE = ROOT / "docs" / "cli.md"
ROUTE_PAGE = ROOT / "docs" / "http-api.md"
ON_EVERY_COMMAND = {"--help"}
SHELL = {"", "sh"}
"""Languages of the fenced blocks that hold commands; the plain ones may hold output too."""
TEST_VARIABLES = "LONGWATCH_TEST_"
SHOWN = re.compile(r"^(app|engine|storage|tests|assets|docs|examples|\.ci|\.github)(/[\w.-]+)*/?$")
FENCE = re.compile(r"^(```+)(\w*)\n(.*?)^\1\s*$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)


@pytest.fixture(params=PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def page(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def test_command_page_names_every_command_and_option_and_no_other() -> None:
    assert documented_options() == existing_options()


def test_overview_of_the_command_page_is_that_of_the_help() -> None:
    overview = COMMAND_PAGE.read_text(encoding="utf-8").split("\n## ")[1]
    rows = re.findall(r"^\| ([^|]+) \| (\[`.+) \|$", overview, re.MULTILINE)
    shown = {
        purpose: tuple(re.findall(r"\[`([\w-]+)`\]\(#longwatch-\1\)", links))
        for purpose, links in rows
    }
    assert shown == dict(PURPOSES)


def test_every_command_has_one_purpose() -> None:
    names = [name for names in PURPOSES.values() for name in names]
    assert sorted(names) == sorted(root_command().commands)


def test_route_page_names_every_route_and_no_other() -> None:
    documented = re.findall(
        r"^\| `([A-Z]+) (/\S+)` \|", ROUTE_PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(documented) == sorted(existing_routes())


def test_relative_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    targets = LINK.findall(prose(page))
    assert [target for target in targets if not is_reachable(page, target)] == []


def test_named_files_exist(page: Path) -> None:
    named = {span.strip() for span in INLINE.findall(prose(page)) if SHOWN.match(span.strip())}
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_commands_in_examples_exist_with_their_options(page: Path) -> None:
    wrong = [line for line in commands(page) if not is_known_command(line)]
    assert wrong == []


def test_every_extra_is_listed_and_those_that_pages_install_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = set(project["optional-dependencies"])
    listed = re.findall(r"^\| `(\w+)` \|", INSTALL_PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(extras)
    texts = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    installed = re.findall(r"(?:longwatch|\.whl|'\.)\[([\w,]+)\]", texts)
    assert {name for names in installed for name in names.split(",")} <= extras


def test_layers_of_the_architecture_are_those_that_are_held() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    layers = {
        contract["containers"][0]: " > ".join(contract["layers"])
        for contract in tools["importlinter"]["contracts"]
        if contract["type"] == "layers"
    }
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^(engine|app): +(.+)$", page, re.MULTILINE))
    assert shown == {name: layers[name] for name in ("engine", "app")}


def test_modules_that_are_run_exist(page: Path) -> None:
    named = re.findall(r"python -m ((?:app|tests)(?:\.\w+)*)", page.read_text(encoding="utf-8"))
    missing = []
    for name in named:
        path = ROOT / name.replace(".", "/")
        if not (path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()):
            missing.append(name)
    assert missing == []


def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    shell = [block for language, block in fences(page) if language in SHELL]
    named = re.findall(r"`make ([a-z-]+)[^`]*`", prose(page))
    named += re.findall(r"^make ([a-z-]+)", "\n".join(shell), re.MULTILINE)
    assert sorted(set(named) - targets) == []


def test_settings_in_text_exist(page: Path) -> None:
    known = dotted_settings(Settings)
    sections = {name.split(".")[0] for name in known if "." in name}
    named = {
        match[0]
        for span in INLINE.findall(prose(page))
        for match in [re.match(r"^(\w+)\.(\w+)(?=$| =)", span)]
        if match is not None and match[1] in sections and match[2] != "json"
    }
    assert sorted(named - known) == []


def test_environment_variables_in_text_exist(page: Path) -> None:
    files = {f"{secret.replace('__', '.')}_file" for secret in SECRETS}
    known = dotted_settings(Settings) | files
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"\bLONGWATCH_[A-Z][A-Z_]*[A-Z]\b", text))
    settings = {name for name in named if not name.startswith((TEST_VARIABLES, SECRET_PREFIX))}
    unknown = [
        name
        for name in settings
        if name.removeprefix("LONGWATCH_").lower().replace("__", ".") not in known
    ]
    assert unknown == []


def test_settings_files_in_examples_are_accepted(page: Path, tmp_path: Path) -> None:
    for language, block in fences(page):
        if language == "toml":
            (tmp_path / "longwatch.toml").write_text(block, encoding="utf-8")
            load_settings(home=tmp_path, folder=tmp_path)


def fences(page: Path) -> list[tuple[str, str]]:
    """Return language and text of every fenced block."""
    text = page.read_text(encoding="utf-8")
    return [(language, block) for _, language, block in FENCE.findall(text)]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks and comments."""
    return COMMENT.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))


def is_reachable(page: Path, target: str) -> bool:
    """Return whether a link of a page leads somewhere; other sites are believed."""
    if re.match(r"^[a-z]+:", target):
        return True
    path, _, anchor = target.partition("#")
    file = page.parent / path if path else page
    if not file.exists():
        return False
    return not anchor or anchor in {slug(title) for title in HEADING.findall(prose(file))}


def slug(title: str) -> str:
    """Return the anchor that forges give a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def walk(group: TyperGroup, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """Yield every command with its long options, the group itself included."""
    yield path, long_options(group)
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from walk(command, (*path, name))
        else:
            yield (*path, name), long_options(command)


def long_options(command: object) -> set[str]:
    options = {option for parameter in command.params for option in parameter.opts}  # type: ignore[attr-defined]
    return {option for option in options if option.startswith("--")} - ON_EVERY_COMMAND


def root_command() -> TyperGroup:
    group = typer.main.get_command(cli)
    assert isinstance(group, TyperGroup)
    return group


def existing_options() -> dict[str, set[str]]:
    return {" ".join(path): options for path, options in walk(root_command(), ("longwatch",))}


def documented_options() -> dict[str, set[str]]:
    """Return the commands that have a heading, and the options in the first column below it."""
    text = COMMAND_PAGE.read_text(encoding="utf-8")
    parts = re.split(r"^#{2,4} `(longwatch[^`]*)`\s*$", text, flags=re.MULTILINE)[1:]
    documented = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        rows = re.findall(r"^\| `(--[\w-]+)", body, re.MULTILINE)
        assert len(rows) == len(set(rows)), f"{name} names an option twice"
        documented[name] = set(rows)
    return documented


def existing_routes() -> list[tuple[str, str]]:
    return [
        (method, route.path)
        for router in (*OPEN_ROUTERS, *ROUTERS)
        for route in router.routes
        if isinstance(route, APIRoute) and route.include_in_schema and router.include_in_schema
        for method in route.methods or ()
    ]


def commands(page: Path) -> list[str]:
    """Return every `longwatch ...` of a page's shell blocks and code spans."""
    lines = [
        line
        for language, block in fences(page)
        if language in SHELL
        for line in block.replace("\\\n", " ").splitlines()
    ]
    spans = [" ".join(span.split()) for span in INLINE.findall(prose(page))]
    starts = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?longwatch(?= [a-z-])")
    return [
        starts.sub("longwatch", text) for text in [*lines, *spans] if starts.match(text.strip())
    ]


def is_known_command(line: str) -> bool:
    _, *words = shlex.split(line, comments=True)
    command: object = root_command()
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        name, *words = words
        if name not in command.commands:
            return False
        command = command.commands[name]
    named = {word.partition("=")[0] for word in words if word.startswith("--")}
    return named <= long_options(command) | ON_EVERY_COMMAND


def dotted_settings(section: type[BaseModel], prefix: str = "") -> set[str]:
    """Return the dotted names of all settings and of their sections."""
    names = set()
    for name, field in section.model_fields.items():
        names.add(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names |= dotted_settings(field.annotation, f"{prefix}{name}.")
    return names
