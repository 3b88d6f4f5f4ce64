"""Committed chunks: counted once, by the pipeline that reads the video, and rebuilt from files."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import CorruptLatentsError, NotFoundError
from engine.records import SampleStats
from storage.catalog import Catalog
from storage.records import VideoRow
from tests.storage.samples import DENSER, NANO, add_ingesting, chunk, read_by


def test_committed_chunk_comes_out_as_it_went_in_and_counts(catalog: Catalog) -> None:
    video = add_ingesting(catalog)
    committed = [chunk(video, ordinal) for ordinal in range(3)]
    assert all([catalog.chunks.commit(new) for new in committed])
    assert list(catalog.chunks.list(video, NANO)) == committed
    row = catalog.videos.get(video)
    assert (row.n_chunks, row.latent_bytes, row.ingested_s) == (3, 3003, 29.97)
    assert row.stats == committed[-1].stats


def test_same_chunk_again_changes_nothing(catalog: Catalog) -> None:
    video = add_ingesting(catalog)
    catalog.chunks.commit(chunk(video, 0))
    before = catalog.videos.get(video)
    assert not catalog.chunks.commit(chunk(video, 0))
    assert catalog.videos.get(video) == before


def test_same_chunk_with_other_bytes_is_refused(catalog: Catalog) -> None:
    video = add_ingesting(catalog)
    catalog.chunks.commit(chunk(video, 0))
    with pytest.raises(CorruptLatentsError, match="chunk 0 of lobby: was stored with checksum"):
        catalog.chunks.commit(chunk(video, 0, checksum="other"))
    assert catalog.chunks.list(video, NANO) == (chunk(video, 0),)


def test_chunk_of_a_removed_video_is_refused(catalog: Catalog) -> None:
    video = add_ingesting(catalog)
    catalog.chunks.commit(chunk(video, 0))
    catalog.videos.remove(video)
    with pytest.raises(NotFoundError):
        catalog.chunks.commit(chunk(video, 1))
    assert catalog.chunks.list(video, NANO) == ()


def test_two_pipelines_keep_their_chunks_apart(catalog: Catalog) -> None:
    video = add_ingesting(catalog)
    catalog.chunks.commit(chunk(video, 0))
    assert read_by(catalog, video, DENSER).n_chunks == 0
    catalog.chunks.commit(replace(chunk(video, 0, fingerprint=DENSER), file_bytes=500))
    assert catalog.videos.get(video).latent_bytes == 500
    row = read_by(catalog, video, NANO)
    assert (row.n_chunks, row.latent_bytes) == (1, 1000)


def test_late_chunk_of_an_earlier_pipeline_is_kept_but_not_counted(catalog: Catalog) -> None:
    video = add_ingesting(catalog)
    catalog.chunks.commit(chunk(video, 0))
    before = catalog.videos.get(video)
    late = chunk(video, 7, fingerprint=DENSER)
    assert catalog.chunks.commit(late)
    assert catalog.videos.get(video) == before
    assert catalog.chunks.list(video, DENSER) == (late,)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.lists(st.integers(0, 8), max_size=15))
def test_counters_equal_the_sums_whatever_the_order(catalog: Catalog, order: list[int]) -> None:
    video = add_ingesting(catalog)
    for ordinal in order:
        catalog.chunks.commit(chunk(video, ordinal))
    row = catalog.videos.get(video)
    chunks = catalog.chunks.list(video, NANO)
    assert [committed.ref.ordinal for committed in chunks] == sorted(set(order))
    assert row.n_chunks == len(chunks)
    assert row.latent_bytes == sum(committed.file_bytes for committed in chunks)
    assert _counts(catalog.chunks.replace(video, NANO, chunks)) == _counts(row)


def test_replaced_chunks_follow_the_files(catalog: Catalog) -> None:
    video = add_ingesting(catalog)
    for ordinal in range(4):
        catalog.chunks.commit(chunk(video, ordinal))
    survivors = [chunk(video, 0), chunk(video, 2, checksum="rewritten")]
    row = catalog.chunks.replace(video, NANO, survivors)
    assert list(catalog.chunks.list(video, NANO)) == survivors
    assert (row.n_chunks, row.latent_bytes, row.ingested_s) == (2, 2002, 29.97)


def test_rebuilding_what_is_right_forgets_no_counts(catalog: Catalog) -> None:
    video = add_ingesting(catalog)
    for ordinal in range(3):
        catalog.chunks.commit(chunk(video, ordinal))
    totals = SampleStats(frames_sampled=30, frames_skipped_static=500)
    ready = catalog.videos.end_ingest(video, "ready", wall_s=1.0, stats=totals)
    before = catalog.chunks.list(video, NANO)
    files = [replace(committed, stats=SampleStats(frames_sampled=1)) for committed in before]
    assert catalog.chunks.replace(video, NANO, files) == ready
    assert catalog.chunks.list(video, NANO) == before
    shorter = catalog.chunks.replace(video, NANO, files[:2])
    assert shorter.stats == before[1].stats


def test_chunk_of_another_video_is_no_replacement(catalog: Catalog) -> None:
    video, other = add_ingesting(catalog), add_ingesting(catalog, "gate")
    with pytest.raises(ValueError, match="does not belong"):
        catalog.chunks.replace(video, NANO, [chunk(other, 0)])


def _counts(row: VideoRow) -> tuple[int, int, float, SampleStats]:
    return row.n_chunks, row.latent_bytes, row.ingested_s, row.stats
