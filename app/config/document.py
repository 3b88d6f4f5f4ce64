"""Documentation of every setting, written from the settings classes themselves.

python -m app.config.document > docs/settings.md
"""

import json
import sys
from collections.abc import Iterator
from copy import copy
from dataclasses import fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ByteSize, IPvAnyNetwork, SecretStr
from pydantic.fields import FieldInfo

from app.config.section import MAX_BYTES
from app.config.settings import Settings
from app.field_docs import field_docs
from engine.cache.budget import CacheConfig
from engine.media.sample import SamplingConfig
from engine.pipeline.config import EngineConfig

# Settings without a value take the default of the code that reads them.
_ENGINE_FIELDS: Final[dict[str, tuple[type, str]]] = {
    "sampling.static_threshold": (SamplingConfig, "static_threshold"),
    "sampling.heartbeat_s": (SamplingConfig, "heartbeat_s"),
    "stream.latent_format": (CacheConfig, "storage"),
    "cache.host_bytes": (CacheConfig, "host_bytes"),
    "retrieval.index": (EngineConfig, "index_backend"),
}
_UNITS: Final = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))
_HEAD: Final = """<!-- Written by `python -m app.config.document` from app/config/settings.py. -->

# Settings

Later ones win: the defaults below, `longwatch.toml` in the home folder, `longwatch.toml` in the
working folder, environment variables, flags of a command. A dotted name is a key of a section in
the file, and an environment variable in capitals with two underscores for the dot:

```toml
model = "nano"

[limits]
upload_bytes = "20GiB"
```

```sh
LONGWATCH_MODEL=nano LONGWATCH_LIMITS__UPLOAD_BYTES=20GiB longwatch serve
```

Sizes are bytes, or are written as `500MB` or `20GiB`. Lists in an environment variable are JSON.
An unknown name is an error. A secret may lie in a file, which the variable with `_FILE` behind its
name names: `LONGWATCH_DATABASE_URL_FILE`, `LONGWATCH_OBJECTS__ACCESS_KEY_ID_FILE`,
`LONGWATCH_OBJECTS__SECRET_ACCESS_KEY_FILE`.
"""


def settings_markdown() -> str:
    """Return the page: one table a section, general settings first."""
    sections = [(name, field) for name, field in _fields(Settings) if _section(field)]
    general = [(name, field) for name, field in _fields(Settings) if not _section(field)]
    parts = [_HEAD, "## General\n", _table(general)]
    for name, field in sections:
        section = _section(field)
        assert section is not None, "sections were chosen above"
        parts += [f"## `{name}`\n", f"{_prose(section.__doc__)}\n"]
        parts.append(_table([(f"{name}.{key}", inner) for key, inner in _fields(section)]))
    return "\n".join(parts)


def _fields(section: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    docs = field_docs(section)
    for name, field in section.model_fields.items():
        documented = copy(field)
        documented.description = field.description or docs.get(name)
        yield name, documented


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _table(rows: list[tuple[str, FieldInfo]]) -> str:
    lines = ["| Setting | Value | Default | Meaning |", "|---|---|---|---|"]
    for name, field in rows:
        cells = (f"`{name}`", _kind(field), _default(name, field), _prose(field.description))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _kind(field: FieldInfo) -> str:
    return f"{_name(field.annotation)}{_bounds(field.metadata)}"


def _name(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is Annotated:
        return _name(get_args(kind)[0])
    if origin in (Union, UnionType):
        return " or ".join(_name(part) for part in get_args(kind) if part is not NoneType)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if origin is tuple:
        return f"list of {_name(get_args(kind)[0])}s"
    names = {
        bool: "`true` or `false`",
        int: "whole number",
        float: "number",
        str: "text",
        SecretStr: "text",
        Path: "path",
        ByteSize: "size",
        IPvAnyNetwork: "network",
    }
    return names[kind]


def _bounds(metadata: list[Any]) -> str:
    words = []
    for limit in metadata:
        match limit:
            case Gt():
                words.append(f"above {limit.gt}")
            case Ge():
                words.append(f"at least {limit.ge}")
            case Lt():
                words.append(f"below {limit.lt}")
            # A slip of the pen, of which nobody needs to read.
            case Le() if limit.le != MAX_BYTES:
                words.append(f"at most {limit.le}")
    return f", {', '.join(words)}" if words else ""


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "the platform's user data folder"
    value = field.default
    if name in _ENGINE_FIELDS:
        owner, attribute = _ENGINE_FIELDS[name]
        value = next(item.default for item in fields(owner) if item.name == attribute)
    if value is None or value in ((), ""):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if name.endswith("_bytes"):
        return f"`{_size(int(value))}`"
    if isinstance(value, tuple):
        return f"`{json.dumps(value)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _size(n_bytes: int) -> str:
    for unit, size in _UNITS:
        if n_bytes and n_bytes % size == 0:
            return f"{n_bytes // size}{unit}"
    return str(n_bytes)


def _prose(text: str | None) -> str:
    assert text, "every setting says what it means"
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(settings_markdown())
