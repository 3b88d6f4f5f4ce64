"""Commands at the running server: the same words as alone, for nobody but its owner."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import main
from app.config.settings import load_settings
from app.ipc.runtime_file import (
    RuntimeFile,
    read_runtime_file,
    runtime_path,
    settings_digest,
    socket_address,
    socket_path,
)
from app.ipc.server import CommandServer
from app.services.backup import back_up
from app.services.context import ServiceContext
from app.version import product_version
from app.worker.foreground import ingest_now
from engine.media.encode import write_video
from engine.synthetic.story import draw_story
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class Site:
    """A library whose server runs commands, and the turns at the model that it gave."""

    home: Path
    clip: Path
    context: ServiceContext
    turns: list[str] = field(default_factory=list)


@contextmanager
def serving(context: ServiceContext, turns: list[str]) -> Iterator[CommandServer]:
    @contextmanager
    def turn() -> Iterator[None]:
        turns.append("turn")
        yield

    server = CommandServer(context, model_turn=turn, with_worker=True)
    assert server.start()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # Longer than the address of a socket may be.
    home = tmp_path_factory.mktemp("home") / ("a" * 60) / ("b" * 60)
    clip = tmp_path_factory.mktemp("clips") / "yard.mp4"
    write_video(clip, draw_story(seed=5, duration_s=12.0, fps=4.0), fps=4.0)
    context = ServiceContext(load_settings({}, home=home))
    ingest_now(context, [str(clip)])
    site = Site(home, clip, context)
    with serving(context, site.turns):
        yield site
    context.close()


def run(site: Site, *words: str) -> int:
    return main([*words, "--home", str(site.home)])


def outcome(
    site: Site, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, dict[str, Any], str]:
    """Exit code, document and stderr of a command; times apart, which differ."""
    code = run(site, *words, "--json")
    output = capsys.readouterr()
    document = json.loads(output.out)
    document.pop("timing", None)
    return code, document, output.err


@pytest.mark.parametrize(
    "words",
    [
        ["videos", "list"],
        ["ask", "Is there a person?"],
        ["ask", "What happens?", "--video", "yard", "--after", "0:02", "--before", "9"],
        ["search", "a person", "--top", "3"],
        ["videos", "reindex"],
        ["ask", "Is there a person?", "--video", "nowhere"],
        ["ask", " "],
        ["ask", "\udcff?"],
        ["ask", "?", "--after", "2030-01-01T10:00"],
        ["search", "x" * 5000],
        ["caption", "nowhere"],
        ["videos", "rm", "nowhere"],
    ],
    ids=" ".join,
)
def test_server_says_what_the_command_says_alone(
    site: Site, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert outcome(site, capsys, *words) == outcome(site, capsys, *words, "--alone")


def test_text_of_an_answer_is_streamed_as_alone(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(site, "ask", "Is there a person?") == 0
    served = capsys.readouterr().out.partition("first word")[0]
    assert run(site, "ask", "Is there a person?", "--alone") == 0
    assert served == capsys.readouterr().out.partition("first word")[0]
    assert served.strip()


def test_question_takes_its_turn_at_the_server(site: Site) -> None:
    site.turns.clear()
    assert run(site, "ask", "Is there a person?") == 0
    assert run(site, "search", "a person") == 0
    assert len(site.turns) == 2


@pytest.mark.parametrize("setting", ["LONGWATCH_RETRIEVAL__RECALL", None])
def test_command_with_other_settings_works_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch, setting: str | None
) -> None:
    site.turns.clear()
    if setting is not None:
        monkeypatch.setenv(setting, "all")
    assert run(site, "ask", "Is there a person?", *([] if setting else ["--alone"])) == 0
    assert site.turns == []


def test_warm_question_loads_neither_torch_nor_database(site: Site) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "app", "ask", "Is there a person?"]
    done = subprocess.run(
        [*command, "--home", str(site.home)], capture_output=True, text=True, check=True
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "app.ipc.client" in imported
    assert imported.isdisjoint({"torch", "transformers", "sqlalchemy", "av", "faiss", "gradio"})


def test_file_and_socket_are_for_their_owner_alone(site: Site) -> None:
    for path, mode in (
        (runtime_path(site.home).parent, 0o700),
        (runtime_path(site.home), 0o600),
        (socket_path(site.home), 0o600),
    ):
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_file_that_others_may_read_is_not_believed(site: Site) -> None:
    runtime_path(site.home).chmod(0o640)
    try:
        assert read_runtime_file(site.home) is None
    finally:
        runtime_path(site.home).chmod(0o600)
    assert read_runtime_file(site.home) is not None


def request_of(site: Site, command: str, **arguments: object) -> dict[str, Any]:
    found = read_runtime_file(site.home)
    assert found is not None
    return {
        "token": found.token,
        "version": product_version(),
        "settings": settings_digest(site.context.settings),
        "command": command,
        "arguments": arguments,
    }


@contextmanager
def connected(site: Site) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as wire, socket_address(socket_path(site.home)) as address:
        wire.connect(address)
        yield wire


def answer_to(site: Site, request: dict[str, Any] | bytes) -> dict[str, Any]:
    line = request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n"
    with connected(site) as wire:
        wire.sendall(line)
        with wire.makefile("rb") as lines:
            answer: dict[str, Any] = json.loads([*lines][-1])
    return answer


@pytest.mark.parametrize("token", ["", "guessed", None, 7])
def test_wrong_token_reaches_no_command(site: Site, token: object) -> None:
    site.turns.clear()
    request = request_of(site, "ask", question="Is there a person?") | {"token": token}
    assert answer_to(site, request)["error"]["code"] == "not_allowed"
    assert site.turns == []


@pytest.mark.parametrize(
    "line", [b"\n", b"[]\n", b"\xff\xfe\n", b"{}\n", b'{"token": "\\ud800"}\n']
)
def test_nonsense_is_refused_and_the_server_goes_on(site: Site, line: bytes) -> None:
    assert answer_to(site, line)["error"]["code"] in {"input_refused", "not_allowed"}
    assert "document" in answer_to(site, request_of(site, "search", query="a person", top=1))


def test_unknown_arguments_are_refused(site: Site) -> None:
    answer = answer_to(site, request_of(site, "search", query="a person", topmost=1))
    assert answer["error"]["code"] == "input_refused"


def test_second_server_leaves_the_first_alone(site: Site) -> None:
    before = runtime_path(site.home).read_bytes()
    assert not CommandServer(site.context).start()
    assert runtime_path(site.home).read_bytes() == before


def test_backup_holds_no_token(site: Site, tmp_path: Path) -> None:
    found = read_runtime_file(site.home)
    assert found is not None
    back_up(site.context, tmp_path / "backup")
    files = [path for path in (tmp_path / "backup").rglob("*") if path.is_file()]
    kept = b"".join(path.read_bytes() for path in files)
    assert found.token.encode() not in kept


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Site]:
    """A library with a clip that takes a moment to read, and nothing in it yet."""
    clip = tmp_path / "hall.mp4"
    write_video(clip, draw_story(seed=6, duration_s=90.0, fps=2.0), fps=2.0)
    context = ServiceContext(load_settings({}, home=tmp_path / "home"))
    yield Site(tmp_path / "home", clip, context)
    context.close()


def test_ingest_at_the_server_reads_the_file_and_tells_how_far_it_is(
    fresh: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fresh.clip.parent)
    with serving(fresh.context, []):
        code, document, heard = outcome(fresh, capsys, "ingest", "hall.mp4", "--name", "hall")
        assert code == 0
        assert document["videos"][0]["status"] == "ready"
        assert "hall: 100%" in heard
        # It was read by the model of the server.
        assert fresh.context.engine.index.n_vectors > 0
        assert outcome(fresh, capsys, "videos", "rm", "hall")[0] == 0
        assert fresh.context.engine.index.n_vectors == 0


def test_terminal_that_leaves_hands_its_ingest_back(fresh: Site) -> None:
    with serving(fresh.context, []):
        with connected(fresh) as wire:
            request = request_of(fresh, "ingest", sources=[str(fresh.clip)])
            wire.sendall(json.dumps(request).encode() + b"\n")
            assert b"progress" in wire.recv(1 << 16)
        catalog = fresh.context.catalog
        wait_until(lambda: catalog.jobs.list("queued", "done"))
        assert catalog.jobs.list("queued", "done")[0].state == "queued"
        assert 0 < fresh.context.catalog.videos.list()[0].n_chunks < 9


def test_server_that_stops_says_how_to_go_on(
    fresh: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []
    with serving(fresh.context, []) as server:
        words = ["ingest", str(fresh.clip), "--home", str(fresh.home)]
        terminal = threading.Thread(target=lambda: codes.append(main(words)))
        terminal.start()
        videos = fresh.context.catalog.videos
        wait_until(lambda: any(video.n_chunks for video in videos.list()))
        server.close()
        terminal.join()
    assert codes == [3]
    assert "the same command goes on there" in capsys.readouterr().err
    assert fresh.context.catalog.jobs.list()[0].state == "queued"
    assert read_runtime_file(fresh.home) is None
    assert not socket_path(fresh.home).exists()


@pytest.mark.parametrize(
    "change",
    [{"process": "elsewhere:1"}, {"started_at": 1.0}, {"process": f"{os.uname().nodename}:x"}],
    ids=str,
)
def test_file_that_a_killed_server_left_is_told(fresh: Site, change: dict[str, Any]) -> None:
    server = RuntimeFile.of_this_process(with_worker=True)
    fresh.home.mkdir()
    server.write(fresh.home)
    assert read_runtime_file(fresh.home) == server
    replace(server, **change).write(fresh.home)
    assert read_runtime_file(fresh.home) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"token": 1}'])
def test_damaged_file_is_no_server(fresh: Site, content: str) -> None:
    RuntimeFile.of_this_process(with_worker=True).write(fresh.home.parent)
    runtime_path(fresh.home.parent).write_text(content)
    assert read_runtime_file(fresh.home.parent) is None


def test_command_works_alone_where_the_socket_is_dead(
    fresh: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh.home.mkdir()
    RuntimeFile.of_this_process(with_worker=True).write(fresh.home)
    assert "token" in asdict(RuntimeFile.of_this_process(with_worker=True))
    assert run(fresh, "videos", "rm", "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err
