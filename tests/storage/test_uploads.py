"""Uploads: parts move the offset once, and what nobody continues expires."""

from datetime import timedelta

import pytest

from engine.errors import NotFoundError
from storage.catalog import Catalog
from storage.records import UploadRow
from tests.storage.conftest import Clock


def announced(catalog: Catalog, clock: Clock) -> UploadRow:
    return catalog.uploads.add(
        name="lobby.mp4",
        size_bytes=5 * 2**30,
        expires_at=clock.time + timedelta(days=1),
    )


def test_upload_comes_out_as_it_went_in(catalog: Catalog, clock: Clock) -> None:
    upload = announced(catalog, clock)
    assert catalog.uploads.get(upload.id) == upload
    assert catalog.uploads.list() == (upload,)
    assert not upload.is_complete


def test_part_counts_once(catalog: Catalog, clock: Clock) -> None:
    upload = announced(catalog, clock)
    later = clock.time + timedelta(days=2)
    size = upload.size_bytes
    assert catalog.uploads.advance(upload.id, from_bytes=0, to_bytes=size, expires_at=later)
    assert not catalog.uploads.advance(upload.id, from_bytes=0, to_bytes=9, expires_at=later)
    row = catalog.uploads.get(upload.id)
    assert (row.offset_bytes, row.is_complete, row.expires_at) == (size, True, later)


def test_only_what_became_no_video_expires(catalog: Catalog, clock: Clock) -> None:
    dropped, kept = announced(catalog, clock), announced(catalog, clock)
    video = catalog.videos.add(name="lobby", uri="x").id
    assert catalog.uploads.link_video(kept.id, video).video == video
    assert catalog.uploads.expired() == ()
    clock.advance(24 * 3600)
    assert catalog.uploads.expired() == (dropped,)
    catalog.uploads.remove(dropped.id)
    with pytest.raises(NotFoundError):
        catalog.uploads.get(dropped.id)


def test_upload_outlives_the_video_it_became(catalog: Catalog, clock: Clock) -> None:
    upload = announced(catalog, clock)
    video = catalog.videos.add(name="lobby", uri="x").id
    catalog.uploads.link_video(upload.id, video)
    catalog.videos.remove(video)
    assert catalog.uploads.get(upload.id).video is None
