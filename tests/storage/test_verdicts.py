"""Verdicts: one of each user on a moment and a query, kept when the account goes."""

import pytest

from engine.errors import NotFoundError
from engine.records import TimeSpan, VideoId
from storage.catalog import Catalog
from storage.records import VideoRow
from storage.verdict_records import Verdict


def verdict(video: VideoRow, *, is_right: bool = True, query: str = "a van") -> Verdict:
    return Verdict(
        video=video.id,
        span=TimeSpan(start_s=1.0, end_s=2.5),
        peak_s=1.5,
        query=query,
        is_right=is_right,
        origin="search",
        kind="vector",
        score=0.5,
    )


def test_later_verdict_takes_the_place_of_an_earlier_one(catalog: Catalog) -> None:
    video, user = (
        catalog.videos.add(name="lobby", uri="lobby.mp4"),
        catalog.accounts.add_user("ada", "admin"),
    )
    catalog.verdicts.put(user.id, verdict(video))
    catalog.verdicts.put(user.id, verdict(video, is_right=False))
    catalog.verdicts.put(user.id, verdict(video, query="a red van"))
    rows = catalog.verdicts.list()
    assert [(row.verdict.query, row.verdict.is_right) for row in rows] == [
        ("a van", False),
        ("a red van", True),
    ]
    assert [row.account for row in rows] == ["ada", "ada"]
    assert catalog.verdicts.list(query="a van")[0].verdict == verdict(video, is_right=False)


def test_two_users_may_disagree_and_take_back_their_own(catalog: Catalog) -> None:
    video = catalog.videos.add(name="lobby", uri="lobby.mp4")
    ada, ben = (catalog.accounts.add_user(name, "admin") for name in ("ada", "ben"))
    catalog.verdicts.put(ada.id, verdict(video))
    catalog.verdicts.put(ben.id, verdict(video, is_right=False))
    catalog.verdicts.remove(ada.id, video.id, verdict(video).span, "a van")
    (row,) = catalog.verdicts.list()
    assert (row.user, row.verdict.is_right) == (ben.id, False)
    assert catalog.verdicts.list(ada.id) == ()


def test_verdict_outlives_its_account_and_goes_with_its_video(catalog: Catalog) -> None:
    video, user = (
        catalog.videos.add(name="lobby", uri="lobby.mp4"),
        catalog.accounts.add_user("vera", "viewer"),
    )
    catalog.verdicts.put(user.id, verdict(video))
    catalog.accounts.remove_user(user.id)
    (row,) = catalog.verdicts.list()
    assert (row.user, row.account) == (None, None)
    catalog.videos.remove(video.id)
    assert catalog.verdicts.list() == ()


def test_video_that_is_gone_takes_no_verdict(catalog: Catalog) -> None:
    user = catalog.accounts.add_user("ada", "admin")
    gone = Verdict(
        video=VideoId("gone"),
        span=TimeSpan(start_s=0.0, end_s=1.0),
        peak_s=0.0,
        query="a van",
        is_right=True,
        origin="answer",
    )
    with pytest.raises(NotFoundError):
        catalog.verdicts.put(user.id, gone)
