"""Pages of the library: together they are the library, whatever comes and goes meanwhile."""

from engine.records import VideoId
from storage.catalog import Catalog
from storage.records import PageCursor, VideoRow
from tests.storage.conftest import Clock


def filled(catalog: Catalog, clock: Clock, n_videos: int) -> Catalog:
    """A library in which three videos each were added in the same second."""
    for number in range(n_videos):
        if number % 3 == 0:
            clock.advance(1)
        catalog.videos.add(name=f"video {number}", uri="x")
    return catalog


def behind(row: VideoRow) -> PageCursor:
    return PageCursor(created_at=row.created_at, id=row.id)


def walked(catalog: Catalog, limit: int, among: frozenset[VideoId] | None = None) -> list[VideoId]:
    """The ids of all pages in a row."""
    found: list[VideoId] = []
    page = catalog.videos.page(limit, among=among)
    while page:
        assert len(page) <= limit
        found += [row.id for row in page]
        page = catalog.videos.page(limit, behind=behind(page[-1]), among=among)
    return found


def test_pages_together_are_the_library_newest_first(catalog: Catalog, clock: Clock) -> None:
    filled(catalog, clock, 10)
    whole = [row.id for row in reversed(catalog.videos.listed())]
    for limit in (1, 3, 4, 10, 50):
        assert walked(catalog, limit) == whole


def test_only_what_may_be_seen_is_paged_and_counted(catalog: Catalog, clock: Clock) -> None:
    filled(catalog, clock, 10)
    granted = frozenset(row.id for row in catalog.videos.listed()[::3])
    assert set(walked(catalog, 2, granted)) == granted
    assert catalog.videos.totals(granted).n_videos == 4
    assert catalog.videos.totals(frozenset()).n_videos == 0
    assert catalog.videos.totals().n_videos == 10


def test_video_that_leaves_between_two_pages_moves_nothing(catalog: Catalog, clock: Clock) -> None:
    filled(catalog, clock, 6)
    whole = [row.id for row in reversed(catalog.videos.listed())]
    first = catalog.videos.page(2)
    catalog.videos.remove(first[-1].id)
    clock.advance(1)
    catalog.videos.add(name="new", uri="x")
    second = catalog.videos.page(2, behind=behind(first[-1]))
    assert [row.id for row in second] == whole[2:4]
