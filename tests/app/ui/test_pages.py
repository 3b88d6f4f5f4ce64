"""The pages: open to whoever is signed in, closed to others, and nothing else of Gradio."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.api.assets import SCRIPTS, STYLES
from app.api.brand import STATIC_FILES, assets_path
from tests.support.site import Library, Site, open_site

PAGES = (
    "/ui/",
    "/ui/watch",
    "/ui/moments",
    "/ui/search",
    "/ui/probe",
    "/ui/jobs",
    "/ui/cameras",
    "/ui/settings",
    "/ui/models",
)
# Of Gradio nothing but pages, their files and their events is reachable, whoever asks.
SHUT = [
    ("POST", "/ui/gradio_api/upload"),
    ("GET", "/ui/gradio_api/file=/etc/passwd"),
    ("GET", "/ui/gradio_api/proxy=http://127.0.0.1/"),
    ("POST", "/ui/gradio_api/reset"),
    ("GET", "/ui/gradio_api/heartbeat/x"),
    ("POST", "/ui/gradio_api/component_server"),
    ("GET", "/ui/gradio_api/mcp/sse"),
    ("POST", "/ui/gradio_api/stream/x"),
    ("POST", "/ui/gradio_api/vibe-edit"),
    ("GET", "/ui/gradio_api/user"),
    ("POST", "/ui/login"),
    ("GET", "/ui/static/%2e%2e/%2e%2e/blocks.py"),
    ("GET", "/ui/assets/..%2f..%2fblocks.py"),
]


@pytest.fixture(scope="module")
def site(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for this file, whose tests only read: mounting the pages takes a second."""
    with open_site(library, tmp_path_factory.mktemp("pages") / "site", with_pages=True) as opened:
        yield opened


@pytest.mark.parametrize("path", [*PAGES, "/ui/config"])
def test_page_needs_a_session(site: Site, path: str) -> None:
    assert site.anonymous.get(path).status_code == 401
    assert site.viewer.get(path).status_code == 200
    assert site.admin.get(path).status_code == 200


EVENTS = [
    ("POST", "/ui/gradio_api/queue/join"),
    ("GET", "/ui/gradio_api/queue/data?session_hash=x"),
    ("POST", "/ui/gradio_api/run/predict"),
    ("POST", "/ui/gradio_api/run/search"),
    ("POST", "/ui/gradio_api/call/ask"),
    ("GET", "/ui/gradio_api/call/ask/1"),
    ("POST", "/ui/gradio_api/cancel"),
    ("GET", "/ui/gradio_api/info"),
    ("GET", "/ui/gradio_api/app_id"),
    ("POST", "/ui/gradio_api/mcp/"),
    ("GET", "/ui/gradio_api/mcp/schema"),
]


@pytest.mark.parametrize(("method", "path"), EVENTS)
def test_events_need_a_session_and_a_page_of_this_server(
    site: Site, method: str, path: str
) -> None:
    assert site.anonymous.request(method, path).status_code == 401
    elsewhere = {"origin": "http://elsewhere.example"}
    if method == "POST":
        assert site.admin.request(method, path, headers=elsewhere).status_code == 403


@pytest.mark.parametrize(("method", "path"), SHUT)
def test_gradios_own_routes_are_shut(site: Site, method: str, path: str) -> None:
    assert site.anonymous.request(method, path).status_code == 401
    assert site.admin.request(method, path).status_code in {403, 404}


def test_anonymous_browser_is_sent_to_sign_in_and_back(site: Site) -> None:
    target = "/ui/watch?v=abc&t=3.5"
    redirect = site.anonymous.get(target, headers={"accept": "text/html"}, follow_redirects=False)
    assert redirect.status_code == 303
    page = site.anonymous.get(redirect.headers["location"])
    assert 'value="/ui/watch?v=abc&amp;t=3.5"' in page.text


@pytest.mark.parametrize("path", PAGES)
def test_browser_is_told_to_load_nothing_from_elsewhere(site: Site, path: str) -> None:
    policy = site.admin.get(path).headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


COMMENT = re.compile(r"^\s*(?:\*|//).*$", re.MULTILINE)
"""A line that only people read, as those that say where something was learnt."""


def test_static_files_name_no_other_host() -> None:
    files = [path for path in Path(STATIC_FILES).rglob("*") if path.suffix in {".js", ".css"}]
    assert files
    for file in files:
        text = COMMENT.sub("", file.read_text())
        text = text.replace("http://www.w3.org/", "").replace("xmlns='http:", "")
        assert "http://" not in text, file
        assert "https://" not in text, file


def test_modules_declare_each_name_once(site: Site) -> None:
    """They are served as one."""
    served = site.anonymous.get(f"{assets_path()}/site.js").text
    assert "import {" not in served
    names = re.findall(r"^(?:export )?(?:async )?(?:function|class|const|let) (\w+)", served, re.M)
    assert len(names) > len(SCRIPTS)
    assert sorted(names) == sorted(set(names))
    written = {path.stem for path in Path(STATIC_FILES).glob("*.js")}
    assert written - {"api-docs"} == {*SCRIPTS}


def test_no_component_writes_beside_its_source() -> None:
    """Gradio writes an interface file beside each component that is imported; ours must not."""
    assert not [*Path(STATIC_FILES).parent.rglob("*.pyi")]


def test_address_that_is_no_page_is_answered_with_one(site: Site) -> None:
    opened = site.admin.get("/ui/nothere", headers={"accept": "text/html"})
    assert opened.status_code == 404
    assert "There is no such page" in opened.text
    assert site.admin.get("/ui/nothere").json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("query", ["page=42", "page=", "deep_link=x&page=42", "v=1&page=42"])
def test_fields_that_gradio_reads_itself_lead_nowhere(site: Site, query: str) -> None:
    opened = site.admin.get(f"/ui/?{query}", headers={"accept": "text/html"})
    assert opened.status_code == 200
    assert '"current_page":""' in opened.text


def test_files_of_the_pages_are_compressed_and_kept(site: Site) -> None:
    page = site.admin.get("/ui/").text
    address = f"{assets_path()}/site.css"
    assert address in page
    styles = site.anonymous.get(address)
    assert styles.headers["content-encoding"] == "gzip"
    assert "immutable" in styles.headers["cache-control"]
    for name in STYLES:
        assert (STATIC_FILES / f"{name}.css").read_text("utf-8") in styles.text
    # What is not under its own contents' name has to be asked for again.
    assert "immutable" not in site.anonymous.get("/assets/site.js").headers.get("cache-control", "")
