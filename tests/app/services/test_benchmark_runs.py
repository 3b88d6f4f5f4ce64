"""A benchmark through the whole service: sandbox, tiny checkpoint, records, table."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from app.cli.render_benchmarks import render
from app.services.benchmark_runs import describe_interruption, evaluate, list_benchmarks
from app.services.context import ServiceContext
from engine.errors import InputRefusedError, NotFoundError
from tests.support.benchmark_copies import write_copy


def shown(document: object) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(render(document))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_local_copy_is_asked_once_and_tabulated(context: ServiceContext, tmp_path: Path) -> None:
    root, file = tmp_path / "copy", tmp_path / "records.jsonl"
    root.mkdir()
    write_copy("video_mme", root)
    document = evaluate(context, "video_mme", root, file)
    assert (document.questions, document.missing) == (3, 1)
    assert "the file is missing" in document.missing_reasons[0]
    assert [row.group for row in document.rows] == ["all", "short", "long", "Attribute Perception"]
    assert set(document.rows[0].baselines) == {"recent_window", "one_frame", "text_only"}
    assert document.rows[0].chance == 0.25
    # The figures of papers are named as theirs, and are of the same group.
    assert {(figure.model, figure.score) for figure in document.rows[2].published} == {
        ("Video-XL 7B", 0.492)
    }
    text = shown(document)
    assert re.search(r"Video-XL 7B +all +0\.555 +arXiv:2409\.14485", text)
    assert "1 not asked" in text
    assert describe_interruption(file).startswith(f"stopped; 3 records in {file} are kept")
    before = file.read_text()
    assert evaluate(context, "video_mme", root, file) == document
    # The answered ones were not asked again; the missing one was looked for once more.
    assert file.read_text() == before


def test_a_folder_without_the_annotations_is_refused_by_name(
    context: ServiceContext, tmp_path: Path
) -> None:
    with pytest.raises(InputRefusedError, match=r"holds no lvb_val\.json"):
        evaluate(context, "longvideobench", tmp_path, tmp_path / "records.jsonl")
    with pytest.raises(NotFoundError, match="video_mme"):
        evaluate(context, "video_me", tmp_path, tmp_path / "records.jsonl")


def test_the_list_names_licence_size_and_measure_of_each() -> None:
    document = list_benchmarks()
    names = {item.name for item in document.benchmarks}
    assert {"video_mme", "mlvu", "vnbench", "egoschema", "music_avqa", "drawn"} <= names
    text = shown(document)
    for item in document.benchmarks:
        assert item.name in text
        assert item.licence
        assert item.size
