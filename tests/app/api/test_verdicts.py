"""Verdicts over HTTP: given, taken back, listed and exported; each their own, an admin all."""

import csv
import io
import json

from tests.support.site import Site


def say(site: Site, client: str, verdict: str | None, query: str = "a card") -> int:
    """Give a verdict on a moment of the gate; the status."""
    body = {
        "video_id": site.gate,
        "start_s": 1.0004,
        "end_s": 2.5,
        "query": query,
        "verdict": verdict,
        "kind": "vector",
        "score": 0.7,
    }
    status: int = getattr(site, client).put("/api/v1/verdicts", json=body).status_code
    return status


def test_verdict_is_kept_and_taken_back(site: Site) -> None:
    assert say(site, "viewer", "right") == 200
    assert say(site, "viewer", "wrong") == 200
    (kept,) = site.viewer.get("/api/v1/verdicts").json()["verdicts"]
    assert (kept["verdict"], kept["query"], kept["video"]) == ("wrong", "a card", "gate")
    assert (kept["start_s"], kept["score"], kept["account"]) == (1.0, 0.7, "vera")
    assert say(site, "viewer", None) == 200
    assert site.viewer.get("/api/v1/verdicts").json()["verdicts"] == []


def test_viewer_sees_their_own_and_an_admin_everyones(site: Site) -> None:
    say(site, "viewer", "right")
    say(site, "admin", "wrong")
    assert [item["account"] for item in site.viewer.get("/api/v1/verdicts").json()["verdicts"]] == [
        "vera"
    ]
    names = [item["account"] for item in site.admin.get("/api/v1/verdicts").json()["verdicts"]]
    assert sorted(names) == ["ada", "vera"]


def test_verdict_without_a_query_or_backwards_is_refused(site: Site) -> None:
    assert say(site, "admin", "right", query="  ") == 422
    body = {"video_id": site.gate, "start_s": 2, "end_s": 1, "query": "a", "verdict": "right"}
    refused = site.admin.put("/api/v1/verdicts", json=body)
    assert refused.status_code == 422
    assert "ends at" in refused.json()["error"]["message"]


def test_export_is_read_by_programs(site: Site) -> None:
    say(site, "admin", "right", query='a "card", red')
    table = site.admin.get("/api/v1/verdicts/export")
    (row,) = csv.DictReader(io.StringIO(table.text))
    assert (row["query"], row["verdict"]) == ('a "card", red', "right")
    assert "longwatch-verdicts.csv" in table.headers["content-disposition"]
    lines = site.admin.get("/api/v1/verdicts/export?format=jsonl").text.splitlines()
    assert [json.loads(line)["query"] for line in lines] == ['a "card", red']
    assert site.admin.get("/api/v1/verdicts/export?format=xml").status_code == 422
