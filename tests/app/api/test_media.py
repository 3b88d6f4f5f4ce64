"""Originals, stills and clips by id, with Range."""

import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.services.pictures import Sprite, find_sprite
from app.services.previews import KIND, enqueue_preview
from app.services.stills import browser_plays, media_type
from app.worker.handlers import open_worker
from engine.cache.stills import StillConfig, StillStore, encode_still
from engine.records import Caption, ChunkRef, MediaInfo, TimeSpan
from tests.support.site import Site


@pytest.fixture
def changing_stills(site: Site, tmp_path: Path) -> Iterator[StillStore]:
    """The stills of the site, put back when the test has changed them."""
    stills = site.services.stills
    before = shutil.copytree(stills.root, tmp_path / "before")
    yield stills
    shutil.rmtree(stills.root)
    shutil.copytree(before, stills.root)


def describe(container: str, codec: str | None) -> MediaInfo:
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


def test_picture_of_a_moment_is_the_still_that_ingest_kept(site: Site) -> None:
    stills = site.services.stills
    for time_s in stills.times(site.gate):
        # Search gives a tenth of a second, which may lie before the frame.
        address = f"/media/{site.gate}/frame.jpg?t={time_s:.1f}&w=160"
        assert site.viewer.get(address).content == stills.at(site.gate, time_s).jpeg
    assert not (site.services.settings.home / "thumbs" / site.gate).exists(), "nothing is decoded"
    assert site.viewer.get(f"/media/{site.gate}/frame.jpg?t=3&w=161").status_code == 422


def test_frame_of_a_video_without_stills_is_decoded_and_kept(
    site: Site, changing_stills: StillStore
) -> None:
    changing_stills.forget(site.gate)
    first = site.viewer.get(f"/media/{site.gate}/frame.jpg?t=3&w=160")
    assert Image.open(io.BytesIO(first.content)).size == (160, 90)
    (kept,) = (site.services.settings.home / "thumbs" / site.gate).glob("15_160.jpg")
    assert kept.read_bytes() == first.content


def test_sharper_picture_than_the_still_is_decoded(site: Site, changing_stills: StillStore) -> None:
    def size_at(width_px: int) -> tuple[int, int]:
        answer = site.viewer.get(f"/media/{site.gate}/frame.jpg?t=3&w={width_px}")
        return Image.open(io.BytesIO(answer.content)).size

    stills = changing_stills
    for ordinal in stills.ordinals(site.gate):
        frames = [(still.pts_s, still.pixels()) for still in stills.read(site.gate, ordinal)]
        small = [encode_still(pixels, at, StillConfig(max_side_px=64)) for at, pixels in frames]
        end_s = stills.header(site.gate, ordinal).end_s
        stills.put(site.gate, ordinal, [still for still in small if still], end_s=end_s)
    assert size_at(160) == (160, 90)
    original = Path(site.services.catalog.videos.get(site.gate).uri)
    away = original.rename(original.with_suffix(".away"))
    try:
        assert size_at(320) == (64, 36), "the file is gone: the still is what there is"
    finally:
        away.rename(original)


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


def test_sound_alone_is_played_as_it_is() -> None:
    assert media_type(describe("flac", None)) == "audio/flac"
    assert browser_plays(describe("flac", None))
    assert not browser_plays(describe("aac", None)), "a bare stream"


def test_sheet_for_scrubbing_is_laid_out_from_stills(site: Site) -> None:
    sprite = site.admin.get(f"/api/v1/videos/{site.yard}").json()["sprite"]
    assert (sprite["step_s"], sprite["count"]) == (2.0, 12)
    sheet = Image.open(io.BytesIO(site.admin.get(sprite["url"]).content))
    assert sheet.size == (1600, 180)
    for index in range(12):
        left, top = index % 10 * 160, index // 10 * 90
        cell = np.asarray(sheet.crop((left, top, left + 160, top + 90))).astype(int)
        shown = site.services.stills.at(site.yard, 2.0 * index).pixels()
        assert np.abs(cell - shown).mean() < 6, index
    assert enqueue_preview(site.services, site.services.catalog.videos.get(site.yard)) is None


def test_sheet_grows_with_a_video_that_is_still_read(site: Site) -> None:
    row = replace(site.services.catalog.videos.get(site.yard), status="ingesting")
    assert row.media is not None
    half = find_sprite(site.services, replace(row, ingested_s=11.0))
    assert half == Sprite(step_s=2.0, count=6)
    live = replace(row, media=replace(row.media, duration_s=None), ingested_s=3600.0)
    assert find_sprite(site.services, live) == Sprite(step_s=64.0, count=57)


def test_stills_of_an_older_video_are_made_by_the_worker(site: Site) -> None:
    video, stills = site.services.catalog.videos.get(site.yard), site.services.stills
    paths = [stills.path(video.id, ordinal) for ordinal in stills.ordinals(video.id)]
    kept = [path.read_bytes() for path in paths]
    assert len(kept) > 2
    for path in (paths[1], *paths[3:]):
        path.unlink()
    job = enqueue_preview(site.services, video)
    assert job is not None
    assert job.kind == KIND
    open_worker(site.services).run(until_idle=True)
    assert [path.read_bytes() for path in paths] == kept, "as if ingest had kept them"
    assert enqueue_preview(site.services, video) is None


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
    body = {"query": "barks", "videos": [site.gate], "kinds": ["caption"]}
    found = site.viewer.post("/api/v1/search", json=body).json()
    assert [(hit["start_s"], hit["confirmed"]) for hit in found["hits"]] == [(0.0, True)]
