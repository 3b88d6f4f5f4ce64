"""Persistence through the service: records are kept, resumed, refused for another setting."""

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from app.cli.render_benchmarks import render
from app.services.context import ServiceContext
from app.services.persistence import (
    PersistenceOrder,
    describe_interruption,
    parse_memories,
    persistence,
)
from engine.errors import InputRefusedError
from engine.evaluation.persistence import PersistenceConfig

CONFIG = PersistenceConfig(ages_s=(30.0, 90.0), facts=1, ratio=4, memories=("summary",))


def test_a_curve_is_measured_once_and_grows_by_memories(
    context: ServiceContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.persistence.DRAWN_FRAMES", 8)
    file, plot = tmp_path / "facts.jsonl", tmp_path / "curve.png"
    order = PersistenceOrder(config=CONFIG, results=file, plot=plot)
    document = persistence(context, order)
    assert [(row.memory, row.age_s, row.n) for row in document.rows] == [
        ("summary", 30.0, 1),
        ("summary", 90.0, 1),
    ]
    assert plot.stat().st_size > 0
    assert not (tmp_path / "facts.memories").exists()
    assert describe_interruption(order).startswith(f"stopped; 2 facts in {file}")
    before = file.read_text().splitlines()
    both = dataclasses.replace(CONFIG, memories=("summary", "recent"))
    grown = persistence(context, dataclasses.replace(order, config=both))
    # A line that a kill cut off is measured again; the others are not.
    assert file.read_text().splitlines()[: len(before)] == before
    assert [item.memory for item in grown.memories] == ["summary", "recent"]
    assert grown.memories[1].kept_bytes <= grown.memories[0].kept_bytes
    assert grown.rows[:2] == document.rows
    other = dataclasses.replace(CONFIG, seed=1)
    with pytest.raises(InputRefusedError, match="another model, haystack or setting"):
        persistence(context, dataclasses.replace(order, config=other))
    console = Console(file=io.StringIO(), width=160)
    console.print(render(grown))
    assert isinstance(console.file, io.StringIO)
    assert "Ref@60" in console.file.getvalue()


def test_what_cannot_be_measured_is_refused(context: ServiceContext, tmp_path: Path) -> None:
    many = dataclasses.replace(CONFIG, facts=100)
    with pytest.raises(InputRefusedError, match="1 to 56 facts"):
        persistence(context, PersistenceOrder(config=many, results=tmp_path / "a.jsonl"))
    with pytest.raises(InputRefusedError, match="no memory 'everything'"):
        parse_memories("summary,everything")
    assert parse_memories("full, summary") == ("summary", "full")
