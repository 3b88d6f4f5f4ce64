"""Settings that may be changed on a page, saved in the `longwatch.toml` of the home folder.

What is written was checked by the same classes that will read it; comments and the order of the
file stay. A value that the environment, a flag or another file holds is shown and locked: writing
it would change nothing.
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import tomlkit
from pydantic import BaseModel
from tomlkit.exceptions import TOMLKitError

from app.config.settings import (
    ENVIRONMENT,
    FILE_NAME,
    Settings,
    read_file,
    source_of,
    with_file_values,
)
from engine.errors import InputRefusedError, SettingsError, UnreachableError
from engine.files import atomic_write

Kind = Literal["text", "number", "bytes"]
Value = str | int | float | None
"""`None` gives a setting back to its default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Editable:
    """A setting that may be changed on a page."""

    setting: str
    """Its dotted name."""
    name: str
    kind: Kind
    needs_restart: bool


EDITABLE: Final = (
    Editable(setting="model", name="Model", kind="text", needs_restart=True),
    Editable(
        setting="stream.compression_ratio",
        name="Visual tokens per latent",
        kind="number",
        needs_restart=True,
    ),
    Editable(
        setting="cache.device_bytes", name="Budget on the device", kind="bytes", needs_restart=True
    ),
    Editable(setting="cache.host_bytes", name="Budget in memory", kind="bytes", needs_restart=True),
    Editable(setting="cache.disk_bytes", name="Budget on disk", kind="bytes", needs_restart=True),
    Editable(
        setting="limits.disk_reserve_bytes",
        name="Disk kept free",
        kind="bytes",
        needs_restart=False,
    ),
    Editable(
        setting="retention.days",
        name="Days until videos leave",
        kind="number",
        needs_restart=False,
    ),
)
_BY_NAME = {editable.setting: editable for editable in EDITABLE}
_UNITS = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingState:
    """An editable setting: what holds now, and what the next start will use."""

    editable: Editable
    value: str | None
    """What the next start will use, as it may be written; `None` where the default holds that the
    engine or the model chooses."""
    in_force: str | None
    """What this process uses."""
    locked_by: str | None
    """What holds it in place of the file."""
    is_default: bool


def settings_file(settings: Settings) -> Path:
    """Return the file that changes are written into."""
    return settings.home / FILE_NAME


def saved(settings: Settings) -> Settings:
    """Return what the next start will use: the file as it is now, the rest as it was given here.

    Raises:
        SettingsError: Somebody has written something else into the file that is not allowed.
    """
    file = settings_file(settings)
    return with_file_values(settings, file, read_file(file))


def current_values(settings: Settings) -> tuple[SettingState, ...]:
    """Return every editable setting as it stands."""
    upcoming = saved(settings)
    return tuple(
        SettingState(
            editable=editable,
            value=_written(editable, _value(upcoming, editable.setting)),
            in_force=_written(editable, _value(settings, editable.setting)),
            locked_by=_locked_by(upcoming, editable.setting),
            is_default=source_of(upcoming, editable.setting) is None,
        )
        for editable in EDITABLE
    )


class SettingsStore:
    """The settings in force in this process, and the only way to change them.

    A `Settings` never changes: `apply` puts another in its place, whole, so that a thread that
    took the old one goes on with values that belong together.
    """

    def __init__(self, settings: Settings) -> None:
        self._current = settings
        self._changing = threading.Lock()

    @property
    def current(self) -> Settings:
        """The settings in force; take them once for a piece of work."""
        return self._current

    def apply(self, changes: Mapping[str, Value]) -> tuple[str, ...]:
        """Save changes, and use at once what needs no restart.

        Nothing is written unless all of them can be. Changes of two requests go one after the
        other: neither is lost, in the file or in force.

        Returns:
            A line for each setting that has changed.
        Raises:
            InputRefusedError: A setting that cannot be changed here or is locked, or no such
                model.
            SettingsError: A value that is not allowed.
            UnreachableError: The file cannot be written.
        """
        with self._changing:
            self._current, lines = apply_changes(self._current, changes)
        return lines


def preview_changes(settings: Settings, changes: Mapping[str, Value]) -> Settings:
    """Return the settings that changes would lead to; nothing is written.

    Raises:
        LongwatchError: As `SettingsStore.apply`.
    """
    before = saved(settings)
    _check_free(before, changes)
    file = settings_file(settings)
    after = with_file_values(settings, file, tomlkit.parse(_changed(file, changes)).unwrap())
    if after.model != before.model:
        # Late: it loads torch, which reading the settings does without.
        from app.config.engine_config import find_model

        find_model(after.model, after)
    return after


def apply_changes(
    settings: Settings, changes: Mapping[str, Value]
) -> tuple[Settings, tuple[str, ...]]:
    """Save changes; nothing is written unless all of them can be.

    Returns:
        The settings from now on, in which only what needs no restart has changed, and a line for
        each change.
    Raises:
        LongwatchError: As `SettingsStore.apply`.
    """
    file = settings_file(settings)
    before = saved(settings)
    after = preview_changes(settings, changes)
    lines = tuple(
        f"{name}: {_value(before, name)} -> {_value(after, name)}"
        for name in changes
        if _value(before, name) != _value(after, name)
    )
    if lines:
        _write(file, _changed(file, changes))
    return _live(settings, after), lines


def _live(settings: Settings, after: Settings) -> Settings:
    """Return the settings in force, with those of the new ones that need no restart."""
    limits = settings.limits.model_copy(
        update={"disk_reserve_bytes": after.limits.disk_reserve_bytes}
    )
    return settings.model_copy(update={"limits": limits, "retention": after.retention})


def _check_free(before: Settings, changes: Mapping[str, Value]) -> None:
    for name in changes:
        if name not in _BY_NAME:
            raise InputRefusedError(
                f"{name!r} cannot be changed here", hint=f"these can: {', '.join(_BY_NAME)}"
            )
        locked_by = _locked_by(before, name)
        if locked_by is not None:
            raise InputRefusedError(f"{name} is held by {locked_by}", hint="change it there")


def _locked_by(settings: Settings, setting: str) -> str | None:
    source = source_of(settings, setting)
    if source in (None, str(settings_file(settings))):
        return None
    if source == ENVIRONMENT:
        return f"the environment (LONGWATCH_{setting.upper().replace('.', '__')})"
    return "a flag of the command" if not os.path.isabs(source or "") else source


def _changed(file: Path, changes: Mapping[str, Value]) -> str:
    """Return the text of the file with these changes."""
    try:
        document = tomlkit.parse(file.read_text(encoding="utf-8") if file.is_file() else "")
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}") from error
    except OSError as error:
        raise UnreachableError(f"{file} cannot be read: {error.strerror}") from error
    for name, value in changes.items():
        section, _, key = name.rpartition(".")
        if section and section not in document:
            if value is None:
                continue
            document[section] = tomlkit.table()
        table: Any = document[section] if section else document
        if value is not None:
            table[key] = value
        elif key in table:
            del table[key]
    return tomlkit.dumps(document)


def _write(file: Path, text: str) -> None:
    """Replace the file; a link stays a link, and its mode stays as it is."""
    target = file.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as temporary:
            temporary.write_text(text, encoding="utf-8")
            if target.exists():
                temporary.chmod(target.stat().st_mode & 0o777)
    except OSError as error:
        raise UnreachableError(
            f"{file} cannot be written: {error.strerror}", hint="check its owner and rights"
        ) from error


def _value(settings: Settings, setting: str) -> Any:
    value: BaseModel | Any = settings
    for step in setting.split("."):
        value = getattr(value, step)
    return value


def _written(editable: Editable, value: Any) -> str | None:
    """Return a value as it is shown and may be written again."""
    if value is None:
        return None
    if editable.kind == "bytes":
        n_bytes = int(value)
        for unit, size in _UNITS:
            if n_bytes and n_bytes % size == 0:
                return f"{n_bytes // size}{unit}"
        return str(n_bytes)
    return f"{value:g}" if isinstance(value, float) else str(value)
