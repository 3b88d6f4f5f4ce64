"""The rules of the house that no linter holds, over everything that ships."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = ("app", "engine", "storage")
MAX_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_FILE_BYTES = 40 * 2**20
PRONOUNS = {"one", "each", "said", "asked", "found", "made", "told", "heard"}
SUBJECTLESS = {"What", "How", "Who", "Whose", "Where", "When", "Which", "Says", "Hears"}
MIGRATIONS = ROOT / "storage" / "migrations"
"""Written once and never edited again, so they may be long and repeat each other."""


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def tracked_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).exists()]


MODULES = python_files(*SHIPPED)
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def public_definitions(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """The module, its public classes and functions, and the public methods of those classes."""
    yield name_of(path), TREES[path]
    for node in TREES[path].body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("_"):
            continue
        yield f"{name_of(path)}:{node.name}", node
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                is_method = isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
                if is_method and not member.name.startswith("_"):
                    yield f"{name_of(path)}:{node.name}.{member.name}", member


def test_everything_public_has_a_docstring() -> None:
    missing = [
        name
        for path in MODULES
        for name, node in public_definitions(path)
        if ast.get_docstring(node) is None and MIGRATIONS not in path.parents
    ]
    assert not missing, "\n".join(missing)


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    wrong = [
        f"{name}: {docstring.splitlines()[0]}"
        for path in MODULES
        for name, node in public_definitions(path)
        if (docstring := ast.get_docstring(node)) and docstring.split()[0] in SUBJECTLESS
    ]
    assert not wrong, "\n".join(wrong)


def test_variables_are_named_by_what_they_hold() -> None:
    wrong = [
        f"{name_of(path)}:{node.lineno}: {name}"
        for path in MODULES
        for node in ast.walk(TREES[path])
        for name in (
            [node.id]
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            else [node.arg]
            if isinstance(node, ast.arg)
            else []
        )
        if name in PRONOUNS
    ]
    assert not wrong, "\n".join(wrong)


def test_files_and_functions_are_short_enough_to_read() -> None:
    long_files = [
        f"{name_of(path)}: {n_lines} lines"
        for path in MODULES
        if (n_lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    ]
    long_functions = [
        f"{name_of(path)}:{node.name}: {n_lines} lines"
        for path in MODULES
        if MIGRATIONS not in path.parents
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (n_lines := body_lines(node)) > MAX_FUNCTION_LINES
    ]
    assert not long_files + long_functions, "\n".join(long_files + long_functions)


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function behind its docstring."""
    statements = function.body[1:] if ast.get_docstring(function) else function.body
    if not statements:
        return 0
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1


def test_packages_reexport_nothing() -> None:
    wrong = [
        name_of(path)
        for path in MODULES
        if path.name == "__init__.py"
        and path.parent != MIGRATIONS
        and any(not isinstance(node, ast.Expr) for node in TREES[path].body)
    ]
    assert not wrong, "\n".join(wrong)


def test_public_classes_have_one_name_each() -> None:
    """Within a family a layer may bear its model's own name: families do not see each other."""
    homes: dict[str, list[str]] = {}
    for path in MODULES:
        if MIGRATIONS in path.parents or name_of(path).startswith("engine/models/"):
            continue
        for node in TREES[path].body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(name_of(path))
    assert not {name: files for name, files in homes.items() if len(files) > 1}


NAMES_SAY_IT = {
    "app/cli",
    "app/schemas",
    "app/services/benchmarks",
    "app/ui/pages",
    "engine/evaluation/bench",
    "engine/evaluation/benchmarks",
    "engine/sight/encoders",
    "engine/sight/observers",
    "engine/training/recipes",
}
"""Packages whose files are of one kind, each named for the command, page, resource or plug-in."""


def test_packages_list_their_files() -> None:
    packages = [path.parent for path in MODULES if path.name == "__init__.py"]
    missing = [
        f"{name_of(package)}: {name}"
        for package in packages
        if name_of(package) not in NAMES_SAY_IT and MIGRATIONS not in (package, *package.parents)
        for name in files_of(package)
        if name not in listed_in(package)
    ]
    assert not missing, "\n".join(missing)


def files_of(package: Path) -> list[str]:
    """Names of the modules and packages in a package, without plug-ins, which nothing lists."""
    modules = {path.stem for path in package.glob("*.py")}
    packages = {path.parent.name for path in package.glob("*/__init__.py")}
    if name_of(package) == "engine/index":
        modules = {name for name in modules if name.startswith("_")}
    families = {path.parent.name for path in package.glob("*/model.py")}
    return sorted({*modules, *packages} - families - {"__init__", "__main__", "recognise"})


def listed_in(package: Path) -> set[str]:
    words = re.findall(r"\w+", ast.get_docstring(TREES[package / "__init__.py"]) or "")
    return {*words, *(f"_{word}" for word in words)}


def test_only_settings_read_the_environment() -> None:
    """Writing it for a child process or a library is something else."""
    allowed = {
        "app/config",
        "app/sandbox/channel.py",
        "app/server.py",
        # Whether a launcher has started several processes.
        "app/services/training.py",
        "engine/training/distributed.py",
    }
    wrong = [
        f"{name_of(path)}:{node.lineno}"
        for path in MODULES
        if not any(name_of(path).startswith(prefix) for prefix in allowed)
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in {("os", "environ"), ("os", "getenv")}
    ]
    assert not wrong, "\n".join(wrong)


def test_broad_handlers_stand_at_the_edges_only() -> None:
    edges = {
        "app/worker/worker.py",
        "app/api/access_log.py",
        "app/cli/main.py",
        # Carries whatever happens in its thread to the consumer.
        "engine/media/prefetch.py",
    }
    wrong = [
        f"{name_of(path)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.ExceptHandler)
        and (
            node.type is None
            or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})
        )
        and name_of(path) not in edges
        # What cleans up and passes the error on hides nothing.
        and not isinstance(node.body[-1], ast.Raise)
    ]
    assert not wrong, "\n".join(wrong)


def test_imports_inside_functions_say_why() -> None:
    """A late import of our own is for weight alone; `app/cli` says so once for all commands.

    The sandbox's child confines itself before it imports a decoder, which its docstring says.
    """
    wrong = []
    for path in MODULES:
        if name_of(path).startswith(("app/cli/", "app/sandbox/child.py")):
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        for function in ast.walk(TREES[path]):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                module = node.module if isinstance(node, ast.ImportFrom) else None
                if module is None or module.split(".")[0] not in SHIPPED:
                    continue
                before = lines[node.lineno - 2].strip()
                if not before.startswith(("#", "from ", "import ")):
                    wrong.append(f"{name_of(path)}:{node.lineno}")
    assert not wrong, "\n".join(wrong)


def test_engine_knows_no_command() -> None:
    """Docstrings may: a recipe says by which command it is run."""
    wrong = [
        f"{name_of(path)}:{node.lineno}"
        for path in MODULES
        if name_of(path).startswith("engine/")
        for node in strings_but_docstrings(TREES[path])
        if re.search(r"longwatch [a-z]|longwatch\.toml|LONGWATCH_", str(node.value))
    ]
    assert not wrong, "\n".join(wrong)


def strings_but_docstrings(tree: ast.AST) -> list[ast.Constant]:
    documentation = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node not in documentation
    ]


def test_repository_holds_no_large_file() -> None:
    large = [
        path.relative_to(ROOT).as_posix()
        for path in tracked_files()
        if path.stat().st_size > MAX_FILE_BYTES
    ]
    assert not large


LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def test_links_of_the_documents_lead_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in tracked_files()
        if path.suffix == ".md" and "golden" not in path.parts
        for target in LINK.findall(path.read_text(encoding="utf-8"))
        if "://" not in target
        and not target.startswith("mailto:")
        and not (path.parent / target).exists()
    ]
    assert not broken


PATH = re.compile(r"`((?:app|engine|storage|tests|assets|docs|examples)/[\w./-]*\w)`")


def test_paths_that_texts_name_exist() -> None:
    texts = [path for path in tracked_files() if path.suffix in {".md", ".py"}]
    broken = [
        f"{text.relative_to(ROOT)}: {target}"
        for text in texts
        if "golden" not in text.parts and text.name != "CHANGELOG.md"
        for target in PATH.findall(text.read_text(encoding="utf-8"))
        if not (ROOT / target).exists() and not (ROOT / f"{target}.py").exists()
    ]
    assert not broken
