"""What a person meets at the prompt: one sentence, the right exit code, one JSON document."""

import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.cli.main import main
from engine.media.encode import write_video
from engine.models.video_xl import model as video_xl


def run(*words: str | Path) -> int:
    return main([str(word) for word in words])


def test_ask_before_any_ingest_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ask", "Is there a dog?", "--home", tmp_path) == 2
    heard = capsys.readouterr()
    assert heard.out == ""
    assert heard.err.strip() == (
        "longwatch: nothing is indexed yet (`longwatch ingest VIDEO` or the library page adds "
        "videos; the first chunks can be asked about at once)"
    )


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert re.fullmatch(r"longwatch \d+\.\d+\S*\n", capsys.readouterr().out)


def test_help_shows_how_a_revision_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models", "pull", "--help") == 0
    assert "org/name[@revision]" in capsys.readouterr().out


def test_failure_with_json_is_a_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("search", "a dog", "--home", tmp_path, "--json") == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "not_found"
    assert set(error) == {"code", "message", "hint"}


def test_unknown_video_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("videos", "show", "nowhere", "--home", tmp_path) == 2
    assert "nowhere" in capsys.readouterr().err


def test_missing_file_is_unreachable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ingest", tmp_path / "gone.mp4", "--home", tmp_path) == 3
    assert "gone.mp4" in capsys.readouterr().err


def test_text_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("no video at all\n" * 50)
    assert run("ingest", text, "--home", tmp_path / "home") == 5
    heard = capsys.readouterr().err
    assert "notes.mp4" in heard
    assert "Traceback" not in heard


@pytest.mark.parametrize(
    "words", [["ask"], ["ask", "x", "--after", "soonish"], ["nonsense"], ["search", "x", "--top"]]
)
def test_wrong_usage_is_one_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 2
    heard = capsys.readouterr().err
    assert heard.startswith("longwatch: ")
    assert heard.count("\n") == 1


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 2
    heard = capsys.readouterr()
    assert "ingest" in heard.out + heard.err
    assert "longwatch: \n" not in heard.err


@pytest.mark.parametrize(
    ("name", "exit_code"), [("no-such-shape", 5), ("nobody-here/no-such-model", 3)]
)
def test_model_that_cannot_be_fetched_is_one_sentence(
    name: str,
    exit_code: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert run("models", "pull", name, "--home", tmp_path) == exit_code
    heard = capsys.readouterr().err
    assert name in heard
    assert heard.count("\n") == 1


def test_unknown_setting_names_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "longwatch.toml").write_text("[sampling]\nfpz = 2\n")
    assert run("videos", "list", "--home", tmp_path) in (2, 5)
    heard = capsys.readouterr().err
    assert "fpz" in heard
    assert "fps" in heard


def test_locked_database_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "longwatch.toml").write_text("database_wait_s = 0.2\n")
    assert run("videos", "list", "--home", tmp_path) == 0
    clip = tmp_path / "clip.mp4"
    write_video(clip, [np.full((36, 64, 3), n, np.uint8) for n in range(5)], 5.0)
    holder = sqlite3.connect(tmp_path / "longwatch.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    capsys.readouterr()
    try:
        assert run("ingest", clip, "--home", tmp_path) == 3
    finally:
        holder.close()
    heard = capsys.readouterr().err
    assert "another process" in heard
    assert heard.count("\n") == 1


def test_help_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'gradio', 'av', 'sqlalchemy'}"
    code = f"import sys, app.cli.main; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_a_demo_that_finds_itself_wrong_fails_and_still_shows_its_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video_xl.write_tiny(tmp_path / "tiny")  # Never trained: it cannot be right.
    output = tmp_path / "demo"
    assert run("demo", "--model", tmp_path / "tiny", "--output", output, "--json") == 1
    heard = capsys.readouterr()
    assert False in [item["right"] for item in json.loads(heard.out)["questions"]]
    assert "WRONG" in heard.err
    assert "bug" not in heard.err


@pytest.mark.parametrize("words", [["ask", "--help"], ["models", "pull", "--help"]])
def test_help_shows_what_stands_in_brackets(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 0
    assert "org/name[@revision]" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "words", [["videos", "list"], ["videos", "show", "gate"], ["user", "list"]]
)
def test_looking_at_the_library_imports_no_torch(tmp_path: Path, words: list[str]) -> None:
    heavy = "{'torch', 'gradio', 'av', 'transformers'}"
    words = [*words, "--home", str(tmp_path)]
    code = (
        f"import sys; from app.cli.main import main; main({words!r}); "
        f"print({heavy} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip().endswith("set()")
