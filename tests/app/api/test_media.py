"""Originals, stills and clips by id, with Range."""

import io
from pathlib import Path

from PIL import Image

from app.services.previews import KIND, enqueue_preview
from app.services.stills import browser_plays, media_type, sprite_file
from app.worker.handlers import open_worker
from engine.records import Caption, ChunkRef, MediaInfo, TimeSpan
from tests.support.site import Site


def describe(container: str, codec: str) -> MediaInfo:
    """A source of this container and codec."""
    return MediaInfo(
        uri="x",
        container=container,
        video_codec=codec,
        fps=25.0,
        height_px=90,
        width_px=160,
        duration_s=9.0,
    )


def test_range_is_answered_with_that_part(site: Site) -> None:
    data = Path(site.services.catalog.videos.get(site.gate).uri).read_bytes()
    answer = site.viewer.get(f"/media/{site.gate}", headers={"range": "bytes=100-199"})
    assert answer.status_code == 206
    assert answer.content == data[100:200]
    assert answer.headers["content-range"] == f"bytes 100-199/{len(data)}"
    beyond = site.viewer.get(f"/media/{site.gate}", headers={"range": f"bytes={len(data)}-"})
    assert beyond.status_code == 416


def test_a_thousand_ranges_do_not_burn_the_processor(site: Site) -> None:
    ranges = ",".join(f"{2 * n}-{2 * n}" for n in range(1000))
    answer = site.viewer.get(f"/media/{site.gate}", headers={"range": f"bytes={ranges}"})
    assert answer.status_code in {200, 400, 416}


def test_still_is_a_picture_and_kept(site: Site) -> None:
    first = site.viewer.get(f"/media/{site.gate}/frame.jpg?t=3&w=160")
    assert Image.open(io.BytesIO(first.content)).size == (160, 90)
    kept = list((site.services.settings.home / "thumbs" / site.gate).glob("15_160.jpg"))
    assert kept
    assert kept[0].read_bytes() == first.content
    assert site.viewer.get(f"/media/{site.gate}/frame.jpg?t=3&w=161").status_code == 422


def test_still_behind_the_end_is_the_last_one(site: Site) -> None:
    assert site.viewer.get(f"/media/{site.gate}/frame.jpg?t=999&w=160").status_code == 200


def test_clip_is_a_cut_with_a_name(site: Site) -> None:
    answer = site.viewer.get(f"/media/{site.gate}/clip?start=2&end=5")
    assert answer.headers["content-type"] == "video/mp4"
    assert "gate%200.00.02.mp4" in answer.headers["content-disposition"]
    assert b"ftyp" in answer.content[:16]
    assert site.viewer.get(f"/media/{site.gate}/clip?start=5&end=5").status_code == 422
    assert site.viewer.get(f"/media/{site.gate}/clip?start=0&end=5000").status_code == 422


def test_type_comes_from_the_probe_and_not_from_the_name() -> None:
    assert media_type(describe("mov,mp4,m4a,3gp,3g2,mj2", "h264")) == "video/mp4"
    assert media_type(describe("matroska,webm", "vp9")) == "video/webm"
    assert media_type(describe("matroska,webm", "h264")) == "video/x-matroska"
    assert media_type(describe("avi", "mpeg4")) == "video/x-msvideo"
    assert media_type(None) == "application/octet-stream"


def test_copy_is_made_only_for_what_browsers_do_not_play() -> None:
    assert browser_plays(describe("mov,mp4,m4a,3gp,3g2,mj2", "h264"))
    assert not browser_plays(describe("mov,mp4,m4a,3gp,3g2,mj2", "hevc"))
    assert not browser_plays(describe("avi", "mpeg4"))
    assert not browser_plays(None)


def test_stills_for_scrubbing_are_made_by_the_worker(site: Site) -> None:
    video = site.services.catalog.videos.get(site.yard)
    job = enqueue_preview(site.services, video)
    assert job is not None
    assert job.kind == KIND
    open_worker(site.services).run(until_idle=True)
    item = site.admin.get(f"/api/v1/videos/{site.yard}").json()
    assert item["sprite"] == {"url": f"/media/{site.yard}/sprite.jpg", "step_s": 2.0, "count": 12}
    with Image.open(sprite_file(site.services.settings.home, video.id)) as picture:
        assert picture.size == (1600, 180)
    assert enqueue_preview(site.services, video) is None
    sprite_file(site.services.settings.home, video.id).unlink()
    sprite_file(site.services.settings.home, video.id).with_suffix(".json").unlink()


def test_captions_are_a_track_for_those_who_may_see_the_video(site: Site) -> None:
    assert site.viewer.get(f"/media/{site.gate}/captions.vtt").text == "WEBVTT\n"
    assert site.viewer.get(f"/media/{site.yard}/captions.vtt").status_code == 404
    row = site.services.catalog.videos.get(site.gate)
    assert row.fingerprint is not None
    for ordinal, text in enumerate(["A <b>dog</b>\n\nruns & barks.", "  "]):
        span = TimeSpan(start_s=4.0 * ordinal, end_s=4.0 * (ordinal + 1))
        ref = ChunkRef(video=site.gate, ordinal=ordinal, span=span)
        site.services.catalog.captions.add(
            Caption(ref=ref, fingerprint=row.fingerprint, model="video_xl/tiny", text=text)
        )
    answer = site.viewer.get(f"/media/{site.gate}/captions.vtt")
    assert answer.headers["content-type"].startswith("text/vtt")
    cue = "00:00:00.000 --> 00:00:04.000\nA &lt;b&gt;dog&lt;/b&gt; runs &amp; barks.\n"
    assert answer.text == f"WEBVTT\n\n{cue}"
    body = {"query": "barks", "videos": [site.gate]}
    found = site.viewer.post("/api/v1/search", json=body).json()
    assert [item["share"] for item in found["captions"]] == [1.0]
