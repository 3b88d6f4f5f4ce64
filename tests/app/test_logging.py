"""One log for everything, useful to people and machines, and without any secret."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from app.api.access_log import AccessLogMiddleware
from app.api.auth import COOKIE, SessionService
from app.api.errors import install_error_handlers
from app.cli.common import open_settings
from app.logging import OUR_PACKAGES, REQUEST_ID, configure_logging
from app.worker.job_context import JobContext
from app.worker.retries import RetryPolicy
from app.worker.worker import Worker
from engine.errors import MediaRefusedError, SettingsError, UnreachableError
from engine.models.video_xl.model import write_tiny
from storage.catalog import open_catalog
from storage.records import JobRow
from tests.support.site import PASSWORD, Site, sign_in

ROOT = Path(__file__).parents[2]

log = logging.getLogger("app.test")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave the loggers of the test run as they were."""
    names = ["", *OUR_PACKAGES, "uvicorn", "uvicorn.error", "uvicorn.access"]
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, logger.level, [*logger.handlers], logger.propagate) for logger in loggers]
    yield
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        logger.handlers[:], logger.propagate = handlers, propagate


def configured(level: Any = "debug", format: Any = "json") -> io.StringIO:
    """A stream that every record of the process goes to."""
    stream = io.StringIO()
    configure_logging(level, format, stream=stream)
    return stream


def records(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_record_has_level_logger_message_and_extra_fields() -> None:
    stream = configured()
    # What a library marks its records with is none of ours; Ray marks all of a process.
    log.info("chunk %d", 3, extra={"job_id": 7, "_mark_of_a_library": 1})
    (record,) = records(stream)
    assert record.pop("time").endswith("+00:00")
    assert record == {"level": "info", "logger": "app.test", "message": "chunk 3", "job_id": 7}


def test_human_record_is_one_line_with_the_request_id() -> None:
    stream = configured(format="human")
    token = REQUEST_ID.set("abc123")
    log.warning("first\nsecond \x1b[31m")
    REQUEST_ID.reset(token)
    (line,) = stream.getvalue().splitlines()
    assert "WARNING app.test: first\\x0asecond \\x1b[31m" in line
    assert line.endswith("[abc123]")


def test_auto_writes_json_where_nobody_reads_a_terminal() -> None:
    stream = configured(format="auto")
    log.info("hello")
    assert records(stream)[0]["message"] == "hello"


def test_level_holds_for_our_packages_and_libraries_start_at_warning() -> None:
    stream = configured("debug")
    log.debug("ours")
    logging.getLogger("python_multipart.multipart").debug("password=hunter2hunter2")
    logging.getLogger("some.library").warning("theirs")
    assert [record["message"] for record in records(stream)] == ["ours", "theirs"]
    stream = configured("warning")
    log.info("quiet")
    assert stream.getvalue() == ""


def test_uvicorn_speaks_through_the_same_handler() -> None:
    stream = configured("info")
    logging.getLogger("uvicorn.error").warning("a broken request")
    logging.getLogger("uvicorn.access").info("GET /sign-in?token=abc")
    assert [record["message"] for record in records(stream)] == ["a broken request"]


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://cam:s3cret@10.0.0.7/live",
        "rtsp://cam:s3cret@x@10.0.0.7/live",
        "Authorization: Bearer s3cret.token",
        "GET /sign-in?token=s3cret",
        "longwatch_session=s3cret; path=/",
    ],
)
@pytest.mark.parametrize("format", ["human", "json"])
def test_what_an_exception_carries_of_secrets_is_masked(text: str, format: str) -> None:
    stream = configured(format=format)
    try:
        raise RuntimeError(text)
    except RuntimeError:
        log.exception("failed: %s", text, extra={"address": text})
    assert "RuntimeError" in stream.getvalue()
    assert "s3cret" not in stream.getvalue()


def test_crash_leaves_a_traceback_in_the_log_and_a_sentence_with_the_id_for_the_client() -> None:
    stream = configured()
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/crash")
    def crash() -> None:
        raise RuntimeError("the floor gave way")

    client = TestClient(AccessLogMiddleware(app))
    answer = client.get("/crash", headers={"x-request-id": "abc-1"})
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == "abc-1"
    assert answer.json()["error"]["code"] == "bug"
    assert answer.json()["error"]["message"].endswith("under request id abc-1")
    bug, access = records(stream)
    assert "the floor gave way" in bug["traceback"]
    assert bug["request_id"] == access["request_id"] == "abc-1"
    assert access["status"] == 500


def test_crash_below_every_handler_is_answered_all_the_same() -> None:
    async def crash(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("the floor gave way")

    stream = configured()
    answer = TestClient(AccessLogMiddleware(crash)).get("/")
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] in answer.json()["error"]["message"]
    assert "the floor gave way" in records(stream)[0]["traceback"]


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "id\u00e9"])
def test_request_id_that_could_forge_a_line_is_replaced(site: Site, given: str) -> None:
    answer = site.admin.get("/healthz", headers={"x-request-id": given.encode("latin-1")})
    assert len(answer.headers["x-request-id"]) == 16


def test_access_line_names_user_path_and_status_without_the_query(site: Site) -> None:
    stream = configured()
    site.admin.get("/api/v1/videos?limit=1")
    site.anonymous.get("/api/v1/videos")
    first, second = records(stream)
    assert (first["user"], first["path"], first["status"]) == ("ada", "/api/v1/videos", 200)
    assert first["duration_ms"] >= 0
    assert "user" not in second
    assert second["status"] == 401
    assert "limit" not in stream.getvalue()


def test_sign_ins_and_refusals_are_logged(site: Site) -> None:
    stream = configured()
    sign_in(site.app, "vera")
    site.anonymous.post("/sign-in", data={"name": "vera", "password": "wrong horse battery"})
    site.anonymous.post("/sign-in/link", data={"token": "never-was-one"})
    said = [record["message"] for record in records(stream) if record["logger"] == "app.api.auth"]
    assert said == [
        "user vera signed in with a password from testclient",
        "sign-in refused for user vera from testclient: wrong password",
        "sign-in link refused from testclient",
    ]


def test_who_deletes_what_is_logged_by_id(site: Site) -> None:
    stream = configured()
    token = site.admin.post("/api/v1/tokens", json={"name": "script"}).json()["token_id"]
    site.admin.delete(f"/api/v1/tokens/{token}")
    site.admin.delete(f"/api/v1/videos/{site.yard}")
    site.admin.delete("/api/v1/users/vera")
    refused = site.admin.delete("/api/v1/users/ada")
    assert refused.status_code >= 400
    lines = [record["message"] for record in records(stream) if record["logger"].endswith("audit")]
    assert lines == [
        f"user ada created token {token}",
        f"user ada revoked token {token}",
        f"user ada deleted video {site.yard}",
        "user ada deleted user vera",
    ]


SECRETS = (
    PASSWORD,
    "wrong horse battery",
    "my-password-as-a-name",
    "s3cret-of-a-camera",
    "what did the courier carry",
    "a heron at dawn",
    "the colour of the van",
    "was it raining then",
    "rename of a secret plan",
)


def test_no_secret_and_no_question_reaches_the_log_at_debug(site: Site) -> None:
    stream = configured("debug")
    link = SessionService(site.services.catalog, clock=lambda: 0.0).issue_link(
        site.services.catalog.accounts.users()[0]
    )
    visitor = TestClient(site.app, base_url="http://127.0.0.1:7860", follow_redirects=False)
    assert visitor.get(f"/sign-in?token={link}").status_code == 200
    assert visitor.post("/sign-in/link", data={"token": link}).status_code == 303
    cookie = visitor.cookies[COOKIE]
    visitor.post("/sign-in", data={"name": "ada", "password": "wrong horse battery"})
    visitor.post("/sign-in", data={"name": "my-password-as-a-name", "password": "x"})
    client = sign_in(site.app, "ada")
    token = client.post("/api/v1/tokens", json={"name": "script"}).json()["secret"]
    program = TestClient(site.app, base_url="http://127.0.0.1:7860")
    program.headers["authorization"] = f"Bearer {token}"
    assert program.post("/api/v1/ask", json={"question": SECRETS[4]}).status_code == 200
    stream_of_events = {"accept": "text/event-stream"}
    program.post("/api/v1/ask", json={"question": SECRETS[4]}, headers=stream_of_events)
    assert program.post("/api/v1/search", json={"query": SECRETS[5]}).status_code == 200
    program.get(f"/api/v1/videos/{site.gate}/timeline", params={"q": SECRETS[6]})
    messages = [{"role": "user", "content": SECRETS[7]}]
    assert program.post("/v1/chat/completions", json={"messages": messages}).status_code == 200
    camera = "rtsp://cam:s3cret-of-a-camera@127.0.0.1:9/live"
    assert program.post("/api/v1/videos", json={"source": camera}).status_code >= 400
    program.post("/api/v1/users", json={"name": "new", "password": PASSWORD, "role": "viewer"})
    assert program.get("/api/v1/session", headers={"cookie": f"{COOKIE}={cookie}"}).is_success
    logged = stream.getvalue()
    assert "/api/v1/ask" in logged
    assert "/sign-in" in logged
    for secret in (*SECRETS, link, cookie, token, client.headers["x-csrf-token"]):
        assert secret not in logged, secret


def run_job(home: Path, error: Exception | None) -> list[dict[str, Any]]:
    """What a worker logs of one job that ends with `error`, and nothing of its secrets."""
    stream = configured("debug")

    def handle(job: JobRow, context: JobContext) -> None:
        context.progress(12, 60, "chunk 3, 4.0x real time")
        if error is not None:
            raise error

    with open_catalog(f"sqlite:///{home / 'longwatch.db'}") as catalog:
        catalog.jobs.add("test", {"question": "what did the courier carry"}, max_attempts=1)
        retry = RetryPolicy(first_s=0.0, most_s=0.0)
        Worker(catalog.jobs, {"test": handle}, poll_s=0.01, retry=retry).run(until_idle=True)
    logged = stream.getvalue()
    assert "s3cret" not in logged
    assert "courier" not in logged
    return [record for record in records(stream) if record["logger"].startswith("app.worker.")]


def test_start_end_and_speed_of_a_job_are_logged(tmp_path: Path) -> None:
    worker, start, end = run_job(tmp_path, None)
    assert worker["message"].endswith("starts, 1 jobs at a time")
    assert start["message"] == "job 1 (test) starts, attempt 1"
    assert end["message"].startswith("job 1 (test) done after ")
    assert end["message"].endswith("a second, chunk 3, 4.0x real time")
    assert end["job_id"] == 1
    assert end["done"] == 12
    assert end["done_per_s"] > 0


def test_refused_job_is_logged_with_its_reason_and_no_traceback(tmp_path: Path) -> None:
    *_, end = run_job(tmp_path, MediaRefusedError("clip.mp4", "it is encrypted"))
    assert "failed (media_refused: clip.mp4: it is encrypted)" in end["message"]
    assert end["level"] == "warning"
    assert "traceback" not in end


def test_bug_in_a_job_is_logged_with_its_traceback(tmp_path: Path) -> None:
    *_, end = run_job(tmp_path, RuntimeError("no frame from rtsp://cam:s3cret@10.0.0.7/live"))
    assert end["level"] == "error"
    assert "RuntimeError" in end["traceback"]


def test_address_of_an_unreachable_camera_is_logged_without_its_password(tmp_path: Path) -> None:
    *_, end = run_job(tmp_path, UnreachableError("rtsp://cam:s3cret@10.0.0.7/live is silent"))
    assert "rtsp://***@10.0.0.7/live is silent" in end["message"]


@pytest.mark.parametrize(
    ("is_service", "environment", "level"),
    [(False, None, "WARNING"), (False, "debug", "DEBUG"), (True, None, "INFO")],
)
def test_command_that_ends_logs_warnings_alone_unless_told_otherwise(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_service: bool,
    environment: str | None,
    level: str,
) -> None:
    if environment is not None:
        monkeypatch.setenv("LONGWATCH_LOG__LEVEL", environment)
    open_settings(tmp_path, is_service=is_service)
    assert logging.getLevelName(logging.getLogger("app").level) == level


def test_level_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'debug', 'info', 'warning' or 'error'"):
        open_settings(tmp_path, log__level="loud")


def test_server_logs_what_it_serves_and_keeps_the_link_out_of_the_log(tmp_path: Path) -> None:
    write_tiny(tmp_path / "tiny")
    words = ["serve", "--port", "0", "--no-worker", "--model", "tiny", "--home", "home"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "app", *words],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        link = server.stdout.readline()
        server.terminate()
        _, logged = server.communicate(timeout=60)
    secret = link.partition("token=")[2].strip()
    assert len(secret) > 20
    assert secret not in logged
    record = json.loads(logged.splitlines()[0])
    assert record["message"].startswith("serving http://127.0.0.1:")
    for part in ("model tiny", str(tmp_path / "home"), "longwatch.db", "without a worker"):
        assert part in record["message"]
