"""Two servers over one library: nobody who is sent from one to the other notices."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from storage.records import UploadId
from tests.app.api.test_uploads import begin, send
from tests.support.postgres import PostgresServer
from tests.support.servers import (
    Server,
    add_admin,
    at,
    environment,
    open_shared,
    running,
    sign_in,
)
from tests.support.site import draw_clip
from tests.support.waiting import wait_until

pytestmark = pytest.mark.scale


@dataclass(frozen=True)
class Pair:
    """A server for pages, and one that does the jobs too; a home and a database between them."""

    home: Path
    url: str
    pages: Server
    works: Server


@pytest.fixture(scope="module")
def pair(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    home = tmp_path_factory.mktemp("shared") / "home"
    home.mkdir(mode=0o700)
    with postgres.library() as url:
        add_admin(home, url)
        settings = environment(home, url)
        with running(settings, "--no-worker") as pages, running(settings) as works:
            yield Pair(home, url, pages, works)


@pytest.fixture
def people() -> Iterator[ExitStack]:
    """Browsers, which are closed at the end."""
    with ExitStack() as opened:
        yield opened


def test_sign_in_at_one_holds_at_the_other_and_ends_at_both(pair: Pair, people: ExitStack) -> None:
    client = people.enter_context(closing(sign_in(pair.pages)))
    other = people.enter_context(closing(at(pair.works, client)))
    assert other.get("/api/v1/session").json()["user"] == "ada"
    # A change needs the token of the session, which is one for both.
    tag = {"name": "phone", "days": 1}
    assert other.post("/api/v1/tokens", json=tag).status_code == 201
    assert other.delete("/api/v1/session").status_code == 204
    assert client.get("/api/v1/session").status_code == 401


def test_failed_sign_ins_are_counted_together(pair: Pair) -> None:
    statuses: list[int] = []
    # The pause doubles, so that even a slow machine comes too early once.
    while 429 not in statuses and len(statuses) < 16:
        server = (pair.pages, pair.works)[len(statuses) % 2]
        with server.client() as client:
            form = {"name": "mallory", "password": "not the password"}
            statuses.append(client.post("/sign-in", data=form).status_code)
    # Five failures are free, whoever counts them; the next one waits a second.
    assert statuses[:5] == [403] * 5
    assert statuses[-1] == 429


def test_upload_begun_at_one_ends_at_the_other_which_reads_it(
    pair: Pair, people: ExitStack, tmp_path: Path
) -> None:
    data = draw_clip(tmp_path / "gate.mp4", seed=7, seconds=12).read_bytes()
    client = people.enter_context(closing(sign_in(pair.pages)))
    other = people.enter_context(closing(at(pair.works, client)))
    address = begin(client, len(data), "gate.mp4")
    assert send(client, address, 0, data[:5000]) == 204
    assert other.head(address).headers["upload-offset"] == "5000"
    assert send(other, address, 5000, data[5000:]) == 204

    # Its reading, which the other does, is seen here while it goes on and when it is done.
    def is_ready() -> bool:
        (video,) = [row for row in listed(client) if row["name"] == "gate"]
        return bool(video["status"] == "ready")

    wait_until(is_ready)
    (video,) = [row for row in listed(client) if row["name"] == "gate"]
    jobs = client.get("/api/v1/jobs").json()["jobs"]
    (read,) = [job for job in jobs if job["kind"] == "ingest"]
    assert read["state"] == "done"
    assert read["done"] == pytest.approx(video["duration_s"], abs=1.5)
    question = {"question": "What is in the video?", "recall": "all"}
    answers = [one.post("/api/v1/ask", json=question).json() for one in (client, other)]
    assert answers[0]["answer"] == answers[1]["answer"]
    assert answers[0]["evidence"] == answers[1]["evidence"]


def test_part_that_one_writes_keeps_the_other_out(pair: Pair, people: ExitStack) -> None:
    client = people.enter_context(closing(sign_in(pair.pages)))
    address = begin(client, 100, "slow.mp4")
    upload = address.rsplit("/", 1)[1]
    context = open_shared(pair.home, pair.url)
    try:
        assert context.catalog.leases.take(f"upload {upload}", "another server", lease_s=600)
        assert send(client, address, 0, b"x" * 10) == 409
        context.catalog.leases.release(f"upload {upload}", "another server")
        assert send(client, address, 0, b"x" * 10) == 204
        assert context.catalog.uploads.get(UploadId(upload)).offset_bytes == 10
    finally:
        context.close()
    assert client.delete(address).status_code == 204


def test_setting_changed_at_one_holds_at_the_other(pair: Pair, people: ExitStack) -> None:
    client = people.enter_context(closing(sign_in(pair.pages)))
    other = people.enter_context(closing(at(pair.works, client)))
    change = {"changes": {"retention.days": 400}}
    assert client.patch("/api/v1/settings/values", json=change).status_code == 200

    def in_force() -> str | None:
        rows = other.get("/api/v1/settings/values").json()["settings"]
        return next(row["in_force"] for row in rows if row["setting"] == "retention.days")

    wait_until(lambda: in_force() == "400")


def test_server_with_a_folder_of_its_own_says_what_it_has_not(
    pair: Pair, people: ExitStack, tmp_path: Path
) -> None:
    home = tmp_path / "own" / "home"
    home.mkdir(mode=0o700, parents=True)
    client = people.enter_context(closing(sign_in(pair.pages)))
    address = begin(client, 100, "far.mp4")
    assert send(client, address, 0, b"x" * 10) == 204
    with running(environment(home, pair.url), "--no-worker") as apart:
        other = people.enter_context(closing(at(apart, client)))
        assert other.get("/api/v1/session").json()["user"] == "ada"
        headers = {
            "Tus-Resumable": "1.0.0",
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": "10",
        }
        answer = other.patch(address, headers=headers, content=b"y" * 10)
        assert answer.status_code == 503
        assert "not on this server" in answer.json()["error"]["message"]
        assert other.get("/readyz").status_code == 200
    assert client.delete(address).status_code == 204


def test_death_of_one_goes_unnoticed(pair: Pair, people: ExitStack) -> None:
    with running(environment(pair.home, pair.url), "--no-worker") as doomed:
        client = people.enter_context(closing(sign_in(doomed)))
        doomed.kill()
        other = people.enter_context(closing(at(pair.works, client)))
        assert other.get("/api/v1/session").json()["user"] == "ada"
        assert other.get("/readyz").status_code == 200
        with pytest.raises(httpx.TransportError):
            client.get("/healthz")


def listed(client: httpx.Client) -> list[dict[str, object]]:
    """Return the videos that somebody sees."""
    rows: list[dict[str, object]] = client.get("/api/v1/videos").json()["videos"]
    return rows
