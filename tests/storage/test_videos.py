"""The library: names, statuses, tags."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from engine.errors import InputRefusedError, NotFoundError
from engine.records import MediaInfo, SampleStats
from storage.catalog import Catalog
from storage.records import Failure, FileContent, StartClock
from tests.storage.conftest import Clock
from tests.storage.samples import add_ingesting, chunk, read_by

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
    first_frame_s=4.25,
    warnings=("edit list",),
    tags=(("title", "<script>"), ("title", "again")),
)


def test_video_comes_out_as_it_went_in(catalog: Catalog) -> None:
    start_at = datetime(2026, 3, 1, 8, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    added = catalog.videos.add(
        name="lobby",
        uri="media/lobby.mp4",
        identity="abc",
        media=MEDIA,
        clock=StartClock(at=start_at, source="file_name", is_local=True),
        timezone="Asia/Kolkata",
        file_name="lobby.mp4",
        content=FileContent(size_bytes=1000, body_digest="d"),
        video_track=1,
    )
    assert catalog.videos.get(added.id) == added
    assert added.media == MEDIA
    assert added.status == "queued"
    assert added.start_at == start_at
    assert (added.start_source, added.start_is_local) == ("file_name", True)
    assert (added.timezone, added.file_name, added.video_track) == ("Asia/Kolkata", "lobby.mp4", 1)
    assert added.content == FileContent(size_bytes=1000, body_digest="d")
    assert added.at(90.0) == datetime(2026, 3, 1, 2, 31, 30, tzinfo=UTC)


def test_wall_clock_without_zone_is_refused(catalog: Catalog) -> None:
    clock = StartClock(at=datetime(2026, 3, 1), source="user")
    with pytest.raises(ValueError, match="needs a zone"):
        catalog.videos.add(name="lobby", uri="x", clock=clock)


def test_clock_is_changed_and_removed(catalog: Catalog) -> None:
    video = catalog.videos.add(name="lobby", uri="x").id
    clock = StartClock(at=datetime(2026, 3, 1, tzinfo=UTC), source="user")
    changed = catalog.videos.set_clock(video, clock, timezone="Europe/Berlin")
    assert (changed.clock, changed.timezone) == (clock, "Europe/Berlin")
    removed = catalog.videos.set_clock(video, None, timezone=None)
    assert (removed.start_at, removed.start_source, removed.clock) == (None, None, None)


def test_grown_file_waits_to_be_read_on(catalog: Catalog) -> None:
    video = catalog.videos.add(name="lobby", uri="x", identity="short").id
    read_by(catalog, video)
    catalog.videos.end_ingest(video, "ready", wall_s=1.0)
    content = FileContent(size_bytes=2000, body_digest="longer")
    grown = catalog.videos.set_grown(video, identity="long", content=content, media=MEDIA)
    assert (grown.status, grown.has_grown, grown.content) == ("queued", True, content)
    assert catalog.videos.find("long") == grown
    read_by(catalog, video)
    assert not catalog.videos.end_ingest(video, "ready", wall_s=1.0).has_grown


def test_text_that_no_database_holds_is_refused_with_a_sentence(catalog: Catalog) -> None:
    with pytest.raises(InputRefusedError, match="not valid Unicode"):
        catalog.videos.add(name="lobby", uri="media/caf\udce9.mp4")
    assert catalog.videos.list() == ()


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
    assert caught.value.hint == "ingest a video first"


def test_same_content_is_found_again(catalog: Catalog) -> None:
    first = catalog.videos.add(name="a", uri="x", identity="abc")
    catalog.videos.add(name="b", uri="y", identity="abc")
    assert catalog.videos.find("abc") == first
    assert catalog.videos.find("abd") is None


def test_end_of_ingest_adds_up_and_keeps_the_reason(catalog: Catalog) -> None:
    video = add_ingesting(catalog)
    catalog.chunks.commit(chunk(video, 0))
    failure = Failure(code="media_decode", message="broken at 10 s", hint="repair it")
    failed = catalog.videos.end_ingest(
        video, "failed", wall_s=2.0, warnings=["1 gap"], failure=failure
    )
    assert (failed.status, failed.failure, failed.warnings) == ("failed", failure, ("1 gap",))
    read_by(catalog, video)
    ready = catalog.videos.end_ingest(
        video, "ready", wall_s=3.0, stats=SampleStats(frames_sampled=11)
    )
    assert (ready.wall_s, ready.failure, ready.stats.frames_sampled) == (5.0, None, 11)
    assert ready.duration_s == 9.97


def fill(catalog: Catalog, clock: Clock, n_videos: int) -> Catalog:
    """A library in which three videos each were added in the same second."""
    for number in range(n_videos):
        if number % 3 == 0:
            clock.advance(1)
        catalog.videos.add(name=f"video {number}", uri="x")
    return catalog


def test_only_what_may_be_seen_is_counted(catalog: Catalog, clock: Clock) -> None:
    fill(catalog, clock, 10)
    granted = frozenset(row.id for row in catalog.videos.list()[::3])
    assert catalog.videos.totals(granted).n_videos == 4
    assert catalog.videos.totals(frozenset()).n_videos == 0
    assert catalog.videos.totals().n_videos == 10


def test_tags_are_kept_and_follow_a_lost_row(catalog: Catalog) -> None:
    video = catalog.videos.add(name="lobby", uri="x")
    assert video.tags == ()
    row = catalog.videos.set_tags(video.id, ("Night", "ünter <b>"))
    assert row.tags == ("Night", "ünter <b>")
    assert catalog.videos.list()[0].tags == row.tags
    catalog.videos.remove(video.id)
    assert catalog.videos.restore(row).tags == row.tags


@pytest.mark.parametrize(
    "wanted", ["BOTTLES_TABLE", "bott", "bottles_table.mp4", "clips/Bottles_Table.MP4", "BOTT"]
)
def test_video_is_found_by_what_can_only_mean_its_name(catalog: Catalog, wanted: str) -> None:
    video = catalog.videos.add(name="bottles_table", uri="x")
    for name in ("door", "door 2"):
        catalog.videos.add(name=name, uri="x")
    assert catalog.videos.resolve(wanted).id == video.id
    assert catalog.videos.resolve("door").name == "door"


@pytest.mark.parametrize("wanted", ["doo", "", " ", "DOOR 3"])
def test_name_that_may_mean_two_videos_or_none_is_refused(catalog: Catalog, wanted: str) -> None:
    for name in ("door", "door 2"):
        catalog.videos.add(name=name, uri="x")
    with pytest.raises(NotFoundError):
        catalog.videos.resolve(wanted)
