"""One table of exit codes, statuses and hints, and an engine that knows none of them."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import engine.errors
from app import errors
from app.config.settings import Settings
from app.errors import ERROR_RULES, LIMIT_SETTINGS, ReportedError, hint_for, rule_for
from engine.errors import (
    CorruptLatentsError,
    InputRefusedError,
    LimitExceededError,
    LongwatchError,
    NetworkDisabledError,
    SoundOnlyError,
    WeightsError,
)

ENGINE = Path(engine.errors.__file__).parent
EXIT_CODES = {
    "InputRefusedError": 5,
    "MediaRefusedError": 5,
    "SoundOnlyError": 5,
    "NetworkDisabledError": 5,
    "MediaDecodeError": 5,
    "LimitExceededError": 5,
    "WeightsError": 5,
    "ConflictError": 5,
    "NotFoundError": 2,
    "SettingsError": 2,
    "NotAllowedError": 2,
    "UnreachableError": 3,
    "FeedRefusedError": 3,
    "StorageBusyError": 3,
    "LeaseLostError": 3,
    "ReadOnlyError": 3,
    "DiskFullError": 3,
    "BusyError": 3,
    "CorruptLatentsError": 3,
    "CorruptStillsError": 3,
    "AwayLatentsError": 3,
    "CorruptFileError": 3,
    "TakenError": 3,
    "MissingCapabilityError": 4,
}


def error_classes() -> Iterator[type[LongwatchError]]:
    """Every error class of the house but the root."""
    for module in (engine.errors, errors):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, LongwatchError) and kind.__module__ == module.__name__:
                yield kind


def setting_names(section: type = Settings, prefix: str = "") -> Iterator[str]:
    """Every setting by its dotted name."""
    for name, field in section.model_fields.items():  # type: ignore[attr-defined]
        kind = field.annotation
        if inspect.isclass(kind) and hasattr(kind, "model_fields"):
            yield from setting_names(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


@pytest.mark.parametrize("kind", [*error_classes()], ids=lambda kind: kind.__name__)
def test_exit_code_of_every_error_is_the_promised_one(kind: type[LongwatchError]) -> None:
    if kind is ReportedError:
        # It ends as what another process has met.
        reported = ReportedError("corrupt_latents", "a chunk is damaged")
        assert rule_for(reported).exit_code == EXIT_CODES["CorruptLatentsError"]
        return
    if kind is LongwatchError:
        assert ERROR_RULES[kind].exit_code == 1
        return
    error = kind.__new__(kind)
    assert rule_for(error).exit_code == EXIT_CODES[kind.__name__]


def test_subclass_is_reported_as_the_nearest_class_of_the_table() -> None:
    assert rule_for(SoundOnlyError("a.wav")) is ERROR_RULES[InputRefusedError]


def test_hint_names_the_setting_of_a_passed_limit() -> None:
    error = LimitExceededError("width", 9000, 8192, field="max_side_px")
    assert hint_for(error) == "raise the setting limits.height_px and limits.width_px"


def test_hint_of_the_error_itself_goes_before_the_table() -> None:
    assert hint_for(WeightsError("x", hint="copy it again")) == "copy it again"
    assert "models check" in (hint_for(WeightsError("x")) or "")


def test_hints_of_the_table_name_commands_and_settings() -> None:
    assert "videos reindex" in (hint_for(CorruptLatentsError("a", "damaged")) or "")
    assert "allow_network" in (hint_for(NetworkDisabledError("http://camera/")) or "")


def test_every_setting_that_a_limit_names_exists() -> None:
    named = {name for names in LIMIT_SETTINGS.values() for name in names}
    assert named <= set(setting_names())


def test_engine_raises_limits_only_by_fields_that_the_table_knows() -> None:
    given = re.compile(r"\bLimitExceededError\((?:[^()]|\([^()]*\))*?field=\"(\w+)\"", re.S)
    found = {name for _, text in engine_files() for name in given.findall(text)}
    assert found
    assert found <= set(LIMIT_SETTINGS)


def engine_files() -> Iterator[tuple[Path, str]]:
    """Every module of the engine with its text."""
    for path in ENGINE.rglob("*.py"):
        yield path, path.read_text(encoding="utf-8")


def messages(tree: ast.Module) -> Iterator[ast.Constant]:
    """The strings of a module that are no docstring."""
    docs = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node


def test_no_message_of_the_engine_names_a_command_or_a_setting_or_an_exit_code() -> None:
    dotted = "|".join(re.escape(name) for name in setting_names() if "." in name)
    words = re.compile(rf"\blongwatch [a-z]|\b(?:{dotted})\b|allow_network|exit.code|--[a-z]{{3,}}")
    offenders = [
        f"{path.relative_to(ENGINE)}:{node.lineno}: {node.value!r}"
        for path, text in engine_files()
        for node in messages(ast.parse(text))
        if words.search(str(node.value))
    ]
    assert offenders == []
