"""Alerts over HTTP: of one's own videos alone, answered by whoever sees them, rules by admins."""

from collections.abc import Iterator

import pytest

from app.services.context import ServiceContext
from storage.records import VideoRow
from tests.support.observations import track
from tests.support.receivers import WebReceiver, open_web_receiver
from tests.support.site import Site
from tests.support.watched import look

DOOR = {"name": "door", "condition": {"kind": "object", "words": "a person", "cooldown_s": 0}}


@pytest.fixture
def web() -> Iterator[WebReceiver]:
    with open_web_receiver() as receiver:
        yield receiver


def video(services: ServiceContext, name: str) -> VideoRow:
    return services.catalog.videos.resolve(name)


def raise_in_both(site: Site) -> None:
    """One alert of each video, with a still."""
    assert site.admin.post("/api/v1/alert-rules", json=DOOR).status_code == 201
    for name in (site.gate, site.yard):
        assert look(site.services, video(site.services, name), 10.0, [track("person", 2, 6)])


def test_viewer_sees_and_answers_the_alerts_of_their_videos(site: Site) -> None:
    raise_in_both(site)
    everything = site.admin.get("/api/v1/alerts").json()
    assert [alert["video"] for alert in everything["alerts"]] == ["yard", "gate"]
    assert everything["open"] == 2
    seen = site.viewer.get("/api/v1/alerts").json()
    assert [alert["video"] for alert in seen["alerts"]] == ["gate"]
    assert seen["open"] == 1
    of_yard, of_gate = (alert["alert_id"] for alert in everything["alerts"])
    for path in ("", "/picture.jpg"):
        assert site.viewer.get(f"/api/v1/alerts/{of_yard}{path}").status_code == 404
    answer = {"state": "acknowledged"}
    assert site.viewer.patch(f"/api/v1/alerts/{of_yard}", json=answer).status_code == 404
    decided = site.viewer.patch(f"/api/v1/alerts/{of_gate}", json=answer).json()
    assert (decided["state"], decided["decided_by"]) == ("acknowledged", "vera")
    rule = site.admin.get("/api/v1/alert-rules/door").json()
    assert (rule["alerts"]["precision"], rule["alerts"]["n"]) == (1.0, 1)


def test_alert_has_its_still(site: Site) -> None:
    raise_in_both(site)
    alert = site.admin.get("/api/v1/alerts").json()["alerts"][0]
    assert alert["has_picture"]
    answer = site.admin.get(f"/api/v1/alerts/{alert['alert_id']}/picture.jpg")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content.startswith(b"\xff\xd8")


def test_rule_is_tried_changed_and_removed(site: Site) -> None:
    tried = site.admin.post("/api/v1/alert-rules/try", json={"condition": DOOR["condition"]})
    assert tried.json()["alerts"] == []
    site.admin.post("/api/v1/alert-rules", json=DOOR)
    twice = site.admin.post("/api/v1/alert-rules", json=DOOR)
    assert twice.status_code == 422
    assert "already" in twice.json()["error"]["message"]
    changed = site.admin.patch("/api/v1/alert-rules/door", json={"enabled": False}).json()
    assert (changed["enabled"], changed["revision"]) == (False, 1)
    condition = {"kind": "motion", "zone": [[0, 0], [1, 0], [1, 1]]}
    changed = site.admin.patch("/api/v1/alert-rules/door", json={"condition": condition}).json()
    assert (changed["revision"], changed["condition"]["kind"]) == (2, "motion")
    assert site.admin.delete("/api/v1/alert-rules/door").status_code == 200
    assert site.admin.get("/api/v1/alert-rules").json()["rules"] == []


def test_destination_shows_its_secret_once_and_is_listed_as_outward(
    site: Site, web: WebReceiver
) -> None:
    made = site.admin.post(
        "/api/v1/alert-destinations",
        json={"name": "hook", "kind": "webhook", "address": web.address},
    ).json()
    secret = made["signing_secret"]
    assert secret.startswith("whsec_")
    listed = site.admin.get("/api/v1/alert-destinations").text
    settings = site.admin.get("/api/v1/settings").text
    for text in (listed, settings):
        assert secret not in text
        assert "secret-path" not in text
    assert "Alerts to a destination: hook" in settings
    assert site.admin.post("/api/v1/alert-destinations/hook/test").status_code == 200
    assert web.posts[0].document["type"] == "alert.test"
    assert site.admin.delete("/api/v1/alert-destinations/hook").status_code == 200


def test_token_adds_no_destination(site: Site) -> None:
    made = site.admin.post("/api/v1/tokens", json={"name": "script", "scopes": ["read", "write"]})
    token = {"Authorization": f"Bearer {made.json()['secret']}"}
    body = {"name": "hook", "kind": "webhook", "address": "https://example.org/hook"}
    answer = site.anonymous.post("/api/v1/alert-destinations", json=body, headers=token)
    assert answer.status_code == 403
    assert site.anonymous.get("/api/v1/alerts", headers=token).status_code == 200
