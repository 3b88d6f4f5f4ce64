"""Who gets in, who does not, and every route tried as each of them."""

from pathlib import Path

import anyio
import httpx
import pytest
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from app.api.auth import (
    COOKIE,
    CSRF_HEADER,
    SessionService,
    safe_redirect,
)
from app.api.rate_limit import SignInRateLimit
from app.errors import BusyError, NotAllowedError
from app.server import prepare_accounts, uvicorn_config
from app.services.credentials import hash_password
from engine.errors import InputRefusedError, SettingsError
from engine.records import Caption
from storage.catalog import Catalog, open_catalog
from tests.support.site import ADDRESS, PASSWORD, Site, open_library, sign_in

# Method, path, body; what a viewer of another video gets, what an admin gets. `{yard}` is the
# video that the viewer may not see.
ROUTES = [
    ("GET", "/api/v1/session", None, 200, 200),
    ("DELETE", "/api/v1/nothing", None, 404, 404),
    ("PUT", "/api/v1/session/password", {"current": "no", "new": PASSWORD}, 403, 403),
    ("GET", "/api/v1/videos", None, 200, 200),
    ("GET", "/api/v1/videos/{yard}", None, 404, 200),
    ("PATCH", "/api/v1/videos/{yard}", {"name": "yard"}, 403, 200),
    ("DELETE", "/api/v1/videos/nothing", None, 403, 404),
    ("POST", "/api/v1/videos", {"source": "/etc/passwd"}, 403, 422),
    ("POST", "/api/v1/videos/nothing/ingest", None, 403, 404),
    ("GET", "/api/v1/videos/{yard}/timeline", None, 404, 200),
    ("GET", "/api/v1/videos/{yard}/captions", None, 404, 200),
    ("POST", "/api/v1/videos/{yard}/captions", None, 403, 202),
    ("GET", "/api/v1/cameras", None, 200, 200),
    ("POST", "/api/v1/cameras", {"name": "Gate", "address": "gate.mp4"}, 403, 422),
    ("POST", "/api/v1/cameras/test", {"address": "gate.mp4"}, 403, 422),
    ("POST", "/api/v1/cameras/discover", None, 403, 200),
    ("POST", "/api/v1/cameras/streams", {"address": "rtsp://10.0.0.7"}, 403, 422),
    ("GET", "/api/v1/cameras/nothing", None, 404, 404),
    (
        "GET",
        "/api/v1/cameras/nothing/clip?start=2026-03-01T12:00:00Z&end=2026-03-01T12:01:00Z",
        None,
        404,
        404,
    ),
    (
        "GET",
        "/api/v1/evidence?camera=nothing&start=2026-03-01T12:00:00Z&end=2026-03-01T12:01:00Z",
        None,
        403,
        404,
    ),
    ("PATCH", "/api/v1/cameras/nothing", {"enabled": False}, 403, 404),
    ("DELETE", "/api/v1/cameras/nothing", None, 403, 404),
    ("POST", "/api/v1/cameras/nothing/test", None, 403, 404),
    ("GET", "/api/v1/roots", None, 403, 200),
    ("POST", "/api/v1/ask", {"question": "What is it?", "videos": ["{yard}"]}, 404, 200),
    ("POST", "/api/v1/search", {"query": "a car", "videos": ["{yard}"]}, 404, 200),
    ("POST", "/api/v1/search", {"like": {"video_id": "{yard}", "time_s": 2}}, 404, 200),
    ("GET", "/api/v1/days", None, 200, 200),
    ("GET", "/api/v1/days/2026-03-01?video={yard}", None, 404, 200),
    ("GET", "/api/v1/days/2026-03-01/beside/2026-03-02?video={yard}", None, 404, 200),
    ("GET", "/api/v1/verdicts", None, 200, 200),
    ("GET", "/api/v1/verdicts/export", None, 200, 200),
    (
        "PUT",
        "/api/v1/verdicts",
        {"video_id": "{yard}", "start_s": 1, "end_s": 2, "query": "a car", "verdict": "right"},
        404,
        200,
    ),
    ("GET", "/api/v1/conversations", None, 200, 200),
    ("GET", "/api/v1/conversations/nothing", None, 404, 404),
    ("GET", "/api/v1/conversations/nothing/turns/0/images/0.jpg", None, 404, 404),
    ("DELETE", "/api/v1/conversations/nothing", None, 404, 404),
    ("GET", "/api/v1/probes", None, 200, 200),
    ("POST", "/api/v1/probes", {"haystack": "nothing"}, 403, 404),
    ("GET", "/api/v1/videos/{yard}/moments", None, 404, 200),
    ("GET", "/api/v1/videos/{yard}/observations", None, 404, 200),
    ("GET", "/api/v1/videos/{yard}/overview", None, 404, 200),
    # No observer is chosen here: there is nothing to look with.
    ("POST", "/api/v1/videos/{yard}/observe", None, 403, 422),
    ("GET", "/api/v1/probes/1", None, 404, 404),
    ("GET", "/api/v1/probes/1/cells/0", None, 404, 404),
    ("GET", "/api/v1/probes/1/cells.csv", None, 404, 404),
    ("GET", "/api/v1/probes/needles/3.png", None, 200, 200),
    ("GET", "/api/v1/probes/1/needles/0.png", None, 404, 404),
    ("DELETE", "/api/v1/probes/1", None, 403, 404),
    ("GET", "/api/v1/needles", None, 403, 200),
    ("PUT", "/api/v1/needles/nothing", {}, 403, 422),
    ("DELETE", "/api/v1/needles/nothing", None, 403, 404),
    ("GET", "/api/v1/jobs", None, 200, 200),
    ("POST", "/api/v1/jobs/99/cancel", None, 403, 404),
    ("POST", "/api/v1/jobs/99/retry", None, 403, 404),
    ("GET", "/api/v1/alerts", None, 200, 200),
    ("GET", "/api/v1/alerts?video={yard}", None, 404, 200),
    ("GET", "/api/v1/alerts/1", None, 404, 404),
    ("GET", "/api/v1/alerts/1/picture.jpg", None, 404, 404),
    ("PATCH", "/api/v1/alerts/1", {"state": "false_alarm"}, 404, 404),
    ("GET", "/api/v1/alert-rules", None, 403, 200),
    ("POST", "/api/v1/alert-rules", {"name": "x", "condition": {"kind": "object"}}, 403, 422),
    ("POST", "/api/v1/alert-rules/try", {"condition": {"kind": "motion"}}, 403, 200),
    ("GET", "/api/v1/alert-rules/nothing", None, 403, 404),
    ("PATCH", "/api/v1/alert-rules/nothing", {"enabled": False}, 403, 404),
    ("DELETE", "/api/v1/alert-rules/nothing", None, 403, 404),
    ("GET", "/api/v1/alert-destinations", None, 403, 200),
    ("POST", "/api/v1/alert-destinations", {}, 403, 422),
    ("POST", "/api/v1/alert-destinations/nothing/test", None, 403, 404),
    ("DELETE", "/api/v1/alert-destinations/nothing", None, 403, 404),
    ("GET", "/api/v1/alert-deliveries", None, 403, 200),
    ("POST", "/api/v1/alert-deliveries/1/retry", None, 403, 404),
    ("GET", "/api/v1/users", None, 403, 200),
    ("POST", "/api/v1/users", {"name": "ada", "password": PASSWORD}, 403, 422),
    ("PATCH", "/api/v1/users/nobody", {"role": "admin"}, 403, 404),
    ("DELETE", "/api/v1/users/nobody", None, 403, 404),
    ("GET", "/api/v1/tokens", None, 200, 200),
    ("POST", "/api/v1/tokens", {"name": "x"}, 201, 201),
    ("DELETE", "/api/v1/tokens/99", None, 404, 404),
    ("GET", "/api/v1/settings", None, 403, 200),
    ("GET", "/api/v1/settings/values", None, 200, 200),
    ("PATCH", "/api/v1/settings/values", {"changes": {"server.port": 1}}, 403, 422),
    ("GET", "/api/v1/models", None, 200, 200),
    ("GET", "/api/v1/capacity?plan=banana", None, 403, 422),
    ("OPTIONS", "/api/v1/uploads", None, 204, 204),
    ("POST", "/api/v1/uploads", None, 403, 422),
    ("HEAD", "/api/v1/uploads/nothing", None, 403, 404),
    ("PATCH", "/api/v1/uploads/nothing", None, 403, 422),
    ("DELETE", "/api/v1/uploads/nothing", None, 403, 404),
    ("GET", "/api/v1/openapi.json", None, 200, 200),
    ("GET", "/media/{yard}", None, 404, 200),
    ("GET", "/media/{yard}/play.mp4", None, 404, 200),
    ("GET", "/media/{yard}/frame.jpg", None, 404, 200),
    ("GET", "/media/{yard}/sprite.jpg", None, 404, 200),
    ("GET", "/media/{yard}/chapters.vtt", None, 404, 200),
    ("GET", "/media/{yard}/captions.vtt", None, 404, 200),
    ("GET", "/media/{yard}/clip?start=1&end=3", None, 404, 200),
    ("GET", "/v1/models", None, 200, 200),
    ("GET", "/v1/models/longwatch", None, 200, 200),
    ("POST", "/v1/embeddings", {"input": "video://{yard}#t=1"}, 404, 200),
    (
        "POST",
        "/v1/chat/completions",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "video_url", "video_url": {"url": "video://{yard}"}},
                        {"type": "text", "text": "What is it?"},
                    ],
                }
            ]
        },
        404,
        200,
    ),
    ("GET", "/metrics", None, 403, 200),
]
OPEN = {"/healthz", "/readyz", "/sign-in", "/favicon.svg", "/favicon.ico", "/assets", "/", "/ui"}


def filled(value: object, site: Site) -> object:
    """The names in a request, replaced."""
    if isinstance(value, str):
        return value.replace("{yard}", site.yard).replace("{gate}", site.gate)
    if isinstance(value, dict):
        return {key: filled(each, site) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, site) for each in value]
    return value


@pytest.fixture
def captioned(site: Site) -> None:
    """Captions to ask for."""
    captions = site.services.catalog.captions
    row = site.services.catalog.videos.get(site.yard)
    assert row.fingerprint is not None
    (first, *_) = site.services.catalog.chunks.list(site.yard, row.fingerprint)
    captions.add(Caption(ref=first.ref, fingerprint=row.fingerprint, model="tiny", text="A yard."))


def asked(client: TestClient, site: Site, method: str, path: str, body: object) -> int:
    """The status of a request."""
    answer = client.request(method, str(filled(path, site)), json=filled(body, site))
    return answer.status_code


@pytest.mark.usefixtures("captioned")
@pytest.mark.parametrize(("method", "path", "body", "viewer", "admin"), ROUTES)
def test_route_answers_each_role_as_the_table_says(
    site: Site, method: str, path: str, body: object, viewer: int, admin: int
) -> None:
    assert asked(site.anonymous, site, method, path, body) == 401
    assert asked(site.viewer, site, method, path, body) == viewer
    assert asked(site.admin, site, method, path, body) == admin


def test_every_route_of_the_api_stands_in_the_table(site: Site) -> None:
    document = site.admin.get("/api/v1/openapi.json").json()
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    # Signing out is tried by itself below: in the table it would end the others' sessions.
    described.discard(("DELETE", "/api/v1/session"))
    tried = {(method, path.split("?")[0]) for method, path, *_ in ROUTES}
    missing = {
        (method, path)
        for method, path in described
        if path not in OPEN and not any(_fits(path, method, each) for each in tried)
    }
    assert not missing


@pytest.mark.parametrize("path", ["/internal/v1/search", "/internal/v1/answer"])
def test_routes_of_other_servers_answer_nobody_on_one_machine(site: Site, path: str) -> None:
    for client in (site.anonymous, site.viewer, site.admin):
        assert client.post(path, json={}).status_code == 403


def _fits(pattern: str, method: str, tried: tuple[str, str]) -> bool:
    parts, given = pattern.split("/"), tried[1].split("/")
    same = all(p == g or p.startswith("{") for p, g in zip(parts, given, strict=False))
    return tried[0] == method and len(parts) == len(given) and same


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\r\nb", ""]
)
def test_door_leads_nowhere_else(target: str) -> None:
    assert safe_redirect(target) == "/"


def test_cookie_is_kept_from_scripts_and_other_sites(site: Site) -> None:
    answer = site.anonymous.post(
        "/sign-in", data={"name": "ada", "password": PASSWORD}, follow_redirects=False
    )
    cookie = answer.headers["set-cookie"].lower()
    site.anonymous.cookies.clear()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


def test_state_change_needs_the_token_of_the_session(site: Site) -> None:
    client = sign_in(site.app, "vera")
    good = client.headers.pop(CSRF_HEADER)
    assert client.post("/api/v1/tokens", json={"name": "x"}).status_code == 403
    wrong = {CSRF_HEADER: good[:-1] + "!"}
    assert client.post("/api/v1/tokens", json={"name": "x"}, headers=wrong).status_code == 403
    foreign = {CSRF_HEADER: good[:-1].encode() + b"\xe9"}
    assert client.post("/api/v1/tokens", json={"name": "x"}, headers=foreign).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "cross-site"},
        # A sibling host of ours: it may not be ours alone.
        {"sec-fetch-site": "same-site"},
    ],
)
def test_other_sites_cannot_change_anything(site: Site, headers: dict[str, str]) -> None:
    answer = site.admin.post("/api/v1/tokens", json={"name": "x"}, headers=headers)
    assert answer.json()["error"]["code"] == "cross_site"


def test_local_server_does_not_answer_to_other_names(site: Site) -> None:
    assert site.admin.get("/api/v1/session", headers={"host": "evil.example"}).status_code == 421


def test_browser_is_told_to_load_nothing_from_elsewhere(site: Site) -> None:
    for path in ("/sign-in", "/api/v1/session"):
        policy = site.admin.get(path).headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "http" not in policy


def test_signing_out_ends_the_session(site: Site) -> None:
    client = sign_in(site.app, "vera")
    assert client.delete("/api/v1/session").status_code == 204
    client.cookies.clear()
    assert client.get("/api/v1/session").status_code == 401


def test_form_that_signs_out_needs_the_token_of_its_session(site: Site) -> None:
    client = sign_in(site.app, "vera")
    good = client.headers.pop(CSRF_HEADER)
    for wrong in ("", good[:-1] + "!", "\xe9"):
        assert client.post("/sign-out", data={"csrf": wrong}).status_code in {403, 422}
    foreign = {"sec-fetch-site": "cross-site"}
    assert client.post("/sign-out", data={"csrf": good}, headers=foreign).status_code == 403
    assert client.get("/api/v1/session").status_code == 200
    kept = dict(client.cookies)
    left = client.post("/sign-out", data={"csrf": good}, follow_redirects=False)
    assert (left.status_code, left.headers["location"]) == (303, "/sign-in")
    assert not client.cookies
    client.cookies.update(kept)
    assert client.get("/api/v1/session").status_code == 401
    # Whoever's session has ended meanwhile is led to the same page.
    again = client.post("/sign-out", data={"csrf": good}, follow_redirects=False)
    assert again.headers["location"] == "/sign-in"


def test_token_of_a_program_has_the_rights_of_its_owner_until_it_is_removed(site: Site) -> None:
    made = site.viewer.post("/api/v1/tokens", json={"name": "script"}).json()
    program = TestClient(site.app, base_url="http://127.0.0.1")
    program.headers["authorization"] = f"Bearer {made['secret']}"
    assert program.get(f"/api/v1/videos/{site.gate}").status_code == 200
    assert program.get(f"/api/v1/videos/{site.yard}").status_code == 404
    assert program.post("/api/v1/search", json={"query": "a car"}).status_code == 200
    assert made["secret"] not in site.viewer.get("/api/v1/tokens").text
    site.viewer.delete(f"/api/v1/tokens/{made['token_id']}")
    assert program.get("/api/v1/session").status_code == 401


def _program(site: Site, **wanted: object) -> TestClient:
    """A client with a new token of the admin."""
    answer = site.admin.post("/api/v1/tokens", json={"name": "script", **wanted})
    program = TestClient(site.app, base_url=ADDRESS)
    program.headers["authorization"] = f"Bearer {answer.json()['secret']}"
    return program


def test_token_that_may_read_changes_nothing(site: Site) -> None:
    reader, writer = _program(site), _program(site, scopes=["write"])
    for program in (reader, writer):
        assert program.get("/api/v1/videos").status_code == 200
        assert program.post("/api/v1/search", json={"query": "a car"}).status_code == 200
    path = f"/api/v1/videos/{site.yard}"
    refused = reader.patch(path, json={"name": "garden"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "scope")
    assert reader.delete(path).status_code == 403
    assert writer.patch(path, json={"name": "garden"}).status_code == 200


def test_no_token_manages_accounts_tokens_or_settings(site: Site) -> None:
    program = _program(site, scopes=["read", "write"])
    account = {"name": "eve", "password": PASSWORD, "role": "admin"}
    assert program.post("/api/v1/users", json=account).status_code == 403
    assert program.get("/api/v1/users").status_code == 403
    assert program.patch("/api/v1/users/ada", json={"password": PASSWORD}).status_code == 403
    assert program.post("/api/v1/tokens", json={"name": "more"}).status_code == 403
    own = {"current": PASSWORD, "new": "another password"}
    assert program.put("/api/v1/session/password", json=own).status_code == 403
    changes = {"changes": {"retention.days": 1}}
    assert program.patch("/api/v1/settings/values", json=changes).status_code == 403


def test_everybody_changes_their_own_password(site: Site) -> None:
    other = sign_in(site.app, "vera")
    new = "another password"
    wrong = {"current": "not the password", "new": new}
    assert site.viewer.put("/api/v1/session/password", json=wrong).status_code == 403
    short = site.viewer.put("/api/v1/session/password", json={"current": PASSWORD, "new": "abc"})
    assert short.status_code == 422
    body = {"current": PASSWORD, "new": new}
    assert site.viewer.put("/api/v1/session/password", json=body).status_code == 204
    assert site.viewer.get("/api/v1/session").status_code == 200
    assert other.get("/api/v1/session").status_code == 401
    for password, status in ((PASSWORD, 403), (new, 303)):
        form = {"name": "vera", "password": password}
        answer = site.anonymous.post("/sign-in", data=form, follow_redirects=False)
        assert answer.status_code == status


def test_new_password_ends_tokens_if_asked(site: Site) -> None:
    program = _program(site)
    body = {"current": PASSWORD, "new": "another password"}
    site.admin.put("/api/v1/session/password", json=body)
    assert program.get("/api/v1/videos").status_code == 200
    body = {"current": "another password", "new": PASSWORD, "end_tokens": True}
    site.admin.put("/api/v1/session/password", json=body)
    assert program.get("/api/v1/videos").status_code == 401


def test_session_says_whether_its_user_has_a_password(site: Site) -> None:
    assert site.admin.get("/api/v1/session").json()["has_password"] is True
    new = site.services.catalog.accounts.add_user("eve", "admin")
    link = SessionService(site.services.catalog, clock=lambda: 0.0).issue_link(new)
    site.anonymous.post("/sign-in/link", data={"token": link}, follow_redirects=False)
    session = site.anonymous.get("/api/v1/session").json()
    assert (session["user"], session["has_password"]) == ("eve", False)
    site.anonymous.headers[CSRF_HEADER] = session["csrf"]
    answer = site.anonymous.put("/api/v1/session/password", json={"new": PASSWORD})
    assert answer.status_code == 204


def test_only_admin_cannot_lock_everybody_out(site: Site) -> None:
    assert site.admin.delete("/api/v1/users/ada").status_code == 422
    assert site.admin.patch("/api/v1/users/ada", json={"role": "viewer"}).status_code == 422


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return open_catalog(f"sqlite:///{tmp_path / 'longwatch.db'}")


def test_secrets_are_kept_as_hashes_only(catalog: Catalog, tmp_path: Path) -> None:
    sessions = SessionService(catalog, clock=lambda: 0.0)
    user = catalog.accounts.add_user("ada", "admin", password_hash=hash_password(PASSWORD))
    link = sessions.issue_link(user)
    cookie, _ = sessions.sign_in("ada", PASSWORD, "here")
    catalog.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (link, cookie, PASSWORD):
        assert secret.encode() not in stored


def test_link_signs_in_once(catalog: Catalog) -> None:
    sessions = SessionService(catalog, clock=lambda: 0.0)
    link = sessions.issue_link(catalog.accounts.add_user("ada", "admin"))
    assert sessions.redeem_link(link, "here")
    with pytest.raises(NotAllowedError, match="was used already"):
        sessions.redeem_link(link, "here")


def test_opening_a_sign_in_link_does_not_use_it_up(site: Site) -> None:
    new = site.services.catalog.accounts.add_user("eve", "admin")
    link = SessionService(site.services.catalog, clock=lambda: 0.0).issue_link(new)
    visitor, path = site.anonymous, f"/sign-in?token={link}&next=/ui/jobs"
    for method in ("GET", "HEAD", "GET"):
        page = visitor.request(method, path, follow_redirects=False)
        assert COOKIE not in page.headers.get("set-cookie", "")
    assert page.headers["cache-control"] == "no-store"
    assert 'action="/sign-in/link"' in page.text
    form = {"token": link, "next": "/ui/jobs"}
    foreign = {"sec-fetch-site": "cross-site"}
    assert visitor.post("/sign-in/link", data=form, headers=foreign).status_code == 403
    opened = visitor.post("/sign-in/link", data=form, follow_redirects=False)
    assert (opened.status_code, opened.headers["location"]) == (303, "/ui/jobs")
    visitor.cookies.clear()
    assert visitor.post("/sign-in/link", data=form).status_code == 403


def test_page_of_a_sign_in_link_shows_its_token_as_text(site: Site) -> None:
    page = site.anonymous.get("/sign-in", params={"token": '"><script>x</script>'})
    assert "<script>x" not in page.text


def test_sign_in_link_speaks_for_nobody_as_a_bearer_token(site: Site) -> None:
    ada = site.services.catalog.accounts.user("ada")
    assert ada is not None
    link = SessionService(site.services.catalog, clock=lambda: 0.0).issue_link(ada)
    bearer = {"authorization": f"Bearer {link}"}
    assert site.anonymous.get("/api/v1/session", headers=bearer).status_code == 401
    opened = site.anonymous.post("/sign-in/link", data={"token": link}, follow_redirects=False)
    assert opened.status_code == 303
    site.anonymous.cookies.clear()
    assert site.anonymous.get("/api/v1/session", headers=bearer).status_code == 401


def test_token_of_a_program_opens_no_session(site: Site) -> None:
    secret = site.viewer.post("/api/v1/tokens", json={"name": "script"}).json()["secret"]
    refused = site.anonymous.post("/sign-in/link", data={"token": secret})
    assert refused.status_code == 403
    assert COOKIE not in refused.headers.get("set-cookie", "")


def test_failures_delay_further_tries_at_their_address_and_nobody_else(catalog: Catalog) -> None:
    now = 0.0
    sessions = SessionService(catalog, clock=lambda: now)
    catalog.accounts.add_user("ada", "admin", password_hash=hash_password(PASSWORD))
    for _ in range(5):
        with pytest.raises(NotAllowedError, match="the password is wrong"):
            sessions.sign_in("ada", "wrong", "there")
    for spelling in ("ada", "ADA", "Ada "):
        with pytest.raises(BusyError, match="too many"):
            sessions.sign_in(spelling, PASSWORD, "there")
    assert sessions.sign_in("ada", PASSWORD, "elsewhere")
    now = 1.1
    assert sessions.sign_in("ada", PASSWORD, "there")
    with pytest.raises(NotAllowedError, match="the password is wrong"):
        sessions.sign_in("ada", "wrong", "there")


def test_waits_grow_up_to_five_minutes_and_are_forgotten() -> None:
    now = 0.0
    limit = SignInRateLimit(lambda: now)
    waits = []
    for _ in range(16):
        began = now
        while True:
            try:
                limit.begin_attempt("ada", "there")
                break
            except BusyError:
                now += 0.5
        waits.append(now - began)
    assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    now += 901
    limit.begin_attempt("ada", "there")
    limit.begin_attempt("ada", "there")


def test_one_address_cannot_try_many_names() -> None:
    limit = SignInRateLimit(lambda: 0.0)
    for number in range(20):
        limit.begin_attempt(f"user{number}", f"2001:db8::{number:x}")
    with pytest.raises(BusyError, match="too many"):
        limit.begin_attempt("ada", "2001:db8::ffff")
    limit.begin_attempt("ada", "2001:db8:1::1")


async def _storm(site: Site, names: list[str]) -> tuple[list[int], bool]:
    """Sign in with wrong passwords at once; return the statuses, and if /healthz came first."""
    answers: list[int] = []
    was_first = False
    transport = httpx.ASGITransport(site.app)
    async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:

        async def try_name(name: str) -> None:
            form = {"name": name, "password": "not the password"}
            answers.append((await client.post("/sign-in", data=form)).status_code)

        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(try_name, name)
            await anyio.sleep(0)
            assert (await client.get("/healthz")).status_code == 200
            was_first = answers.count(403) < 5
    return answers, was_first


def test_parallel_sign_ins_are_counted_before_they_are_checked(site: Site) -> None:
    answers, _ = anyio.run(_storm, site, ["ada"] * 60)
    assert answers.count(403) == 5
    assert answers.count(429) == 55


def test_server_answers_while_strangers_try_many_names(site: Site) -> None:
    answers, was_first = anyio.run(_storm, site, [f"user{number}" for number in range(60)])
    assert was_first
    assert 1 <= answers.count(403) <= 20
    assert answers.count(403) + answers.count(429) == 60


def test_forwarded_address_is_believed_from_a_configured_proxy_only(tmp_path: Path) -> None:
    heard: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(scope["client"][0])

    async def forward(proxies: list[str]) -> None:
        settings = open_library(tmp_path, **{"server.trusted_proxies": proxies}).settings
        config = uvicorn_config(app, settings)
        config.load()
        transport = httpx.ASGITransport(config.loaded_app, client=("10.0.0.7", 1))
        async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:
            with pytest.raises(AssertionError):
                await client.get("/", headers={"X-Forwarded-For": "203.0.113.9"})

    for proxies in ([], ["10.1.0.0/16"], ["10.0.0.0/24"]):
        anyio.run(forward, proxies)
    assert heard == ["10.0.0.7", "10.0.0.7", "203.0.113.9"]


def test_unknown_name_and_wrong_password_say_the_same(catalog: Catalog) -> None:
    sessions = SessionService(catalog, clock=lambda: 0.0)
    catalog.accounts.add_user("ada", "admin", password_hash=hash_password(PASSWORD))
    said = []
    for name in ("ada", "nobody"):
        with pytest.raises(NotAllowedError) as caught:
            sessions.sign_in(name, "wrong", name)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_short_password_is_refused() -> None:
    with pytest.raises(InputRefusedError, match="10 to 1024 characters"):
        hash_password("short")


def test_server_that_others_reach_needs_an_account(tmp_path: Path) -> None:
    service = open_library(tmp_path)
    with pytest.raises(SettingsError, match="no account has a password"):
        prepare_accounts(service, is_local=False)
    service.catalog.accounts.add_user("ada", "admin", password_hash=hash_password(PASSWORD))
    assert prepare_accounts(service, is_local=False) is None
    service.close()


def test_link_is_handed_out_as_long_as_no_admin_has_a_password(tmp_path: Path) -> None:
    service = open_library(tmp_path)
    accounts = service.catalog.accounts
    accounts.add_user("vera", "viewer", password_hash=hash_password(PASSWORD))
    for _ in range(2):
        secret = prepare_accounts(service, is_local=True)
        assert secret is not None
        assert SessionService(service.catalog, clock=lambda: 0.0).redeem_link(secret, "here")
    (admin,) = [user for user in accounts.users() if user.role == "admin"]
    accounts.set_password(admin.id, hash_password(PASSWORD))
    assert prepare_accounts(service, is_local=True) is None
    service.close()


def test_first_local_start_hands_out_a_link(tmp_path: Path) -> None:
    service = open_library(tmp_path)
    secret = prepare_accounts(service, is_local=True)
    assert secret is not None
    assert SessionService(service.catalog, clock=lambda: 0.0).redeem_link(secret, "here")
    assert COOKIE
    service.close()
