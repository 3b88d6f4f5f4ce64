"""Annotation files are read by their endings, and say what is wrong with them."""

import json
from pathlib import Path

import pytest

from engine.errors import InputRefusedError, MissingCapabilityError
from engine.evaluation.annotations import (
    Entry,
    find_annotations,
    find_media,
    read_annotations,
    read_object,
)


def test_rows_come_from_json_lines_and_tables_alike(tmp_path: Path) -> None:
    rows = [{"id": "1", "text": "a"}, {"id": "2", "text": "b"}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    (tmp_path / "a.csv").write_text("id,text\n1,a\n2,b\n")
    for ending in ("json", "jsonl", "csv"):
        read = [dict(row.values) for row in read_annotations(tmp_path / f"a.{ending}")]
        assert read == rows


def test_a_parquet_file_is_read_where_pyarrow_is(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"id": ["1"], "options": [["A. x", "B. y"]]}), path)
    (row,) = read_annotations(path)
    assert row.texts("options") == ("A. x", "B. y")
    path.write_bytes(b"PAR1 is all that is right")
    with pytest.raises(InputRefusedError, match="is no parquet file"):
        list(read_annotations(path))


def test_a_parquet_file_without_pyarrow_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingCapabilityError, match="pyarrow is not installed"):
        list(read_annotations(tmp_path / "a.parquet"))


def test_what_is_wrong_with_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("{")
    with pytest.raises(InputRefusedError, match=r"a\.json is no JSON"):
        list(read_annotations(path))
    path.write_text("{}")
    with pytest.raises(InputRefusedError, match="holds no list"):
        list(read_annotations(path))
    path.write_text("[1]")
    with pytest.raises(InputRefusedError, match="entry 1 is no object"):
        list(read_annotations(path))
    with pytest.raises(InputRefusedError, match="holds no object"):
        read_object(path)
    path.write_text('[{"id": 1, "options": "A"}]')
    (row,) = read_annotations(path)
    with pytest.raises(InputRefusedError, match="entry 1 has no 'question'"):
        _ = row["question"]
    with pytest.raises(InputRefusedError, match="'options' is no list"):
        row.texts("options")
    with pytest.raises(InputRefusedError, match="holds no test"):
        find_annotations(tmp_path, "test.json")


def test_a_video_is_looked_for_with_the_usual_endings(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.webm").touch()
    folders = (tmp_path / "a", tmp_path / "b")
    assert find_media(folders, "x") == tmp_path / "b" / "x.webm"
    assert not find_media(folders, "y").exists()


def test_a_mark_of_byte_order_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfid,text\n1,a\n")
    assert [dict(row.values) for row in read_annotations(path)] == [{"id": "1", "text": "a"}]
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf[{"id": 1}]')
    assert [dict(row.values) for row in read_annotations(path)] == [{"id": 1}]


def test_a_file_in_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    for ending in ("csv", "json", "jsonl"):
        path = tmp_path / f"a.{ending}"
        path.write_bytes("id,text\n1,a\n2,caf\u00e9\n".encode("latin-1"))
        with pytest.raises(InputRefusedError, match=rf"a\.{ending}, line 3 is no UTF-8"):
            list(read_annotations(path))


def test_a_damaged_line_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 1}\n\n{"id": \n')
    with pytest.raises(InputRefusedError, match=r"a\.jsonl, line 3 is no JSON"):
        list(read_annotations(path))
    # Ends of lines elsewhere, and a part of a text here.
    path.write_text('{"text": "a\u2028b\u0085c"}\n', encoding="utf-8")
    (row,) = read_annotations(path)
    assert row["text"] == "a\u2028b\u0085c"


@pytest.mark.parametrize("line", ["1,a, b", "1"])
def test_a_row_with_more_or_fewer_columns_than_the_head_is_refused(
    line: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"id,text\n0,x\n{line}\n")
    with pytest.raises(InputRefusedError, match=r"line 3 has not the 2 columns of the first"):
        list(read_annotations(path))


@pytest.mark.parametrize("value", ["", "B", "5", -1, 1.5, None, [1]])
def test_a_right_option_that_does_not_exist_is_refused(value: object) -> None:
    entry = Entry({"answer": value}, "a.csv, line 7")
    with pytest.raises(InputRefusedError, match=r"a\.csv, line 7"):
        entry.option("answer", 5)
    assert Entry({"answer": "4"}, "").option("answer", 5) == 4
    assert Entry({"answer": 0.0}, "").option("answer", 5) == 0
