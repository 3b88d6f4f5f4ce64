"""Frames that a model has no time for: counted, said, and forgotten when it has caught up."""

from app.services.frame_queue import RECENT_S, RecentDrops


def test_camera_that_falls_behind_says_so_until_it_has_caught_up() -> None:
    drops = RecentDrops()
    assert drops.describe(100.0) == ""
    drops.add(0, 100.0)
    drops.add(3, 101.0)
    drops.add(4, 110.0)
    assert "7 frames of the last minute" in drops.describe(120.0)
    assert "4 frames" in drops.describe(105.0 + RECENT_S)
    assert drops.describe(111.0 + RECENT_S) == ""
