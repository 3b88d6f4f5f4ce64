"""The OpenAPI document says what is sent, in names that a client may be generated from."""

import re
from typing import Any

import pytest

from app.api.openapi import TAGS
from app.schemas.errors import ErrorResponse
from tests.support.site import Site

VERBS = (
    "Add|Answer|Append|Ask|Cancel|Change|Check|Create|Delete|Export|Get|List|Rename|Retry|Revoke"
    "|Search|Sign|Start|Update|Upload"
)
FAILING = [
    ("GET", "/api/v1/videos/{video_id}", "/api/v1/videos/nothing", None, 404),
    ("GET", "/api/v1/videos", "/api/v1/videos?limit=0", None, 422),
    ("POST", "/api/v1/ask", "/api/v1/ask", {"question": ""}, 422),
    ("POST", "/api/v1/ask", "/api/v1/ask", {"question": "x" * 5000}, 413),
    ("POST", "/api/v1/tokens", "/api/v1/tokens", {"name": ""}, 422),
    ("PUT", "/api/v1/needles/{name}", "/api/v1/needles/mine", None, 422),
    ("POST", "/v1/chat/completions", "/v1/chat/completions", {"messages": []}, 422),
]


@pytest.fixture
def document(site: Site) -> dict[str, Any]:
    found: dict[str, Any] = site.admin.get("/api/v1/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_operation_is_named_after_its_function_and_once(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(document).values()]
    assert all(re.fullmatch(r"[a-z_]+", name) for name in names)
    assert len(names) == len(set(names))
    assert {"get_timeline", "revoke_token", "cancel_upload", "ingest_video"} <= set(names)


def test_summary_is_a_verb_and_its_object(document: dict[str, Any]) -> None:
    summaries = [operation["summary"] for operation in operations(document).values()]
    assert [text for text in summaries if not re.match(rf"({VERBS})\b \w|Sign out", text)] == []


def test_every_operation_has_one_of_the_stated_tags(document: dict[str, Any]) -> None:
    stated = {tag["name"] for tag in TAGS}
    used = [tag for operation in operations(document).values() for tag in operation["tags"]]
    assert set(used) == stated
    assert len(used) == len(operations(document))


def test_no_private_class_and_no_error_body_of_the_framework_is_named(
    document: dict[str, Any],
) -> None:
    names = document["components"]["schemas"]
    assert not [name for name in names if name.startswith("_") or "Validation" in name]
    assert "ErrorResponse" in names
    assert "Validation" not in str(document["paths"])


def test_every_operation_but_the_probes_of_health_asks_for_a_token_or_a_session(
    document: dict[str, Any],
) -> None:
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert document["components"]["securitySchemes"]["session"]["in"] == "cookie"
    open_ones = [
        key for key, operation in operations(document).items() if "security" not in operation
    ]
    assert sorted(open_ones) == [("GET", "/healthz"), ("GET", "/readyz")]


@pytest.mark.parametrize(("method", "path", "url", "body", "status"), FAILING)
def test_failure_is_answered_by_the_documented_body(
    site: Site,
    document: dict[str, Any],
    method: str,
    path: str,
    url: str,
    body: object,
    status: int,
) -> None:
    answer = site.admin.request(method, url, json=body)
    assert answer.status_code == status
    ErrorResponse.model_validate(answer.json())
    assert set(answer.json()) == {"error"}
    documented = operations(document)[method, path]["responses"][str(status)]["content"]
    assert documented["application/json"]["schema"]["$ref"].endswith("/ErrorResponse")


def test_refusals_before_a_route_are_documented_too(site: Site, document: dict[str, Any]) -> None:
    for (method, path), operation in operations(document).items():
        if "security" in operation:
            assert {"401", "403"} <= set(operation["responses"]), (method, path)
    ErrorResponse.model_validate(site.anonymous.get("/api/v1/videos").json())


def test_answers_that_are_no_json_name_their_type(document: dict[str, Any]) -> None:
    found = {
        operation["operationId"]: set(operation["responses"]["200"].get("content", {}))
        for operation in operations(document).values()
        if "200" in operation["responses"]
    }
    assert found["get_frame"] == {"image/jpeg"}
    assert found["get_chapters"] == {"text/vtt"}
    assert found["export_probe_cells"] == {"text/csv"}
    assert found["get_metrics"] == {"text/plain"}
    assert found["get_upload_offset"] == set()
    assert found["ask"] == {"application/json", "text/event-stream"}


def test_docs_are_for_signed_in_users_and_load_nothing_from_another_host(site: Site) -> None:
    asset = "/docs/assets/swagger-ui-bundle.js"
    assert site.anonymous.get("/docs").status_code == 401
    assert site.anonymous.get(asset).status_code == 401
    page = site.viewer.get("/docs")
    assert page.status_code == 200
    assert "://" not in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert asset in linked
    for url in linked:
        assert site.viewer.get(url).status_code == 200, url
