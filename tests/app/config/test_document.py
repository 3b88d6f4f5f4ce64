"""The page of settings is the settings classes, written out."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from app.config.document import settings_markdown
from app.config.settings import Settings

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def names(section: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from names(kind, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_committed_page_is_what_the_classes_say() -> None:
    stale = "run `python -m app.config.document > docs/settings.md`"
    assert PAGE.read_text(encoding="utf-8") == settings_markdown(), stale


def test_every_setting_has_a_row_with_a_default_and_a_meaning() -> None:
    rows = {}
    for line in settings_markdown().splitlines():
        if line.startswith("| `"):
            name, kind, default, meaning = line.strip("| ").split(" | ")
            rows[name.strip("`")] = (kind, default, meaning)
    assert set(rows) == set(names())
    assert all(len(meaning) > 10 and kind and default for kind, default, meaning in rows.values())


def test_defaults_are_written_as_a_file_has_them() -> None:
    page = settings_markdown()
    assert '| `sight.encoder` | list of texts | `["concepts", "model"]` |' in page
    assert "| `weights.expert_host_bytes` | size | `0` |" in page
    assert "| `answer.model` | text | none |" in page


def test_default_that_the_engine_holds_is_the_engines() -> None:
    page = settings_markdown()
    assert "| `cache.host_bytes` | size | `1GiB` |" in page
    assert "| `limits.upload_bytes` | size, at least 1 | `20GiB` |" in page
