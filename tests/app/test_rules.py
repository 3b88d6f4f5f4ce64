"""Every rule at every entrance: whoever asks, the same code and the same sentence."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.main import main
from engine.records import Caption
from tests.support.site import PASSWORD, Site

Refusal = tuple[str, str]
"""Code and sentence."""
Entrance = Callable[["Caller"], Refusal]

LONG = "x" * 4001


class Caller:
    """Somebody who tries the entrances of one library: its commands, its API."""

    def __init__(self, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
        self.site = site
        self._capsys = capsys

    def command(self, *words: str) -> Refusal:
        """Run a command over the library of the site, and return how it was refused."""
        self._capsys.readouterr()
        home = str(self.site.services.settings.home)
        exit_code = main([self._named(word) for word in words] + ["--json", "--home", home])
        assert exit_code != 0, f"longwatch {' '.join(words)} was not refused"
        error = json.loads(self._capsys.readouterr().out)["error"]
        return error["code"], error["message"]

    def api(self, method: str, path: str, body: object = None, **headers: str) -> Refusal:
        """Send a request as the admin, and return how it was refused."""
        text = None if body is None else self._named(json.dumps(body))
        answer = self.site.admin.request(
            method,
            self._named(path),
            content=text,
            headers={"content-type": "application/json", **headers},
        )
        assert answer.status_code >= 400, f"{method} {path} was not refused: {answer.text}"
        error = answer.json()["error"]
        return error["code"], error["message"]

    def _named(self, text: str) -> str:
        return text.replace("{gate}", self.site.gate)


def command(*words: str) -> Entrance:
    return lambda caller: caller.command(*words)


def api(method: str, path: str, body: object = None, **headers: str) -> Entrance:
    return lambda caller: caller.api(method, path, body, **headers)


def ask(question: str, **more: object) -> Entrance:
    return api("POST", "/api/v1/ask", {"question": question, **more})


def ask_streamed(question: str, **more: object) -> Entrance:
    body = {"question": question, **more}
    return api("POST", "/api/v1/ask", body, accept="text/event-stream")


def search(query: str, **more: object) -> Entrance:
    return api("POST", "/api/v1/search", {"query": query, **more})


def chat(question: str, *urls: str) -> Entrance:
    parts = [{"type": "video_url", "video_url": {"url": url}} for url in urls]
    content = [*parts, {"type": "text", "text": question}]
    body = {"messages": [{"role": "user", "content": content}]}
    return api("POST", "/v1/chat/completions", body)


RULES: dict[str, tuple[str, list[Entrance]]] = {
    "the last admin stays": (
        "ada is the only admin",
        [
            command("user", "rm", "ada"),
            command("user", "add", "ada", "--role", "viewer", "--password", PASSWORD),
            api("DELETE", "/api/v1/users/ada"),
            api("PATCH", "/api/v1/users/ada", {"role": "viewer"}),
        ],
    ),
    "name of an account": (
        "'a b' cannot be the name of an account",
        [
            command("user", "add", "a b", "--password", PASSWORD),
            api("POST", "/api/v1/users", {"name": "a b", "password": PASSWORD}),
        ],
    ),
    "length of a password": (
        "a password has 10 to 1024 characters",
        [
            command("user", "add", "zoe", "--password", "short"),
            command("user", "add", "vera", "--password", "short"),
            api("POST", "/api/v1/users", {"name": "zoe", "password": "short"}),
            api("POST", "/api/v1/users", {"name": "zoe", "password": LONG}),
            api("PATCH", "/api/v1/users/vera", {"password": "short"}),
        ],
    ),
    "an account that is not there": (
        "no user 'nobody'",
        [
            command("user", "rm", "nobody"),
            api("DELETE", "/api/v1/users/nobody"),
            api("PATCH", "/api/v1/users/nobody", {"role": "admin"}),
        ],
    ),
    "a question of no words": (
        "the question is empty",
        [command("ask", " "), ask(" "), ask(""), ask_streamed(""), chat(""), chat(" ")],
    ),
    "length of a question": (
        "the length of the question is 4001 characters, the limit is 4000 characters",
        [command("ask", LONG), ask(LONG), ask_streamed(LONG), chat(LONG)],
    ),
    "a query of no words": ("the query is empty", [command("search", " "), search("")]),
    "length of a query": (
        "the length of the query is 4001 characters, the limit is 4000 characters",
        [
            command("search", LONG),
            command("captions", "{gate}", "--find", LONG),
            search(LONG),
            api("GET", f"/api/v1/videos/{{gate}}/captions?find={LONG}"),
            api("GET", f"/api/v1/videos/{{gate}}/timeline?q={LONG}"),
        ],
    ),
    "a video that is not there": (
        "no video 'nowhere'",
        [
            command("videos", "show", "nowhere"),
            command("videos", "rm", "nowhere"),
            command("videos", "export", "nowhere", "x.mp4", "--start", "0", "--end", "1"),
            command("caption", "nowhere"),
            command("captions", "nowhere"),
            command("ask", "What?", "--video", "nowhere"),
            command("search", "a car", "--video", "nowhere"),
            ask("What?", videos=["nowhere"]),
            search("a car", videos=["nowhere"]),
            search("", like={"video_id": "nowhere", "time_s": 1}),
            chat("What?", "video://nowhere"),
            api("GET", "/api/v1/videos/nowhere"),
            api("DELETE", "/api/v1/videos/nowhere"),
            api("POST", "/api/v1/videos/nowhere/captions"),
            api("POST", "/api/v1/videos/nowhere/ingest"),
            api("GET", "/api/v1/videos/nowhere/captions"),
            api("GET", "/api/v1/videos/nowhere/timeline"),
            api("GET", "/media/nowhere"),
            api("POST", "/api/v1/probes", {"haystack": "nowhere"}),
        ],
    ),
    "bounds that no video reaches": (
        "no video reaches into these bounds",
        [
            command("ask", "What?", "--after", "3600"),
            command("search", "a car", "--after", "3600"),
            ask("What?", after=3600),
            ask("What?", videos=["{gate}"], after=3600),
            search("a car", after=3600),
            chat("What?", "video://{gate}#t=3600"),
            # Without a wall clock there is no such moment.
            command("ask", "What?", "--after", "2026-03-01T22:00"),
            ask("What?", after="2026-03-01T22:00"),
            ask("What?", after="2026-03-01T22:00:00Z"),
        ],
    ),
    "name of a video": (
        "'' cannot be a name",
        [
            command("ingest", "rtsp://127.0.0.1:9/x", "--name", " "),
            api("POST", "/api/v1/videos", {"source": "rtsp://127.0.0.1:9/x", "name": ""}),
            api("PATCH", "/api/v1/videos/{gate}", {"name": ""}),
        ],
    ),
    "hours of a day": (
        "'25:00-26:00' are no hours of a day",
        [
            command("ask", "What?", "--time-of-day", "25:00-26:00"),
            command("search", "a car", "--time-of-day", "25:00-26:00"),
            ask("What?", time_of_day="25:00-26:00"),
            ask_streamed("What?", time_of_day="25:00-26:00"),
            search("a car", time_of_day="25:00-26:00"),
        ],
    ),
    "zone of a video": (
        "'Mars/Base' is no time zone",
        [
            command("ingest", "rtsp://127.0.0.1:9/x", "--timezone", "Mars/Base"),
            command("videos", "set", "{gate}", "--timezone", "Mars/Base"),
            api(
                "POST",
                "/api/v1/videos",
                {"source": "rtsp://127.0.0.1:9/x", "timezone": "Mars/Base"},
            ),
            api("PATCH", "/api/v1/videos/{gate}", {"timezone": "Mars/Base"}),
        ],
    ),
    "start of a video": (
        "nothing can have been filmed at 9999-12-31 23:59:00+00:00",
        [
            command("ingest", "rtsp://127.0.0.1:9/x", "--start-at", "9999-12-31T23:59:00Z"),
            command("videos", "set", "{gate}", "--start-at", "9999-12-31T23:59:00Z"),
            api(
                "POST",
                "/api/v1/videos",
                {"source": "rtsp://127.0.0.1:9/x", "start_at": "9999-12-31T23:59:00Z"},
            ),
            api("PATCH", "/api/v1/videos/{gate}", {"start_at": "9999-12-31T23:59:00Z"}),
        ],
    ),
    "end of a clip": (
        "the clip ends at 4 s, before it starts at 8 s",
        [
            command("videos", "export", "{gate}", "x.mp4", "--start", "8", "--end", "4"),
            api("GET", "/media/{gate}/clip?start=8&end=4"),
        ],
    ),
    "lengths of a haystack": (
        "lengths are 8 to 100000 frames, not 4, 64",
        [
            command("probe", "--lengths", "4,64"),
            api("POST", "/api/v1/probes", {"lengths": [4, 64]}),
        ],
    ),
    "depths of a needle": (
        "depths lie between 0 and 1, not at 1.5",
        [
            command("probe", "--depths", "1.5"),
            api("POST", "/api/v1/probes", {"depths": [1.5]}),
        ],
    ),
    "ratio of a probe": (
        "a ratio is 1 to 64 tokens a latent, not 65",
        [command("probe", "--ratio", "65"), api("POST", "/api/v1/probes", {"ratio": 65})],
    ),
    "needles of a cell": (
        "a cell has at least 1 needle, not 0",
        [command("probe", "--seeds", "0"), api("POST", "/api/v1/probes", {"seeds": 0})],
    ),
}


@pytest.fixture
def caller(site: Site, capsys: pytest.CaptureFixture[str]) -> Caller:
    """Whoever tries; one chunk of the gate has a caption, so that words can be looked for."""
    catalog = site.services.catalog
    row = catalog.videos.get(site.gate)
    assert row.fingerprint is not None
    (first, *_) = catalog.chunks.list(site.gate, row.fingerprint)
    catalog.captions.add(
        Caption(ref=first.ref, fingerprint=row.fingerprint, model="tiny", text="A gate.")
    )
    return Caller(site, capsys)


@pytest.mark.parametrize("rule", RULES)
def test_rule_is_told_in_the_same_words_at_every_entrance(caller: Caller, rule: str) -> None:
    sentence, entrances = RULES[rule]
    refusals = [entrance(caller) for entrance in entrances]
    assert {message for _, message in refusals} == {sentence}
    assert len({code for code, _ in refusals}) == 1


def unindex(site: Site) -> None:
    """Take every chunk away: a library whose videos wait to be read."""
    for row in site.services.catalog.videos.list():
        assert row.fingerprint is not None
        site.services.catalog.chunks.replace(row.id, row.fingerprint, ())


def test_library_in_which_nothing_is_indexed_says_so_at_every_entrance(caller: Caller) -> None:
    unindex(caller.site)
    entrances = [
        command("ask", "What?"),
        command("search", "a car"),
        ask("What?"),
        ask_streamed("What?"),
        search("a car"),
        chat("What?"),
    ]
    expected = ("not_found", "nothing is indexed yet")
    assert {entrance(caller) for entrance in entrances} == {expected}


def test_video_of_which_nothing_is_indexed_is_named_at_every_entrance(caller: Caller) -> None:
    unindex(caller.site)
    entrances = [
        command("ask", "What?", "--video", "gate"),
        command("search", "a car", "--video", "{gate}"),
        ask("What?", videos=["{gate}"]),
        search("a car", videos=["{gate}"]),
        chat("What?", "video://{gate}"),
    ]
    expected = ("not_found", "nothing of gate is indexed yet")
    assert {entrance(caller) for entrance in entrances} == {expected}


def test_file_above_the_limit_is_refused_by_upload_and_by_command(
    caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = int(caller.site.services.settings.limits.upload_bytes)
    large = tmp_path / "large.mp4"
    with large.open("wb") as file:
        file.truncate(limit + 1)
    announced = caller.api("POST", "/api/v1/uploads", **{"upload-length": str(limit + 1)})
    named = caller.command("ingest", str(large))
    assert announced[0] == named[0] == "limit_exceeded"
    assert announced[1].partition(": ")[2] == named[1].partition(": ")[2]


def test_admin_may_be_demoted_or_removed_where_another_is_left(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(site.services.settings.home)]
    second = ["user", "add", "grace", "--role", "admin", "--password", PASSWORD]
    assert main([*second, *home]) == 0
    assert main(["user", "add", "ada", "--role", "viewer", "--password", PASSWORD, *home]) == 0
    assert main(["user", "rm", "ada", *home]) == 0
    assert [user.name for user in site.services.catalog.accounts.users()] == ["grace", "vera"]
    assert main(["user", "rm", "grace", *home]) == 5
    assert "grace is the only admin" in capsys.readouterr().err


def test_refused_change_of_an_account_changes_nothing(site: Site) -> None:
    before = site.services.catalog.accounts.user("vera")
    refused = {"role": "admin", "password": "short", "videos": []}
    assert site.admin.patch("/api/v1/users/vera", json=refused).status_code == 422
    assert site.services.catalog.accounts.user("vera") == before
    assert before is not None
    assert site.services.catalog.accounts.granted(before.id) == {site.gate}
