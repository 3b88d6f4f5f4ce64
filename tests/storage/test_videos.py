"""The library: names, statuses, committed chunks and their counts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import CorruptLatentsError, InputRefusedError, NotFoundError
from engine.records import (
    ChunkCommitted,
    ChunkRef,
    Fingerprint,
    MediaInfo,
    SampleStats,
    TimeSpan,
    VideoId,
)
from storage.catalog import Catalog
from storage.records import Failure, VideoRow

NANO = Fingerprint("nano")
MEDIA = MediaInfo(
    uri="media/lobby.mp4",
    container="mov,mp4",
    video_codec="h264",
    fps=29.97,
    height_px=360,
    width_px=640,
    duration_s=3600.25,
    has_audio=True,
    rotation_deg=90,
    warnings=("edit list",),
    tags=(("title", "<script>"), ("title", "again")),
)


def chunk(video: VideoId, ordinal: int, *, checksum: str | None = None) -> ChunkCommitted:
    span = TimeSpan(start_s=ordinal * 10.0, end_s=ordinal * 10.0 + 9.97)
    return ChunkCommitted(
        ref=ChunkRef(video=video, ordinal=ordinal, span=span),
        fingerprint=NANO,
        n_frames=10,
        n_latents=180,
        file_bytes=1000 + ordinal,
        checksum=checksum or f"sum{ordinal}",
        activity=0.25,
        stats=SampleStats(frames_decoded=300 * (ordinal + 1), frames_sampled=10 * (ordinal + 1)),
    )


def ingesting(catalog: Catalog, name: str = "lobby") -> VideoId:
    video = catalog.videos.add(name=name, uri=f"media/{name}.mp4").id
    catalog.videos.begin_ingest(
        video, fingerprint=NANO, model="nano", sample_fps=1.0, compression_ratio=8
    )
    return video


def test_video_comes_out_as_it_went_in(catalog: Catalog) -> None:
    start_at = datetime(2026, 3, 1, 8, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    added = catalog.videos.add(
        name="lobby", uri="media/lobby.mp4", identity="abc", media=MEDIA, start_at=start_at
    )
    assert catalog.videos.get(added.id) == added
    assert added.media == MEDIA
    assert added.status == "queued"
    assert added.start_at == start_at
    assert added.at(90.0) == datetime(2026, 3, 1, 2, 31, 30, tzinfo=UTC)


def test_wall_clock_without_zone_is_refused(catalog: Catalog) -> None:
    with pytest.raises(ValueError, match="needs a zone"):
        catalog.videos.add(name="lobby", uri="x", start_at=datetime(2026, 3, 1))


def test_text_that_no_database_holds_is_refused_with_a_sentence(catalog: Catalog) -> None:
    with pytest.raises(InputRefusedError, match="not valid Unicode"):
        catalog.videos.add(name="lobby", uri="media/caf\udce9.mp4")
    assert catalog.videos.listed() == ()


def test_same_name_gets_a_number(catalog: Catalog) -> None:
    names = [catalog.videos.add(name="lobby", uri="x").name for _ in range(3)]
    assert names == ["lobby", "lobby 2", "lobby 3"]


def test_id_and_name_mean_the_same_video(catalog: Catalog) -> None:
    video = catalog.videos.add(name="lobby", uri="x")
    assert catalog.videos.resolve(video.id) == video
    assert catalog.videos.resolve("lobby") == video


def test_unknown_name_names_near_ones(catalog: Catalog) -> None:
    for name in ("lobby", "loading dock", "gate"):
        catalog.videos.add(name=name, uri="x")
    with pytest.raises(NotFoundError, match=r"no video 'lobbi'; did you mean 'lobby'\?"):
        catalog.videos.resolve("lobbi")
    with pytest.raises(NotFoundError, match="did you mean 'loading dock'"):
        catalog.videos.resolve("dock")


def test_unknown_name_in_an_empty_library_says_so(catalog: Catalog) -> None:
    with pytest.raises(NotFoundError, match="library is empty") as caught:
        catalog.videos.resolve("lobby")
    assert caught.value.hint == "run `longwatch ingest FILE`"


def test_same_content_is_found_again(catalog: Catalog) -> None:
    first = catalog.videos.add(name="a", uri="x", identity="abc")
    catalog.videos.add(name="b", uri="y", identity="abc")
    assert catalog.videos.find("abc") == first
    assert catalog.videos.find("abd") is None


def test_committed_chunk_comes_out_as_it_went_in_and_counts(catalog: Catalog) -> None:
    video = ingesting(catalog)
    committed = [chunk(video, ordinal) for ordinal in range(3)]
    assert all(catalog.videos.commit_chunk(one) for one in committed)
    assert list(catalog.videos.chunks(video, NANO)) == committed
    row = catalog.videos.get(video)
    assert (row.n_chunks, row.latent_bytes, row.ingested_s) == (3, 3003, 29.97)
    assert row.stats == committed[-1].stats


def test_same_chunk_again_changes_nothing(catalog: Catalog) -> None:
    video = ingesting(catalog)
    catalog.videos.commit_chunk(chunk(video, 0))
    before = catalog.videos.get(video)
    assert not catalog.videos.commit_chunk(chunk(video, 0))
    assert catalog.videos.get(video) == before


def test_same_chunk_with_other_bytes_is_refused(catalog: Catalog) -> None:
    video = ingesting(catalog)
    catalog.videos.commit_chunk(chunk(video, 0))
    with pytest.raises(CorruptLatentsError, match="chunk 0 of lobby: was stored with checksum"):
        catalog.videos.commit_chunk(chunk(video, 0, checksum="other"))
    assert catalog.videos.chunks(video, NANO) == (chunk(video, 0),)


def test_chunk_of_a_removed_video_is_refused(catalog: Catalog) -> None:
    video = ingesting(catalog)
    catalog.videos.commit_chunk(chunk(video, 0))
    catalog.videos.remove(video)
    with pytest.raises(NotFoundError):
        catalog.videos.commit_chunk(chunk(video, 1))
    assert catalog.videos.chunks(video, NANO) == ()


def test_two_pipelines_keep_their_chunks_apart(catalog: Catalog) -> None:
    video = ingesting(catalog)
    other = Fingerprint("nano at ratio 16")
    catalog.videos.commit_chunk(chunk(video, 0))
    again = catalog.videos.begin_ingest(
        video, fingerprint=other, model="nano", sample_fps=1.0, compression_ratio=16
    )
    assert again.n_chunks == 0
    catalog.videos.commit_chunk(replace(chunk(video, 0), fingerprint=other, file_bytes=500))
    assert catalog.videos.get(video).latent_bytes == 500
    back = catalog.videos.begin_ingest(
        video, fingerprint=NANO, model="nano", sample_fps=1.0, compression_ratio=8
    )
    assert (back.n_chunks, back.latent_bytes) == (1, 1000)


def test_chunks_within_a_span_share_time_with_it(catalog: Catalog) -> None:
    video = ingesting(catalog)
    for ordinal in range(5):
        catalog.videos.commit_chunk(chunk(video, ordinal))
    found = catalog.videos.chunks(video, NANO, within=TimeSpan(start_s=9.97, end_s=30.0))
    assert [one.ref.ordinal for one in found] == [1, 2]


def test_end_of_ingest_adds_up_and_keeps_the_reason(catalog: Catalog) -> None:
    video = ingesting(catalog)
    catalog.videos.commit_chunk(chunk(video, 0))
    failure = Failure(code="media_decode", message="broken at 10 s", hint="repair it")
    failed = catalog.videos.end_ingest(
        video, "failed", wall_s=2.0, warnings=["1 gap"], failure=failure
    )
    assert (failed.status, failed.failure, failed.warnings) == ("failed", failure, ("1 gap",))
    catalog.videos.begin_ingest(
        video, fingerprint=NANO, model="nano", sample_fps=1.0, compression_ratio=8
    )
    ready = catalog.videos.end_ingest(
        video, "ready", wall_s=3.0, stats=SampleStats(frames_sampled=11)
    )
    assert (ready.wall_s, ready.failure, ready.stats.frames_sampled) == (5.0, None, 11)
    assert ready.duration_s == 9.97


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.lists(st.integers(0, 8), max_size=15), up_to=st.none() | st.integers(0, 12))
def test_counters_equal_the_sums_whatever_the_order(
    catalog: Catalog, order: list[int], up_to: int | None
) -> None:
    video = ingesting(catalog)
    for ordinal in order:
        catalog.videos.commit_chunk(chunk(video, ordinal))
    kept = catalog.videos.get(video)
    assert kept.n_chunks == len(set(order))
    end = max(order, default=-1) + 1 if up_to is None else up_to
    missing = catalog.videos.missing_ordinals(video, NANO, up_to)
    assert set(missing) == set(range(end)) - set(order)
    rebuilt = catalog.videos.replace_chunks(video, NANO, catalog.videos.chunks(video, NANO))
    assert _counts(rebuilt) == _counts(kept)


def test_replaced_chunks_follow_the_files(catalog: Catalog) -> None:
    video = ingesting(catalog)
    for ordinal in range(4):
        catalog.videos.commit_chunk(chunk(video, ordinal))
    survivors = [chunk(video, 0), chunk(video, 2, checksum="rewritten")]
    row = catalog.videos.replace_chunks(video, NANO, survivors)
    assert list(catalog.videos.chunks(video, NANO)) == survivors
    assert (row.n_chunks, row.latent_bytes, row.ingested_s) == (2, 2002, 29.97)
    assert catalog.videos.missing_ordinals(video, NANO) == (1,)


def test_rebuilding_what_is_right_forgets_no_counts(catalog: Catalog) -> None:
    video = ingesting(catalog)
    for ordinal in range(3):
        catalog.videos.commit_chunk(chunk(video, ordinal))
    whole = SampleStats(frames_sampled=30, frames_skipped_static=500)
    ready = catalog.videos.end_ingest(video, "ready", wall_s=1.0, stats=whole)
    before = catalog.videos.chunks(video, NANO)
    files = [replace(one, stats=SampleStats(frames_sampled=1)) for one in before]
    assert catalog.videos.replace_chunks(video, NANO, files) == ready
    assert catalog.videos.chunks(video, NANO) == before
    shorter = catalog.videos.replace_chunks(video, NANO, files[:2])
    assert shorter.stats == before[1].stats


def test_foreign_chunk_is_no_replacement(catalog: Catalog) -> None:
    video, other = ingesting(catalog), ingesting(catalog, "gate")
    with pytest.raises(ValueError, match="does not belong"):
        catalog.videos.replace_chunks(video, NANO, [chunk(other, 0)])


def _counts(row: VideoRow) -> tuple[int, int, float, SampleStats]:
    return row.n_chunks, row.latent_bytes, row.ingested_s, row.stats
