"""The API keeps its own word: requests drawn from its OpenAPI document never end in a bug."""

import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from starlette.testclient import TestClient

from engine.records import Caption, MediaInfo
from storage.records import StartClock
from tests.support.site import Site

schemathesis = pytest.importorskip("schemathesis", reason="pip install schemathesis")

# They would end the session that the others need, or take away what the others look at.
LEFT_OUT = {
    ("DELETE", "/api/v1/session"),
    ("DELETE", "/api/v1/users/{name}"),
    ("DELETE", "/api/v1/videos/{video_id}"),
}
CAMERA = MediaInfo(
    uri="rtsp://10.0.0.7/live",
    container="rtsp",
    video_codec="h264",
    fps=25.0,
    height_px=90,
    width_px=160,
    duration_s=None,
    is_live=True,
)


@pytest.fixture
def lived_in(site: Site) -> Site:
    """A site with wall clocks at both ends of time, cameras, captions, accounts and tokens."""
    catalog = site.services.catalog
    with sqlite3.connect(site.services.settings.home / "longwatch.db") as database:
        statement = "UPDATE videos SET start_at = ? WHERE id = ?"
        database.execute(statement, ("2026-03-29 00:30:00", site.gate))
        database.execute(statement, ("9999-12-31 23:59:50", site.yard))
    catalog.videos.add(name="camera", uri=CAMERA.uri, media=CAMERA)
    zone = timezone(timedelta(hours=14))
    first = datetime(1970, 1, 2, tzinfo=UTC).astimezone(zone)
    old = catalog.videos.add(
        name="old camera", uri=CAMERA.uri, media=CAMERA, clock=StartClock(at=first, source="user")
    )
    catalog.videos.begin_ingest(
        old.id, fingerprint="f", model="tiny", sample_fps=1.0, compression_ratio=2
    )
    row = catalog.videos.get(site.gate)
    assert row.fingerprint is not None
    for chunk in catalog.chunks.list(row.id, row.fingerprint):
        words = f"a red car at {chunk.ref.span.start_s:g} s"
        catalog.captions.add(
            Caption(ref=chunk.ref, fingerprint=row.fingerprint, model="tiny", text=words)
        )
    viewer = catalog.accounts.user("vera")
    assert viewer is not None
    catalog.accounts.grant(viewer.id, old.id)
    for client in (site.admin, site.viewer):
        assert client.post("/api/v1/tokens", json={"name": "script"}).status_code == 201
        body = {"question": "What color is the car?", "videos": [site.gate]}
        assert client.post("/api/v1/ask", json=body).status_code == 200
    return site


@pytest.mark.parametrize(
    "n_examples", [2, pytest.param(100, marks=pytest.mark.slow)], ids=["few", "hundreds"]
)
def test_no_drawn_request_meets_a_bug(lived_in: Site, n_examples: int) -> None:
    document = lived_in.admin.get("/api/v1/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    bugs: dict[str, str] = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        name = f"{operation.method.upper()} {operation.path}"
        if (operation.method.upper(), operation.path) in LEFT_OUT:
            continue
        for client in (lived_in.admin, lived_in.viewer):
            try:
                _draw(operation, client, lived_in.gate, n_examples)
            except AssertionError as error:
                # The others are drawn all the same: one report names every bug.
                bugs[name] = str(error)
    assert not bugs, "\n".join(bugs.values())


def _draw(operation: Any, client: TestClient, video: str, n_examples: int) -> None:
    from hypothesis import HealthCheck, given, settings

    @settings(
        max_examples=n_examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        # An id that is drawn leads nowhere: half of the requests are about a video that is there.
        if "video_id" in (case.path_parameters or {}) and len(str(case.path_parameters)) % 2:
            case.path_parameters["video_id"] = video
        request = case.as_transport_kwargs(base_url="http://127.0.0.1:7860")
        headers = {
            name: value
            for name, value in dict(request.get("headers") or {}).items()
            if name.lower() not in {"authorization", "cookie", "host"}
        }
        answer = client.request(
            request["method"],
            request["url"],
            params=request.get("params"),
            headers=headers,
            json=request.get("json"),
            content=request.get("data") if isinstance(request.get("data"), bytes) else None,
        )
        assert answer.status_code < 500 or answer.status_code in {503, 507}, (
            f"{request['method']} {request['url']} {request.get('json')}: {answer.text}"
        )

    ask()
