"""Viewers see what was granted to them, and nothing of where it lies on the server."""

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.worker.foreground import ingest_now
from engine.errors import DiskFullError
from storage.records import Failure
from tests.support.site import Site, draw_clip, open_library


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


def test_viewer_sees_nothing_of_the_size_of_disk_and_memory(site: Site) -> None:
    seen = site.viewer.get("/api/v1/videos").json()
    assert (seen["free_bytes"], seen["reserve_bytes"]) == (None, None)
    assert site.admin.get("/api/v1/videos").json()["free_bytes"] > 0
    names = {
        client: {
            item["setting"] for item in client.get("/api/v1/settings/values").json()["settings"]
        }
        for client in (site.viewer, site.admin)
    }
    assert not any("bytes" in name for name in names[site.viewer])
    assert names[site.viewer] < names[site.admin]


def test_job_that_found_no_room_tells_no_numbers(site: Site) -> None:
    home = site.services.settings.home
    full = open_library(home, **{"limits.disk_reserve_bytes": "1000000TB"})
    with pytest.raises(DiskFullError) as caught:
        ingest_now(full, [str(draw_clip(home / "late.mp4", seed=3, seconds=2))])
    full.close()
    job = site.services.catalog.jobs.list("failed")[-1]
    assert job.failure is not None
    assert "less than the reserve is free" in job.failure.message
    shown = f"{caught.value} {job.failure.message} {job.failure.hint}".replace(str(home), "")
    assert not re.search(r"[0-9]", shown)


def test_lost_original_is_reported_without_its_folder(site: Site) -> None:
    row = site.services.catalog.videos.get(site.gate)
    folder, _, name = row.uri.rpartition("/")
    Path(row.uri).rename(f"{row.uri}.away")
    answer = site.viewer.get(f"/media/{row.id}/clip?start=1&end=3")
    assert folder not in answer.text
    assert answer.status_code >= 400
    assert answer.json()["error"]["message"]
    # Its stills are kept apart from it.
    assert site.viewer.get(f"/media/{row.id}/frame.jpg?t=7").status_code == 200
    Path(f"{folder}/{name}.away").rename(row.uri)
