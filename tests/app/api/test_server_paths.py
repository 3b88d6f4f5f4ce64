"""Viewers see what was granted to them, and nothing of where it lies on the server."""

from pathlib import Path

from starlette.testclient import TestClient

from storage.records import Failure
from tests.support.site import Site


def _everything(client: TestClient, video: str) -> str:
    paths = ("session", "videos", f"videos/{video}", "jobs", "settings/values", "probes")
    answers = [client.get(f"/api/v1/{path}").text for path in paths]
    answers += [client.get(f"/media/{video}{rest}").text for rest in ("", "/frame.jpg?t=3")]
    return "\n".join(answers)


def test_viewer_sees_no_path_of_the_server(site: Site) -> None:
    catalog = site.services.catalog
    original = catalog.videos.get(site.gate).uri
    folder = original.rpartition("/")[0]
    job = catalog.jobs.add("ingest", {}, video=site.gate, stream=site.gate)
    failure = Failure(code="x", message=f"{original}: damaged", hint=f"copy {original} again")
    catalog.videos.set_status(site.gate, "failed", failure=failure)
    while (
        claimed := catalog.jobs.claim("w", ["ingest", "preview"], lease_s=60.0)
    ) is not None and claimed.id != job.id:
        catalog.jobs.finish(claimed)
    assert claimed is not None
    catalog.jobs.fail(claimed, failure)
    shown = _everything(site.admin, site.gate)
    assert shown.count(original) >= 4
    hidden = _everything(site.viewer, site.gate)
    assert str(site.services.settings.home) not in hidden
    assert folder not in hidden
    assert "gate.mp4: damaged" in hidden


def test_lost_original_is_reported_without_its_folder(site: Site) -> None:
    row = site.services.catalog.videos.get(site.gate)
    folder, _, name = row.uri.rpartition("/")
    Path(row.uri).rename(f"{row.uri}.away")
    for path in (f"/media/{row.id}/clip?start=1&end=3", f"/media/{row.id}/frame.jpg?t=7"):
        answer = site.viewer.get(path)
        assert folder not in answer.text
        assert answer.status_code >= 400
        assert answer.json()["error"]["message"]
    Path(f"{folder}/{name}.away").rename(row.uri)
