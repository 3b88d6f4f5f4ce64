"""The library as a list: words, tags, days, cameras, things observed; pages that lose no video."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from app.config.settings import load_settings
from app.services.access import FULL_ACCESS
from app.services.context import ServiceContext
from app.services.library import change_video, list_page, list_videos
from app.services.library_query import (
    LibraryQuery,
    check_query,
    find_videos,
    labels_of,
    list_facets,
)
from app.services.repair import restore_rows
from app.services.search_words import MOST_NAMED, read_search
from app.services.tags import MAX_TAGS, tag_video
from engine.errors import InputRefusedError
from engine.records import MediaInfo, VideoId
from storage.records import CameraId, PageCursor, StartClock, VideoRow
from tests.storage.test_observations import reach, thing, words

FILMED = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)


class Some:
    """The access of someone who may see some videos."""

    def __init__(self, *videos: VideoId) -> None:
        self.granted = frozenset(videos)

    def may_see(self, video: VideoId) -> bool:
        return video in self.granted

    def may_see_camera(self, camera: CameraId) -> bool:
        return False


@pytest.fixture
def library(tmp_path: Path) -> Iterator[ServiceContext]:
    """A library whose rows alone are looked at: nothing is read."""
    opened = ServiceContext(load_settings({"media.timezone": "UTC"}, home=tmp_path / "home"))
    yield opened
    opened.close()


def add(
    library: ServiceContext,
    name: str,
    *,
    clock: datetime | None = None,
    zone: str | None = None,
    length_s: float = 60.0,
    uri: str | None = None,
) -> VideoRow:
    uri = uri or f"/cameras/{name}.mp4"
    media = MediaInfo(
        uri=uri, container="mp4", video_codec="h264", fps=25.0, height_px=9, width_px=16,
        duration_s=length_s,
    )  # fmt: skip
    start = None if clock is None else StartClock(at=clock, source="user")
    return library.catalog.videos.add(
        name=name, uri=uri, media=media, clock=start, timezone=zone, file_name=f"{name}.mp4"
    )


def names(library: ServiceContext, **fields: object) -> list[str]:
    return [row.name for row in find_videos(library, LibraryQuery(**fields))]  # type: ignore[arg-type]


def test_words_are_looked_for_in_names_and_tags(library: ServiceContext) -> None:
    gate = add(library, "Front Gate")
    add(library, "yard")
    tag_video(library, gate, add=["night shift"])
    assert names(library, text="gate") == ["Front Gate"]
    assert names(library, text="NIGHT gate") == ["Front Gate"]
    assert names(library, text="yard.mp4") == ["yard"]
    assert names(library, text="gate yard") == []
    assert names(library) == ["yard", "Front Gate"], "the newest first"


def test_orders(library: ServiceContext) -> None:
    add(library, "camera 10", clock=FILMED, length_s=10.0)
    add(library, "camera 9", length_s=30.0)
    add(library, "Alley", clock=FILMED + timedelta(days=1), length_s=20.0)
    assert names(library, sort="name") == ["Alley", "camera 9", "camera 10"]
    assert names(library, sort="longest") == ["camera 9", "Alley", "camera 10"]
    assert names(library, sort="filmed") == ["Alley", "camera 10", "camera 9"]


def test_days_are_those_of_the_place_where_it_was_filmed(library: ServiceContext) -> None:
    add(library, "in Berlin", clock=FILMED, zone="Europe/Berlin")
    add(library, "in London", clock=FILMED, zone="Europe/London")
    add(library, "without a clock")
    first, second = date(2026, 3, 1), date(2026, 3, 2)
    assert names(library, since=first, until=first) == ["in London"]
    assert names(library, since=second, until=second) == ["in Berlin"]
    today = datetime.now(UTC).date()
    assert names(library, since=today) == ["without a clock"]


def test_tags_are_one_whatever_their_case(library: ServiceContext) -> None:
    gate, yard = add(library, "gate"), add(library, "yard")
    gate = tag_video(library, gate, add=["Night", "  two   words "])
    assert gate.tags == ("Night", "two words")
    assert tag_video(library, gate, add=["night"]) == gate
    tag_video(library, yard, add=["night"])
    assert names(library, tags=("NIGHT",)) == ["yard", "gate"]
    assert names(library, tags=("night", "two words")) == ["gate"]
    assert tag_video(library, gate, remove=["NIGHT"]).tags == ("two words",)
    assert list_facets(library).tags == ("two words", "night")
    assert list_videos(library, LibraryQuery(tags=("two words",))).videos[0].tags == ["two words"]


@pytest.mark.parametrize("tag", ["", "  ", "a,b", "x" * 41, "bell\a"])
def test_what_cannot_be_a_tag_changes_nothing(library: ServiceContext, tag: str) -> None:
    gate = add(library, "gate")
    with pytest.raises(InputRefusedError, match="cannot be a tag"):
        change_video(library, gate, name="other", add_tags=["fine", tag])
    assert library.catalog.videos.get(gate.id) == gate


def test_tags_have_an_end(library: ServiceContext) -> None:
    gate = tag_video(library, add(library, "gate"), add=map(str, range(MAX_TAGS)))
    with pytest.raises(InputRefusedError, match=f"the most are {MAX_TAGS}"):
        tag_video(library, gate, add=["another"])


def test_tags_survive_the_loss_of_the_database(library: ServiceContext) -> None:
    gate = add(library, "gate")
    library.catalog.videos.begin_ingest(
        gate.id,
        fingerprint="nano",
        model="nano",
        sample_fps=1.0,
        compression_ratio=8,  # type: ignore[arg-type]
    )
    tag_video(library, library.catalog.videos.get(gate.id), add=["night"])
    library.catalog.videos.remove(gate.id)
    (row,) = restore_rows(library)
    assert row.tags == ("night",)


def test_cameras_are_live_sources_and_recordings(library: ServiceContext) -> None:
    add(library, "gate", uri="rtsp://10.0.0.7/live")
    for part in ("GX010042", "GX020042"):
        add(library, part)
    add(library, "holiday")
    assert list_facets(library).cameras == ("GX0042", "gate")
    assert names(library, camera="GX0042") == ["GX020042", "GX010042"]
    assert names(library, camera="gate") == ["gate"]


def test_videos_of_a_camera_of_the_list_bear_its_name(library: ServiceContext) -> None:
    camera = library.catalog.cameras.add(name="North door", address="rtsp://10.0.0.7/live")
    part = add(library, "20260301T120000")
    add(library, "yard")
    library.catalog.videos.set_camera(part.id, camera.id)
    assert list_facets(library).cameras == ("North door",)
    assert names(library, camera="North door") == ["20260301T120000"]


def test_things_observed(library: ServiceContext) -> None:
    gate, yard = add(library, "gate").id, add(library, "yard").id
    observations = library.catalog.observations
    observations.extend([thing(gate, 1.0, "person"), thing(gate, 4.0, "dog")], reach(gate, 9.0))
    observations.extend([words(yard, 1.0, "Hello.")], reach(yard, 9.0, "speech"))
    observations.extend([words(yard, 1.0, "", "motion")], reach(yard, 9.0, "motion"))
    assert names(library, observed="person") == ["gate"]
    assert names(library, observed="Speech") == ["yard"]
    assert names(library, observed="cat") == []
    assert set(list_facets(library).observed) == {"person", "dog", "speech"}
    assert list_facets(library, Some(yard)).observed == ("speech",)
    shown = labels_of(library, library.catalog.videos.list())
    assert [tally.label for tally in shown[gate]] == ["dog", "person"]
    assert [tally.kind for tally in shown[yard]] == ["speech"], "movement says nothing"


def test_viewer_finds_what_is_granted_alone(library: ServiceContext) -> None:
    gate = add(library, "gate")
    yard = tag_video(library, add(library, "yard"), add=["secret"])
    assert [row.name for row in find_videos(library, access=Some(gate.id))] == ["gate"]
    assert list_facets(library, Some(gate.id)).tags == ()
    assert list_facets(library, Some(yard.id)).tags == ("secret",)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sort": "size"}, "not sorted by 'size'"),
        ({"since": "yesterday"}, "'yesterday' is no day"),
        ({"since": "2026-03-02", "until": "2026-03-01"}, "lies before"),
    ],
)
def test_query_that_cannot_be_meant_is_refused(fields: dict[str, str], message: str) -> None:
    with pytest.raises(InputRefusedError, match=message):
        check_query(**fields)  # type: ignore[arg-type]


def end_of(row: VideoRow) -> PageCursor:
    return PageCursor(created_at=row.created_at, id=row.id)


@pytest.mark.parametrize("limit", [1, 3, 4, 10, 50])
def test_pages_together_are_the_library_newest_first(library: ServiceContext, limit: int) -> None:
    for number in range(10):
        add(library, f"video {number}")
    ids: list[VideoId] = []
    page = list_page(library, FULL_ACCESS, limit=limit, behind=None)
    while True:
        assert len(page.rows) <= limit
        ids += [row.id for row in page.rows]
        if not page.has_more:
            break
        page = list_page(library, FULL_ACCESS, limit=limit, behind=end_of(page.rows[-1]))
    assert ids == [row.id for row in reversed(library.catalog.videos.list())]


def test_video_that_leaves_between_two_pages_moves_nothing(library: ServiceContext) -> None:
    for number in range(6):
        add(library, f"video {number}")
    whole = [row.id for row in find_videos(library)]
    first = list_page(library, FULL_ACCESS, limit=2, behind=None)
    library.catalog.videos.remove(first.rows[-1].id)
    add(library, "new")
    second = list_page(library, FULL_ACCESS, limit=2, behind=end_of(first.rows[-1]))
    assert [row.id for row in second.rows] == whole[2:4]


def test_cursor_goes_with_the_newest_first(library: ServiceContext) -> None:
    gate = add(library, "gate")
    with pytest.raises(InputRefusedError, match="goes with a limit"):
        list_page(
            library, FULL_ACCESS, limit=1, behind=end_of(gate), query=LibraryQuery(sort="name")
        )


def test_search_is_narrowed_by_a_tag(library: ServiceContext) -> None:
    gate = tag_video(library, add(library, "gate"), add=["case 7"])
    add(library, "yard")
    rows = library.catalog.videos.list()
    words = read_search('a red car tag:"Case 7"', rows)
    assert (words.query, words.videos, words.problems) == ("a red car", (gate.id,), ())
    assert read_search("a car tag:none", rows).problems == ("no video is tagged 'none'",)


def test_part_of_a_name_means_all_that_have_it(library: ServiceContext) -> None:
    files = [add(library, f"gate_2026030{day}") for day in (1, 2, 3)]
    yard = add(library, "yard")
    rows = library.catalog.videos.list()
    for text in ("a car camera:gate", "a car video:GATE_"):
        assert set(read_search(text, rows).videos) == {row.id for row in files}
    assert read_search("a car video:yard", rows).videos == (yard.id,)
    # A camera of the list stands for whatever it has filmed, also later.
    known = {"c1": "Gate north", "c2": "Gate south", "c3": "Yard"}
    meant = read_search("a car camera:gate camera:yard", rows, known)
    assert (meant.cameras, meant.videos) == (("c1", "c2", "c3"), ())


def test_search_that_names_too_many_says_so(library: ServiceContext) -> None:
    file = add(library, "gate")
    rows = [dataclasses.replace(file, id=VideoId(f"{n:012x}")) for n in range(MOST_NAMED + 1)]
    (problem,) = read_search("a car camera:gat", rows).problems
    assert problem == "257 videos are named 'gat', more than 256"
