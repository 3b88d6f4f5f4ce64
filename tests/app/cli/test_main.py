"""What a person meets at the prompt: one sentence, the right exit code, one JSON document."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.cli.common import open_screen
from app.cli.main import main
from app.config.settings import load_settings
from app.schemas.ask import AnswerResponse
from app.schemas.videos import LibraryItem, LibraryResponse
from app.services.context import ServiceContext
from app.services.ingest_jobs import enqueue_ingest
from app.worker.foreground import run_now
from engine.errors import LongwatchError
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


def test_question_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    write_video(clip, iter(np.zeros((8, 64, 64, 3), np.uint8)), 2.0)
    assert run("ingest", clip, "--home", tmp_path) == 0
    heavy = (
        "{'gradio', 'fastapi', 'transformers', 'huggingface_hub', 'cv2', 'matplotlib', "
        "'torch._dynamo'}"
    )
    words = ["ask", "Is there a person?", "--home", str(tmp_path)]
    code = (
        f"import sys; from app.cli.main import main; main({words!r}); "
        f"print({heavy} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip().endswith("set()")


def test_process_ends_with_its_exit_code_and_all_it_has_written(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app", "videos"]
    listed = subprocess.run(
        [*command, "list", "--json", "--home", str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(listed.stdout) == {"videos": []}
    missing = subprocess.run(
        [*command, "show", "gate", "--json", "--home", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert missing.returncode == 2
    assert json.loads(missing.stdout)["error"]["code"] == "not_found"
    assert missing.stderr.count("\n") == 1


def test_reader_that_left_is_no_success(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "app", "videos", "list", "--home", str(tmp_path)],
        check=False,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert done.returncode != 0
    assert "longwatch-bug" not in done.stderr


def test_password_without_a_terminal_is_asked_for_by_its_option(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app", "user", "add", "ada", "--home", str(tmp_path)],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "give --password" in done.stderr
    assert done.stderr.count("\n") == 1


def test_library_without_accounts_says_how_to_make_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("user", "list", "--home", tmp_path) == 0
    assert "longwatch user add NAME" in capsys.readouterr().out


def test_list_of_models_is_whole_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("models", "list", "--home", tmp_path) == 0
    heading = capsys.readouterr().out.splitlines()[0]
    columns = ["model", "family", "parameters", "weights", "memory here", "licence", "where"]
    assert heading.split() == " ".join(columns).split()


def test_failure_of_an_ingest_is_told_once_and_in_no_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "clip.mp4"
    write_video(clip, iter(np.zeros((8, 64, 64, 3), np.uint8)), 2.0)
    assert run("ingest", clip, "--home", tmp_path, "--json") == 0
    clip.write_bytes(b"")
    video_xl.write_tiny(tmp_path / "tiny")
    capsys.readouterr()
    context = ServiceContext(load_settings({"model": str(tmp_path / "tiny")}, home=tmp_path))
    row = context.catalog.videos.list()[0]
    with pytest.raises(LongwatchError):
        run_now(context, enqueue_ingest(context, row), row.name)
    context.close()
    assert capsys.readouterr().err == ""


def test_list_says_why_a_video_failed(capsys: pytest.CaptureFixture[str]) -> None:
    item = LibraryItem(
        video_id="1",
        name="gate",
        status="failed",
        duration_s=1.0,
        uri="gate.mp4",
        chunks=0,
        latent_bytes=0,
        fps=None,
        compression_ratio=None,
        error="the file is gone",
    )
    open_screen(json=False).show(LibraryResponse(videos=[item]))
    assert "gate: the file is gone" in capsys.readouterr().out


def test_one_chunk_is_told_in_the_singular(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    timing = {"retrieve_ms": 1.0, "first_token_ms": 1.0, "total_ms": 1.0}
    answer = AnswerResponse.model_validate(
        {
            "question": "?",
            "answer": "Yes.",
            "answered_by": "model",
            "evidence": [],
            "searched_s": 1.0,
            "recalled_chunks": 1,
            "recall": "top",
            "model": "nano",
            "timing": timing,
        }
    )
    open_screen(json=False).show(answer)
    assert "searched 1 second, read 1 chunk," in capsys.readouterr().out
