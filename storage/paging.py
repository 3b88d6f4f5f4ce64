"""The library in pages, newest first.

A page begins behind a place and not behind a count, so that no video is lost or shown twice when
others come and go between two pages.
"""

from collections.abc import Collection

from sqlalchemy import Select, and_, func, or_, select

from engine.records import VideoId
from storage.records import PageCursor
from storage.tables import VideoTable


def page_query(
    limit: int, behind: PageCursor | None, among: Collection[VideoId] | None
) -> Select[VideoTable]:
    """The next videos in the order of the library, newest first.

    Args:
        behind: The end of the page before; the first page when `None`.
        among: Only these; all when `None`.
    """
    query = select(VideoTable).order_by(VideoTable.created_at.desc(), VideoTable.id.desc())
    if behind is not None:
        older = VideoTable.created_at < behind.created_at
        same = and_(VideoTable.created_at == behind.created_at, VideoTable.id < behind.id)
        query = query.where(or_(older, same))
    if among is not None:
        query = query.where(VideoTable.id.in_(among))
    return query.limit(limit)


def totals_query(among: Collection[VideoId] | None) -> Select[int, int]:
    """How many videos there are, and the bytes of their latents."""
    query = select(func.count(VideoTable.id), func.coalesce(func.sum(VideoTable.latent_bytes), 0))
    return query if among is None else query.where(VideoTable.id.in_(among))
